//! Every recorded request of the protocols we speak is answered as it was when it was recorded, and
//! its values are readable at once.

use cairn_testkit::corpus::{Captured, captured};
use cairn_wire::parca::profilestore::v1alpha1::WriteRawRequest;
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_client::ProfileStoreServiceClient;
use prost::Message;

use crate::harness::{Running, config, folder, total};

async fn send(running: &Running, request: &Captured) {
    if request.is_grpc {
        let message = WriteRawRequest::decode(&*request.body).expect("as recorded");
        let mut client = ProfileStoreServiceClient::new(running.channel().await);
        client.write_raw(message).await.expect("stored");
        return;
    }
    let target = format!("{}?{}", request.path, request.query_raw);
    let wanted = [
        "content-type",
        "content-encoding",
        "x-scope-orgid",
        "user-agent",
    ];
    let headers: Vec<_> = wanted
        .iter()
        .filter_map(|name| Some((*name, request.header(name)?)))
        .collect();
    let answer = running.post(&target, &headers, &request.body).await;
    assert_eq!(answer.status, 200, "{}: {}", request.name, answer.body);
}

#[tokio::test]
async fn every_capture_is_stored_and_readable_at_once() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let ours = |request: &Captured| match request.is_grpc {
        false => ["/ingest", "/push.v1.PusherService/Push"].contains(&&*request.path),
        // A body that lost bytes when it was made anonymous is no message any more.
        true => {
            request.path.ends_with("/WriteRaw") && WriteRawRequest::decode(&*request.body).is_ok()
        }
    };
    let mut expected = 0i64;
    let mut count = 0;
    for request in captured().iter().filter(|request| ours(request)) {
        send(&running, request).await;
        let values = request
            .pprofs()
            .into_iter()
            .map(|pprof| total(&pprof.bytes));
        expected = values.fold(expected, i64::wrapping_add);
        assert_eq!(running.total("{}").await, expected, "{}", request.name);
        count += 1;
    }
    assert!(count >= 35, "only {count} captures were found");

    let types = running.types("{}").await;
    for expected in [
        "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta",
        "memory:inuse_space:bytes:space:bytes",
        "mutex:contentions:count:contentions:count",
        "block:delay:nanoseconds:contentions:count",
        "goroutines:goroutine:count:goroutine:count",
        "wall:wall:nanoseconds:wall:nanoseconds",
    ] {
        assert!(
            types.iter().any(|t| t.starts_with(expected)),
            "no {expected} in {types:#?}"
        );
    }
    let labelled = running
        .total(r#"process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta{service_name="go.demo-app", region="eu-west-1", pyroscope_spy="gospy"}"#)
        .await;
    assert!(labelled > 0);

    // Senders retry after a lost answer: what has a time of its own counts once.
    for request in captured().iter().filter(|request| ours(request)) {
        send(&running, request).await;
    }
    assert_eq!(running.total("{}").await, expected);
    running.stop().await;
}
