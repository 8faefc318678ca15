//! `ProfilesService/Export` over gRPC and gRPC-web, with the request's bytes as they came.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use cairn_wire::AsSent;
use futures::FutureExt;
use futures::future::BoxFuture;
use prost::Message;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};

use super::super::caller::Caller;
use super::{Form, store};
use crate::ingester::Ingester;
use crate::push::Door;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) ingester: Ingester,
    pub(crate) bytes_max: usize,
}

const EXPORT: &str = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";

impl NamedService for Service {
    const NAME: &'static str =
        "opentelemetry.proto.collector.profiles.v1development.ProfilesService";
}

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != EXPORT {
            let text = format!("{} is no method of this service", request.uri().path());
            let response = cairn_wire::unimplemented(&text).into_http();
            return async move { Ok(response) }.boxed();
        }
        let method = Export(self.ingester.clone());
        let mut grpc = Grpc::new(AsSent)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(self.bytes_max);
        async move { Ok(grpc.unary(method, request).await) }.boxed()
    }
}

struct Export(Ingester);

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let ingester = self.0.clone();
        async move {
            let caller = Caller::of_grpc(&request);
            let bytes = request.into_inner();
            let stored = async {
                caller.held.settle(bytes.len(), &ingester).await?;
                store(&ingester, &caller, bytes, Form::Protobuf).await
            };
            let answer = stored.await.map(|answer| answer.encode_to_vec().into());
            answer.map(Response::new).map_err(|error| {
                caller.failed(&ingester, Door::Otlp, &error);
                cairn_wire::status(error.patient_code(), &error.to_string())
            })
        }
        .boxed()
    }
}
