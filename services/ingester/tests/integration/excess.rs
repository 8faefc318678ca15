//! Profiles with more than there may be: they keep their sums, or are refused if the tenant wants
//! that.

use cairn_ingester::{Config, TenantConfig};
use cairn_model::{Excess, TenantId};
use cairn_parca::write::{self, Sample};
use cairn_testkit::corpus::captured;
use cairn_wire::cairn::query::v1::Stacks;
use cairn_wire::cairn::query::v1::scan_ticket::Question;
use cairn_wire::parca::profilestore::v1alpha1::WriteArrowRequest;
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_client::ProfileStoreServiceClient;
use tonic::Code;

use crate::agents::{frames, sample};
use crate::cluster::good;
use crate::formats::{EXPORT, call};
use crate::harness::{NOW, Running, config, copy_folder, folder, total};

fn strict(config: &mut Config) {
    config.limits.excess = Excess::Refuse;
}

async fn with_few_samples(folder: &std::path::Path, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = config(folder);
    config.limits.samples_max = 1;
    change(&mut config);
    Running::start(config).await
}

/// Three stacks in each format of `/ingest`, of which one has a place.
const TEXTS: [(&str, &[u8]); 2] = [
    ("name=folded", b"main;a 3\nmain;b 4\nmain;c 5\n"),
    ("name=lines&format=lines", b"main;a\nmain;b\nmain;c\n"),
];

fn otlp() -> Vec<u8> {
    let all = captured();
    let found = all.iter().find(|request| {
        request
            .name
            .starts_with("otel-sdk-extension-profiling-grpc/001")
    });
    found.expect("the corpus has it").body.clone()
}

#[tokio::test]
async fn a_tenant_s_own_limits_hold_for_it() {
    let folder = folder();
    let own =
        serde_json::json!({"samples_max": 1, "excess": "refuse", "request_bytes_max": 100_000});
    let mut config = config(folder.path());
    for (tenant, limits) in [("anonymous", own), ("other", serde_json::json!({}))] {
        let json = serde_json::json!({ "limits": limits });
        let own: TenantConfig = serde_json::from_value(json).expect("valid");
        let tenant = TenantId::parse(tenant).expect("valid");
        config.tenants.insert(tenant, own);
    }
    let running = Running::start(config).await;
    let to = "/api/v1/profiles?label=service_name=pprof&name=process_cpu";
    let answer = running.post(to, &[], &good()).await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(answer.body.contains("samples_max=1"), "{}", answer.body);
    for (query, text) in TEXTS {
        let answer = running.post(&format!("/ingest?{query}"), &[], text).await;
        assert!(answer.body.contains("samples_max=1"), "{}", answer.body);
    }
    let answer = running.post(to, &[], &[0; 100_001]).await;
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("request_bytes_max=100000"));
    let mut client = ProfileStoreServiceClient::new(running.channel().await);
    let ipc_buffer = vec![0; 100_000].into();
    let refused = client.write_arrow(WriteArrowRequest { ipc_buffer }).await;
    let refused = refused.expect_err("too large");
    assert!(refused.message().contains("request_bytes_max=100000"));
    running.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_is_summed_up_and_counted() {
    let folder = folder();
    let running = with_few_samples(folder.path(), |_| {}).await;
    let profile = good();
    let to = "/api/v1/profiles?label=service_name=pprof&name=process_cpu";
    assert_eq!(running.post(to, &[], &profile).await.status, 200);
    let kept = running.total(r#"{service_name="pprof"}"#).await;
    assert_eq!(kept, total(&profile), "nothing is lost of the sum");

    for (query, text) in TEXTS {
        let target = format!("/ingest?{query}&units=samples&sampleRate=1000000000");
        let answer = running.post(&target, &[], text).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    }
    assert_eq!(running.total(r#"{service_name="folded"}"#).await, 12);
    assert_eq!(running.total(r#"{service_name="lines"}"#).await, 3);

    let before = running.total("{}").await;
    call(&running, EXPORT, &otlp()).await.expect("stored");
    assert_eq!(running.total("{}").await - before, 319 * 10_000_000);

    let [native, named] = frames();
    let rows = [
        sample("n1", &[native.clone()].into(), (1, 5)),
        sample("n1", &[named.clone()].into(), (2, 7)),
        sample("n1", &[native, named].into(), (3, 9)),
    ];
    let ipc_buffer = write::v2(&rows).into();
    let mut client = ProfileStoreServiceClient::new(running.channel().await);
    let written = client.write_arrow(WriteArrowRequest { ipc_buffer }).await;
    written.expect("stored");
    assert_eq!(running.total(r#"{node="n1"}"#).await, 21);

    // As many times as rows: more of them than there may be samples.
    let at = |row: i64| Sample {
        time: NOW + row,
        ..sample("n2", &[frames()[0].clone()].into(), (1, 1))
    };
    let rows: Vec<Sample> = (0..5).map(at).collect();
    let ipc_buffer = write::v2(&rows).into();
    let written = client.write_arrow(WriteArrowRequest { ipc_buffer }).await;
    written.expect("stored");
    assert_eq!(running.total(r#"{node="n2"}"#).await, 5);

    let metrics = running.metrics().await;
    assert!(metrics.contains(r#"door="WriteArrow",reason="truncated_points"} 5"#));
    let counted = |door: &str, count: &str| {
        let line = format!(
            "cairn_ingester_altered_parts_total{{tenant=\"anonymous\",door=\"{door}\",reason=\"truncated_samples\"}} {count}"
        );
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    };
    counted("Ingest", "4");
    counted("WriteArrow", "2");
    counted("Otlp", "");
    counted("Profiles", "");

    // A log is read again as it was taken in, whatever the limits are now.
    let copy = crate::harness::folder();
    copy_folder(folder.path(), copy.path());
    let again = Running::start(config(copy.path())).await;
    for selector in ["{}", r#"{service_name="pprof"}"#] {
        let mut answers = Vec::new();
        for running in [&running, &again] {
            let question = Question::Stacks(Stacks::default());
            let scanned = running.scan(selector, question, None).await;
            answers.push(scanned.expect("the tail answers").answer);
        }
        assert_eq!(answers[0], answers[1]);
    }
    again.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn a_tenant_may_want_it_refused() {
    let folder = folder();
    let running = with_few_samples(folder.path(), strict).await;
    let to = "/api/v1/profiles?label=service_name=pprof&name=process_cpu";
    let why = "more than samples_max=1";
    let answer = running.post(to, &[], &good()).await;
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains(why), "{}", answer.body);
    for (query, text) in TEXTS {
        let target = format!("/ingest?{query}");
        let answer = running.post(&target, &[], text).await;
        assert_eq!(answer.status, 422);
        assert!(answer.body.contains(why), "{}", answer.body);
    }
    let answer = call(&running, EXPORT, &otlp()).await.expect("answered");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains(why), "{answer}");

    let [native, named] = frames();
    let rows = [
        sample("n1", &[native].into(), (1, 5)),
        sample("n1", &[named].into(), (2, 7)),
    ];
    let ipc_buffer = write::v2(&rows).into();
    let mut client = ProfileStoreServiceClient::new(running.channel().await);
    let written = client.write_arrow(WriteArrowRequest { ipc_buffer }).await;
    let refused = written.expect_err("too many");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains(why), "{refused}");
    assert_eq!(running.total("{}").await, 0);
    running.stop().await;

    // Deep stacks likewise.
    let deep = b"a;b;c;d 1\n";
    for (excess, status) in [(Excess::Truncate, 200), (Excess::Refuse, 422)] {
        let folder = crate::harness::folder();
        let mut config = config(folder.path());
        config.limits.depth_max = 3;
        config.limits.excess = excess;
        let running = Running::start(config).await;
        let answer = running.post("/ingest?name=deep", &[], deep).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        let is_named = answer.body.contains("depth_max=3");
        assert_eq!(is_named, excess == Excess::Refuse, "{}", answer.body);
        running.stop().await;
    }
}
