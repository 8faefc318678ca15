//! Requests as real clients sent them.

use bytes::Bytes;
use cairn_testkit::corpus;
use http::Request;
use http_body_util::Full;

use crate::fixture::{Fixture, SECOND, Sent, head, send};

/// The range that the captured requests ask for begins about here.
const CAPTURED: i64 = 1_795_367_000;

#[tokio::test]
async fn grpc_web_requests_of_parcas_client_are_answered() {
    let fixture = Fixture::start().await;
    let agent = |at: i64| Sent {
        name: "parca_agent",
        types: &[("samples", "count")],
        labels: &[("namespace", "default"), ("node", "n1")],
        at: at * SECOND,
        duration: SECOND,
        ..Sent::default()
    };
    let all: Vec<Sent<'_>> = (-40..40).map(|at| agent(CAPTURED + at * 100)).collect();
    fixture.add(&head(&all)).await;
    let mut answered = 0;
    for captured in corpus::captured() {
        let web = matches!(
            captured.client.as_str(),
            "parca-client-grpcweb-binary" | "parca-client-grpcweb-text" | "parca-client-chromium"
        );
        if !web {
            continue;
        }
        let uri = format!("http://{}{}", fixture.address(), captured.path);
        let mut request = Request::post(uri);
        for (name, value) in &captured.headers {
            let skipped = ["host", "connection", "content-length", "accept-encoding"];
            if !skipped.contains(&name.to_ascii_lowercase().as_str()) {
                request = request.header(name, value);
            }
        }
        let body = Full::new(Bytes::from(captured.body.clone()));
        let response = send(request.body(body).unwrap()).await;
        assert_eq!(response.status(), 200, "{}", captured.name);
        let status = response.headers().get("grpc-status");
        assert!(
            status.is_none_or(|status| status == "0"),
            "{}: {:?}",
            captured.name,
            response.headers()
        );
        assert!(!response.body().is_empty(), "{}", captured.name);
        answered += 1;
    }
    assert_eq!(answered, 11);
    fixture.stop().await;
}
