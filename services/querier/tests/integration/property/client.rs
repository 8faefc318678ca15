//! Calls of Pyroscope's API, in turns over gRPC and over Connect in both its encodings.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use cairn_wire::connect::Codec;
use http::Request;
use http::uri::PathAndQuery;
use http_body_util::Full;
use prost::{Message, Name};
use tonic::transport::Channel;

use super::Place;
use crate::fixture::send;

pub(crate) struct Client<'a> {
    pub(crate) place: &'a Place<'a>,
    turn: AtomicUsize,
    channel: Channel,
}

impl<'a> Client<'a> {
    /// `turn` says who is first.
    pub(crate) fn new(place: &'a Place<'a>, turn: usize) -> Self {
        let channel = Channel::from_shared(place.url()).unwrap();
        Self {
            place,
            turn: turn.into(),
            channel: channel.connect_lazy(),
        }
    }

    /// An answer whose flags are as they must be.
    pub(crate) async fn ask<Q, A>(&self, method: &str, request: Q) -> A
    where
        Q: Message + Name + 'static,
        A: Message + Name + Default + 'static,
    {
        let (answer, headers) = self.ask_unflagged(method, request).await;
        self.place.check_flags(&headers);
        answer
    }

    pub(crate) async fn ask_unflagged<Q, A>(&self, method: &str, request: Q) -> (A, http::HeaderMap)
    where
        Q: Message + Name + 'static,
        A: Message + Name + Default + 'static,
    {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let path = format!("/querier.v1.QuerierService/{method}");
        match turn % 3 {
            0 => self.grpc(&path, request).await,
            1 => self.connect(&path, Codec::Proto, request).await,
            _ => self.connect(&path, Codec::Json, request).await,
        }
    }

    async fn grpc<Q, A>(&self, path: &str, request: Q) -> (A, http::HeaderMap)
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<Q, A>::default();
        let path: PathAndQuery = path.parse().unwrap();
        let answer = client.unary(tonic::Request::new(request), path, codec);
        let (metadata, answer, _) = answer.await.unwrap().into_parts();
        (answer, metadata.into_headers())
    }

    async fn connect<Q, A>(&self, path: &str, codec: Codec, request: Q) -> (A, http::HeaderMap)
    where
        Q: Message + Name,
        A: Message + Name + Default,
    {
        let asked = Request::post(format!("{}{path}", self.place.url()));
        let asked = asked.header("content-type", codec.content_type());
        let body = Bytes::from(codec.encode(&request));
        let response = send(asked.body(Full::new(body)).unwrap()).await;
        let text = String::from_utf8_lossy(response.body()).into_owned();
        assert_eq!(response.status(), 200, "{path}: {text}");
        let (head, body) = response.into_parts();
        (codec.decode(body).unwrap(), head.headers)
    }
}
