//! Everything that was not stored is counted for its tenant, by reason, over all ingesters.

use cairn_wire::cairn::ingest::v1::forward_service_client::ForwardServiceClient;
use cairn_wire::cairn::ingest::v1::usage_service_client::UsageServiceClient;
use cairn_wire::cairn::ingest::v1::{Fate, StoreRequest, UsageRequest, UsageResponse};
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_client::ProfileStoreServiceClient;
use cairn_wire::parca::profilestore::v1alpha1::{WriteArrowRequest, WriteRequest};
use tonic::Code;

use crate::cluster::{NAMES, all_see, good, series, stop, three};
use crate::harness::{Running, config, folder};

async fn usage(running: &Running, tenant: &str) -> Result<UsageResponse, tonic::Status> {
    let mut client = UsageServiceClient::new(running.channel().await);
    let request = UsageRequest {
        tenant: tenant.to_owned(),
        is_local: false,
    };
    client.usage(request).await.map(tonic::Response::into_inner)
}

/// What happened, by which door, why, how often, to how many bytes.
type Row = (Fate, String, String, u64, u64);

async fn rows(running: &Running) -> Vec<Row> {
    let answer = usage(running, "").await.expect("answered");
    let rows = answer.rows.into_iter();
    rows.map(|row| {
        assert_eq!(row.tenant, "anonymous");
        (row.fate(), row.door, row.reason, row.count, row.bytes)
    })
    .collect()
}

fn row(fate: Fate, (door, reason): (&str, &str), count: u64, bytes: usize) -> Row {
    (fate, door.into(), reason.into(), count, bytes as u64)
}

#[tokio::test]
async fn whatever_is_not_stored_is_counted_by_reason() {
    let folder = folder();
    let mut config = config(folder.path());
    config.limits.request_bytes_max = 100_000;
    let running = Running::start(config).await;
    assert_eq!(rows(&running).await, []);

    let profile = good();
    let to = "/api/v1/profiles?label=service_name=cart";
    for _ in 0..2 {
        // The second is a repeat: it says when it is from.
        let target = format!("{to}&name=process_cpu&from=1699999990&until=1700000000");
        assert_eq!(running.post(&target, &[], &profile).await.status, 200);
    }
    let damaged = &profile[..profile.len() / 2];
    assert_eq!(running.post(to, &[], damaged).await.status, 422);
    let long = format!("{to}&label=x={}", "y".repeat(9_000));
    assert_eq!(running.post(&long, &[], &profile).await.status, 422);
    let wrong = format!("{to}&labels=cart");
    assert_eq!(running.post(&wrong, &[], &profile).await.status, 400);
    let huge = vec![b'x'; 200_000];
    assert_eq!(
        running.post("/ingest?name=cart", &[], &huge).await.status,
        413
    );
    let form = [("content-type", "multipart/form-data; boundary=b")];
    let empty = b"--b--\r\n";
    assert_eq!(
        running.post("/ingest?name=cart", &form, empty).await.status,
        422
    );

    // gRPC: what the server refuses, what a handler does, and a conversation that breaks.
    let mut client = ProfileStoreServiceClient::new(running.channel().await);
    let ipc_buffer = vec![b'x'; 100_000].into();
    let refused = client.write_arrow(WriteArrowRequest { ipc_buffer }).await;
    let refused = refused.expect_err("too large");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let ipc_buffer = vec![b'x'; 1_000].into();
    let refused = client.write_arrow(WriteArrowRequest { ipc_buffer }).await;
    assert_eq!(refused.expect_err("junk").code(), Code::InvalidArgument);
    let record = vec![b'x'; 100_000].into();
    let told = futures::stream::iter([WriteRequest { record }]);
    let refused = match client.write(told).await {
        Ok(answers) => answers.into_inner().message().await.expect_err("too large"),
        Err(status) => status,
    };
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");

    let expected = [
        row(Fate::Stored, ("Profiles", ""), 1, profile.len()),
        row(Fate::Repeated, ("Profiles", ""), 1, 0),
        row(Fate::Refused, ("Profiles", "labels"), 1, profile.len()),
        row(Fate::Refused, ("Profiles", "profile"), 1, damaged.len()),
        // Its length was only claimed.
        row(Fate::Failed, ("Ingest", "too_large"), 1, 100_001),
        row(Fate::Failed, ("Ingest", "unprocessable"), 1, empty.len()),
        // Refused for its address: its body was never read.
        row(Fate::Failed, ("Profiles", "malformed"), 1, 0),
        row(Fate::Failed, ("Write", "too_large"), 1, 100_001),
        // The record, and what it is wrapped in.
        row(Fate::Failed, ("WriteArrow", "malformed"), 1, 1_003),
        row(Fate::Failed, ("WriteArrow", "too_large"), 1, 100_001),
    ];
    assert_eq!(rows(&running).await, expected);

    let metrics = running.metrics().await;
    let line = "cairn_ingester_discarded_bytes_total{tenant=\"anonymous\",door=\"Ingest\",reason=\"too_large\"} 100001";
    assert!(metrics.contains(line), "{metrics}");
    let others = usage(&running, "somebody-else").await.expect("answered");
    assert_eq!(others.rows, []);
    let error = usage(&running, "../x")
        .await
        .expect_err("no name of a tenant");
    assert_eq!(error.code(), Code::InvalidArgument);
    running.stop().await;
}

#[tokio::test]
async fn what_several_ingesters_did_is_summed_up() {
    let members = three().await;
    all_see(&members, 1, &NAMES);
    let good = good();
    let push: Vec<_> = (0..30)
        .map(|service| series(service, &[&good, b"bad"]))
        .collect();
    let refused = members[0].write(push).await.expect_err("30 are bad");
    assert_eq!(refused.code(), Code::InvalidArgument);
    for member in &members {
        let expected = [
            row(Fate::Stored, ("WriteRaw", ""), 30, 30 * good.len()),
            row(Fate::Refused, ("WriteRaw", "profile"), 30, 30 * 3),
        ];
        assert_eq!(rows(&member.running).await, expected);
    }

    // What one passes on to another is counted by the first for its tenant, by the other once.
    let mut forward = ForwardServiceClient::new(members[1].running.channel().await);
    let nameless = forward.store(StoreRequest::default()).await;
    assert_eq!(
        nameless.expect_err("no tenant").code(),
        Code::InvalidArgument
    );
    let metrics = members[1].running.metrics().await;
    let failed = metrics.lines().filter(|line| {
        line.starts_with("cairn_ingester_failed_requests_total") && line.contains("Forward")
    });
    let failed: Vec<_> = failed.collect();
    let expected = r#"cairn_ingester_failed_requests_total{tenant="anonymous",door="Forward",reason="malformed"} 1"#;
    assert_eq!(failed, [expected]);
    let rows = rows(&members[0].running).await;
    assert!(
        rows.iter().all(|(_, door, ..)| door == "WriteRaw"),
        "{rows:?}"
    );

    // One that is gone is named.
    let [a, b, c] = members;
    c.running.stop().await;
    let answer = usage(&a.running, "").await.expect("answered");
    let silent = answer
        .sources
        .iter()
        .filter(|source| !source.error.is_empty());
    let silent: Vec<_> = silent.map(|source| source.ingester.as_str()).collect();
    assert_eq!((answer.sources.len(), silent), (3, vec!["c"]));
    assert!(answer.rows[0].count < 30);
    stop([a, b]).await;
}
