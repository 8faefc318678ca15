//! A plain HTTP/1.1 client, so that tests see exactly what is on the wire.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

pub(crate) async fn send(request: Request<Full<Bytes>>) -> Response<Bytes> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Response<Bytes> {
    let request = Request::get(format!("http://{address}{path}"));
    send(request.body(Full::default()).unwrap()).await
}

pub(crate) async fn post(
    address: SocketAddr,
    path: &str,
    content_type: &str,
    body: &'static [u8],
) -> Response<Bytes> {
    let request = Request::post(format!("http://{address}{path}"))
        .header("content-type", content_type)
        .header("origin", "http://localhost:3000")
        .header("x-grpc-web", "1");
    send(request.body(Full::from(body)).unwrap()).await
}

pub(crate) fn text(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}
