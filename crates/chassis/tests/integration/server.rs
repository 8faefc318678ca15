use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context as TaskContext, Poll};

use axum::routing::{get, post};
use cairn_chassis::{Context, Options, Process, Routes};
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use prometheus_client::metrics::counter::Counter;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::client;

/// An empty `HealthCheckRequest` as one gRPC frame.
const CHECK: &[u8] = &[0, 0, 0, 0, 0];
/// `HealthCheckResponse{status: SERVING}` as one gRPC frame.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
const PATHS: [&str; 3] = [
    "/grpc.health.v1.Health/Check",
    "/api/grpc.health.v1.Health/Check",
    "/a/b/c/grpc.health.v1.Health/Check",
];

/// A gRPC service with one method, which panics.
#[derive(Clone)]
struct Boom;

impl tonic::server::NamedService for Boom {
    const NAME: &'static str = "test.v1.Boom";
}

impl tower::Service<Request<Body>> for Boom {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        Box::pin(async { panic!("boom") })
    }
}

async fn run(cx: Context) -> anyhow::Result<()> {
    let hits = Counter::<u64>::default();
    cx.metrics(|registry| registry.register("hits", "Hits", hits.clone()));
    let count = move || {
        hits.inc();
        async { "hello" }
    };
    async fn panics() -> &'static str {
        panic!("boom")
    }
    let http = axum::Router::new()
        .route("/hello", get(count))
        .route("/boom", get(panics));
    let routes = Routes::new()
        .grpc(Boom)
        .connect("/test.v1.Boom/Call", post(async || "connect"))
        .http(http);
    cx.serve(routes).await
}

async fn started() -> Process {
    let process = Process::bind(Options::for_tests(), &["some"])
        .await
        .unwrap();
    process.run("some", run);
    process.ready().await;
    process
}

async fn channel(address: SocketAddr) -> Channel {
    let uri = format!("http://{address}");
    Channel::from_shared(uri).unwrap().connect().await.unwrap()
}

async fn check(address: SocketAddr, service: &str) -> ServingStatus {
    let mut health = HealthClient::new(channel(address).await);
    let service = service.to_owned();
    let answer = health.check(HealthCheckRequest { service }).await.unwrap();
    let HealthCheckResponse { status } = answer.into_inner();
    status.try_into().unwrap()
}

#[tokio::test]
async fn grpc_answers_under_any_prefix() {
    let process = started().await;
    // Health follows readiness in a task of its own.
    while check(process.address(), "test.v1.Boom").await != ServingStatus::Serving {}
    assert_eq!(check(process.address(), "").await, ServingStatus::Serving);
    let prefixed: Uri = format!("http://{}/some/prefix", process.address())
        .parse()
        .unwrap();
    let channel = channel(process.address()).await;
    let mut health = HealthClient::with_origin(channel, prefixed);
    let answer = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status, ServingStatus::Serving as i32);
    process.stop().await.unwrap();
}

#[tokio::test]
async fn grpc_web_answers_under_any_prefix_in_binary_and_text() {
    let process = started().await;
    while check(process.address(), "").await != ServingStatus::Serving {}
    for path in PATHS {
        let binary = "application/grpc-web+proto";
        let answer = client::post(process.address(), path, binary, CHECK).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["content-type"], binary);
        let (message, trailers) = answer.body().split_at(SERVING.len());
        assert_eq!(message, SERVING);
        assert_eq!(trailers[0], 0x80, "the frame of the trailers");
        assert!(trailers.windows(13).any(|text| text == b"grpc-status:0"));

        let text = "application/grpc-web-text";
        let answer = client::post(process.address(), path, text, b"AAAAAAA=").await;
        assert!(client::text(&answer).starts_with("AAAAAAIIAQ"), "{path}");
    }
    process.stop().await.unwrap();
}

#[tokio::test]
async fn pages_of_this_machine_may_read_grpc_web_and_others_not() {
    let process = started().await;
    let answer = client::post(process.address(), PATHS[0], "application/grpc-web", CHECK).await;
    let headers = answer.headers();
    assert_eq!(
        headers["access-control-allow-origin"],
        "http://localhost:3000"
    );
    let exposed = headers["access-control-expose-headers"].to_str().unwrap();
    for header in [
        "grpc-status",
        "grpc-message",
        "cairn-partial",
        "cairn-warning",
        "cairn-max-error",
    ] {
        assert!(exposed.contains(header), "{header} in {exposed}");
    }

    let foreign = Request::get(format!("http://{}/hello", process.address()))
        .header("origin", "http://example.com")
        .body(Default::default());
    let answer = client::send(foreign.unwrap()).await;
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    process.stop().await.unwrap();
}

#[tokio::test]
async fn what_nobody_serves_is_refused_in_the_words_of_its_protocol() {
    let process = started().await;
    let path = "/some.v1.Unknown/Method";
    let answer = client::post(process.address(), path, "application/grpc-web", CHECK).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["grpc-status"], "12");

    let answer = client::get(process.address(), "/nothing").await;
    assert_eq!(answer.status(), 404);
    let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(body["code"], "not_found");
    process.stop().await.unwrap();
}

#[tokio::test]
async fn the_content_type_tells_connect_from_grpc_on_one_path() {
    let process = started().await;
    let path = "/test.v1.Boom/Call";
    let answer = client::post(process.address(), path, "application/proto", b"").await;
    assert_eq!(client::text(&answer), "connect");
    let answer = client::post(process.address(), path, "application/grpc-web", CHECK).await;
    assert_eq!(answer.headers()["grpc-status"], "13");
    process.stop().await.unwrap();
}

#[tokio::test]
async fn a_panic_fails_the_request_and_nothing_else() {
    let process = started().await;
    let answer = client::get(process.address(), "/boom").await;
    assert_eq!(answer.status(), 500);
    let mut boom = tonic::client::Grpc::new(channel(process.address()).await);
    boom.ready().await.unwrap();
    let codec = tonic_prost_codec();
    let path = http::uri::PathAndQuery::from_static("/test.v1.Boom/Call");
    let request = tonic::Request::new(HealthCheckRequest::default());
    let status = boom.unary(request, path, codec).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Internal);
    assert_eq!(
        client::text(&client::get(process.address(), "/hello").await),
        "hello"
    );

    let metrics = client::get(process.admin_address(), "/metrics").await;
    let metrics = client::text(&metrics);
    for line in [
        "cairn_some_hits_total 1",
        "cairn_panics_total 2",
        r#"cairn_requests_total{method="GET /boom",code="500"} 1"#,
        r#"cairn_requests_total{method="/test.v1.Boom/Call",code="Internal"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    #[cfg(target_os = "linux")]
    for name in ["allocated", "active", "resident"] {
        let name = format!("cairn_process_memory_{name}_bytes ");
        let mut lines = metrics.lines().filter_map(|line| line.strip_prefix(&name));
        let bytes: u64 = lines.next().expect(&name).parse().unwrap();
        assert!((100_000..1 << 40).contains(&bytes), "{name}{bytes}");
    }
    process.stop().await.unwrap();
}

#[tokio::test]
async fn reflection_lists_what_is_served() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let process = started().await;
    let mut reflection = ServerReflectionClient::new(channel(process.address()).await);
    let list = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection.server_reflection_info(futures::stream::iter([list]));
    let mut answers = answers.await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
    assert!(names.contains(&"test.v1.Boom"), "{names:?}");
    assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
    drop(answers);
    process.stop().await.unwrap();
}

#[tokio::test]
async fn services_share_one_port_and_are_unavailable_until_all_serve() {
    let process = Process::bind(Options::for_tests(), &["some", "other"])
        .await
        .unwrap();
    process.run("some", run);
    let address = process.address();
    while client::get(address, "/hello").await.status() != 200 {}
    assert_eq!(client::get(address, "/other").await.status(), 503);
    assert_eq!(
        client::get(process.admin_address(), "/ready")
            .await
            .status(),
        503
    );

    let held = process.context("other").ready();
    held.hold("replaying the log");
    process.run("other", async |cx| {
        let http = axum::Router::new().route("/other", get(async || "other"));
        cx.serve(Routes::new().http(http)).await
    });
    while client::get(address, "/other").await.status() != 200 {}
    let ready = client::get(process.admin_address(), "/ready").await;
    assert_eq!(ready.status(), 503);
    assert!(client::text(&ready).contains("other: replaying the log"));
    held.release();
    process.ready().await;
    assert_eq!(
        client::get(process.admin_address(), "/ready")
            .await
            .status(),
        200
    );
    assert_eq!(
        client::get(process.admin_address(), "/live").await.status(),
        200
    );
    process.stop().await.unwrap();
}

/// The generated clients hide theirs, and a stream of one message needs no other.
fn tonic_prost_codec() -> tonic_prost::ProstCodec<HealthCheckRequest, HealthCheckResponse> {
    tonic_prost::ProstCodec::new()
}
