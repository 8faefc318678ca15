//! What is wrong with a request is told by the code that its protocol has for it, with the reason.

use std::time::Duration;

use bytesize::ByteSize;
use cairn_testkit::corpus;
use cairn_wire::parca::profilestore::v1alpha1::profile_store_service_client::ProfileStoreServiceClient;
use cairn_wire::parca::profilestore::v1alpha1::{
    Label, LabelSet, RawProfileSeries, RawSample, WriteArrowRequest, WriteRawRequest,
};
use tonic::Code;

use crate::harness::{Running, config, folder, total};

fn good() -> Vec<u8> {
    let captured = corpus::captured().into_iter();
    let mut pprofs = captured
        .filter(|c| c.client == "pyroscope-go")
        .flat_map(|c| c.pprofs());
    pprofs.next().expect("the corpus has it").bytes
}

fn series(labels: &[(&str, &str)], profiles: &[&[u8]]) -> RawProfileSeries {
    let label = |(name, value): &(&str, &str)| Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    RawProfileSeries {
        labels: Some(LabelSet {
            labels: labels.iter().map(label).collect(),
        }),
        samples: profiles
            .iter()
            .map(|raw| RawSample {
                raw_profile: raw.to_vec().into(),
                ..RawSample::default()
            })
            .collect(),
    }
}

async fn write_raw(running: &Running, series: Vec<RawProfileSeries>) -> Result<(), tonic::Status> {
    let mut client = ProfileStoreServiceClient::new(running.channel().await);
    let request = WriteRawRequest {
        series,
        ..WriteRawRequest::default()
    };
    client.write_raw(request).await.map(drop)
}

#[tokio::test]
async fn write_raw_refuses_with_the_reason() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let good = good();
    let cpu = ("__name__", "process_cpu");
    let unlabelled = RawProfileSeries {
        labels: None,
        ..series(&[], &[&good])
    };
    let long = "x".repeat(1025);
    let mut cut = good.clone();
    cut.truncate(good.len() / 2);
    for (series, reason) in [
        (unlabelled, "missing __name__ label"),
        (series(&[("pod", "a")], &[&good]), "missing __name__ label"),
        (
            series(&[cpu, ("a", "1"), ("a", "2")], &[&good]),
            "duplicate label name \"a\"",
        ),
        (series(&[cpu, ("", "1")], &[&good]), "empty label name"),
        (series(&[cpu, ("a\n", "1")], &[&good]), "control character"),
        (
            series(&[cpu, (&long, "1")], &[&good]),
            "label_name_bytes_max=1024",
        ),
        (
            series(&[("__name__", "a:b")], &[&good]),
            "invalid profile name",
        ),
        (
            series(&[cpu], &[b"\xff\xff\xff"]),
            "failed to parse profile: ",
        ),
        (series(&[cpu], &[&cut]), "failed to parse profile: gzip"),
        (series(&[cpu], &[b""]), "invalid profile: "),
    ] {
        let status = write_raw(&running, vec![series]).await.expect_err(reason);
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(
            status.message().contains(reason),
            "{status:?} is not {reason:?}"
        );
    }
    assert_eq!(running.total("{}").await, 0);
    running.stop().await;
}

#[tokio::test]
async fn one_bad_profile_is_named_and_the_others_are_stored() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let good = good();
    let cpu = ("__name__", "process_cpu");
    let mixed = vec![
        series(&[cpu], &[&good, b"junk"]),
        series(&[("pod", "a")], &[&good]),
    ];
    let status = write_raw(&running, mixed)
        .await
        .expect_err("two of three are bad");
    assert_eq!(status.code(), Code::InvalidArgument);
    let text = status.message();
    for part in [
        "series 0 (process_cpu), sample 1: ",
        "series 1, sample 0: ",
        "stored 1",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(
        running.total("{}").await,
        total(&good),
        "the good one is stored"
    );

    let mut client = ProfileStoreServiceClient::new(running.channel().await);
    let status = client
        .write_arrow(WriteArrowRequest::default())
        .await
        .expect_err("it is empty");
    assert_eq!(status.code(), Code::InvalidArgument);
    running.stop().await;
}

const PUSH: &str = "/push.v1.PusherService/Push";
const INGEST: &str = "/ingest?name=a&format=pprof";

/// A request and its answer: status, and a part of the body.
struct Case {
    target: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: Vec<u8>,
    status: u16,
    reason: &'static str,
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const PROTO: &[(&str, &str)] = &[("content-type", "application/proto")];
const GZIP: &[(&str, &str)] = &[
    ("content-type", "application/proto"),
    ("content-encoding", "gzip"),
];
const BROTLI: &[(&str, &str)] = &[
    ("content-type", "application/proto"),
    ("content-encoding", "br"),
];
const FORM: &[(&str, &str)] = &[("content-type", "multipart/form-data; boundary=x")];

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let large = vec![0; 100_001];
    let cut = br#"{"series":[{"samples":[{"rawProfile":"AAAA"}]}]}"#;
    let case = |target, headers, body: &[u8], status, reason| Case {
        target, headers, body: body.to_vec(), status, reason,
    };
    vec![
        case("/ingest?format=pprof", &[], &good(), 400, "\\\"name\\\" is missing"),
        case("/ingest?name=a%7B&format=pprof", &[], &good(), 400, "do not end with"),
        case("/ingest?name=a&format=pprof&from=x", &[], &good(), 400, "invalid time"),
        case("/ingest?name=a&format=jfr", &[], &good(), 422, "chunk"),
        case("/ingest?name=a", &[], b"a;b 1\na;c", 422, "line 2"),
        case(INGEST, &[], b"junk", 422, "failed to parse profile"),
        case(INGEST, &[], &bomb(), 422, "profile_bytes_max=200000"),
        case(INGEST, FORM, b"--x--\r\n", 422, "no field \\\"profile\\\""),
        case(INGEST, FORM, b"--x\r\n", 422, "invalid form"),
        case(INGEST, &[], &large, 413, "request_bytes_max=100000"),
        case(INGEST, &BROTLI[1..], &good(), 400, "content-encoding"),
        case(PUSH, PROTO, b"", 400, "no profiles received"),
        case(PUSH, PROTO, b"\xff", 400, "not a PushRequest"),
        case(PUSH, JSON, b"{\"series\":7}", 400, "invalid_argument"),
        case(PUSH, JSON, cut, 400, "missing __name__ label"),
        case(PUSH, GZIP, b"not gzip", 400, "not valid gzip"),
        case(PUSH, GZIP, &bomb(), 400, "profile_bytes_max=200000"),
        case(PUSH, BROTLI, b"", 400, "content-encoding"),
    ]
}

fn bomb() -> Vec<u8> {
    use std::io::Write;
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(&vec![0; 1 << 20]).expect("memory takes it");
    out.finish().expect("memory takes it")
}

#[tokio::test]
async fn http_doors_refuse_with_their_own_codes() {
    let folder = folder();
    let config = cairn_ingester::Config {
        limits: cairn_model::Limits {
            request_bytes_max: 100_000,
            profile_bytes_max: 200_000,
            ..cairn_model::Limits::default()
        },
        ..config(folder.path())
    };
    let running = Running::start(config).await;
    for case in cases() {
        let answer = running.post(case.target, case.headers, &case.body).await;
        let (target, reason) = (case.target, case.reason);
        assert_eq!(answer.status, case.status, "{target}: {answer:?}");
        assert!(
            answer.body.contains(reason),
            "{target}: {answer:?} is not {reason:?}"
        );
        assert!(answer.body.contains("\"code\""), "{answer:?}");
    }
    let text = [("content-type", "text/plain")];
    assert_eq!(running.post(PUSH, &text, b"").await.status, 415);
    assert_eq!(running.total("{}").await, 0);
    running.stop().await;
}

#[tokio::test]
async fn profiles_of_another_time_are_refused_by_the_limits_they_break() {
    let folder = folder();
    let config = cairn_ingester::Config {
        age_max: Some(Duration::from_secs(60)),
        ..config(folder.path())
    };
    let running = Running::start(config).await;
    let raw = corpus::captured();
    let raw = raw
        .iter()
        .find(|c| c.client == "pyroscope-go")
        .expect("there")
        .pprofs();
    let answer = running
        .post("/ingest?name=a&format=pprof", &[], &raw[0].bytes)
        .await;
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains("more than age_max=60s"), "{answer:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_push_waits_until_rows_before_it_are_in_blocks() {
    let folder = folder();
    let mut config = config(folder.path());
    config.tail.memory_bytes_max = ByteSize::b(1);
    config.tail.head_bytes_max = ByteSize::b(1);
    config.admission.wait_max = Duration::from_secs(60);
    let running = Running::start(config).await;
    for name in ["a", "b", "c"] {
        let target = format!("/ingest?name={name}&format=pprof");
        let answer = running.post(&target, &[], &good()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_full_memory_is_answered_by_a_code_that_senders_retry() {
    let folder = folder();
    let mut config = config(folder.path());
    config.tail.memory_bytes_max = ByteSize::b(1);
    // Flushing would make room again.
    config.tail.head_bytes_max = ByteSize::gib(1);
    config.admission.wait_max = Duration::ZERO;
    let running = Running::start(config).await;
    let good = good();
    let target = "/ingest?name=a&format=pprof";
    assert_eq!(running.post(target, &[], &good).await.status, 200);
    let answer = running.post(target, &[], &good).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.head.contains("retry-after: 5"), "{answer:?}");
    assert!(answer.body.contains("memory_bytes_max=1"), "{answer:?}");
    let cpu = series(&[("__name__", "process_cpu")], &[&good]);
    let status = write_raw(&running, vec![cpu]).await.expect_err("no room");
    assert_eq!(status.code(), Code::Unavailable);
    running.stop().await;
}
