//! Pyroscope's `push.v1.PusherService/Push` over Connect (protobuf and JSON), gRPC and gRPC-web.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cairn_chassis::Peer;
use cairn_wire::connect::Codec;
use cairn_wire::push::v1 as wire;
use http::{HeaderMap, StatusCode, header};
use prost::Message;
use tonic::{Request, Status};
use wire::pusher_service_server::{PusherService, PusherServiceServer};

use super::body::{self, Coding, Received};
use super::caller::Caller;
use crate::error::Error;
use crate::ingester::Ingester;
use crate::push::{Door, Naming, Push, Raw, Series};

pub(super) const PATH: &str = "/push.v1.PusherService/Push";

/// The service over gRPC.
#[derive(Clone, Debug)]
pub(super) struct Pusher(Ingester);

pub(super) fn server(ingester: Ingester) -> PusherServiceServer<Pusher> {
    PusherServiceServer::new(Pusher(ingester))
}

#[tonic::async_trait]
impl PusherService for Pusher {
    async fn push(
        &self,
        request: Request<wire::PushRequest>,
    ) -> Result<tonic::Response<wire::PushResponse>, Status> {
        let caller = Caller::of_grpc(&request);
        let request = request.into_inner();
        let stored = async {
            let bytes = request.encoded_len();
            caller.held.settle(bytes, &self.0).await?;
            store(&self.0, &caller, request).await
        };
        match stored.await {
            Ok(()) => Ok(tonic::Response::new(wire::PushResponse {})),
            Err(error) => {
                caller.failed(&self.0, Door::Push, &error);
                Err(cairn_wire::status(error.code(), &error.to_string()))
            }
        }
    }
}

/// The service over Connect.
pub(super) async fn connect(
    State(ingester): State<Ingester>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let caller = Caller::of_http(&headers, peer);
    let Some(codec) = Codec::of(&body::media_type(&headers)) else {
        let accepted = [("accept-post", Codec::ACCEPTED)];
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, accepted).into_response();
    };
    let answered = async {
        let coding = Coding::of(&headers)?;
        let received = body::read(&ingester, (&caller, &headers), body).await?;
        let received = received.inflated(coding, &ingester).await?;
        let request = decode(&ingester, &received, codec).await?;
        store(&ingester, &caller, request).await
    };
    match answered.await {
        Ok(()) => {
            let content_type = [(header::CONTENT_TYPE, codec.content_type())];
            (content_type, codec.encode(&wire::PushResponse {})).into_response()
        }
        Err(error) => {
            caller.failed(&ingester, Door::Push, &error);
            refusal(&error)
        }
    }
}

async fn decode(
    ingester: &Ingester,
    received: &Received,
    codec: Codec,
) -> Result<wire::PushRequest, Error> {
    let bytes = received.bytes.clone();
    let decode = move || codec.decode(bytes);
    let decoded = ingester.cx().compute(decode).await;
    decoded.map_err(|error| Error::Malformed(error.to_string()))
}

async fn store(
    ingester: &Ingester,
    caller: &Caller,
    request: wire::PushRequest,
) -> Result<(), Error> {
    let push = Push {
        tenant: caller.tenant.clone(),
        door: Door::Push,
        sender: caller.sender.clone(),
        received: ingester.cx().clock().now(),
        from: None,
        until: None,
        normalized: false,
        series: request.series.into_iter().map(read_series).collect(),
        tables: Vec::new(),
    };
    if push.profiles() == 0 {
        return Err(Error::Malformed("no profiles received".to_owned()));
    }
    ingester.push(push).await
}

fn read_series(series: wire::RawProfileSeries) -> Series {
    let labels = series.labels.into_iter();
    let raw = |sample: wire::RawSample| Raw::pprof(sample.raw_profile);
    Series {
        labels: labels.map(|pair| (pair.name, pair.value)).collect(),
        naming: Naming::Required,
        profiles: series.samples.into_iter().map(raw).collect(),
        ..Series::default()
    }
}

/// An error as Connect spells it.
fn refusal(error: &Error) -> Response {
    super::ingest::error_response(cairn_wire::http_status(error.code()), error)
}
