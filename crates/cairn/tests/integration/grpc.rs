//! One gRPC call of bytes: a recorded message goes out as it is, whatever fields it has.

use bytes::Bytes;
use cairn_wire::AsSent;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

pub(crate) async fn call(url: &str, path: &str, message: &[u8]) -> Result<Bytes, Status> {
    let channel = Endpoint::from_shared(url.to_owned())
        .unwrap()
        .connect_lazy();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let request = Request::new(Bytes::copy_from_slice(message));
    let path = PathAndQuery::try_from(path).unwrap();
    let answer = grpc.unary(request, path, AsSent).await?;
    Ok(answer.into_inner())
}
