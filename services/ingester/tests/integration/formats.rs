//! What comes by the doors that are not for pprof is readable at once, and adds up to what was sent.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use cairn_testkit::corpus::captured;
use cairn_wire::AsSent;
use cairn_wire::opentelemetry::proto::collector::profiles::v1development::ExportProfilesServiceResponse;
use prost::Message;
use tonic::{Code, Request, Status};

use crate::harness::{Running, config, folder};

const NOW: i64 = 1_700_000_000_000_000_000;
pub(crate) const EXPORT: &str =
    "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";

/// Sums over all values of the recorded requests, by another reader. Times of the wall clock are
/// sent as counts, of which each stands for its period.
const RECORDED: [(&str, i64); 7] = [
    (
        "otel-sdk-extension-profiling-http/001",
        71 * 10_000_000 + 29_206 + 317,
    ),
    ("otel-sdk-extension-profiling-grpc/001", 319 * 10_000_000),
    ("otel-sdk-extension-profiling-grpc/002", 288 * 10_000_000),
    ("otel-sdk-extension-profiling-grpc/003", 88 * 10_000_000),
    ("beacon-profiling-http/001", 237 * 10_000_000),
    ("beacon-profiling-http/002", 310 * 10_000_000),
    ("beacon-profiling-http/003", 82 * 10_000_000),
];

pub(crate) async fn call(
    running: &Running,
    path: &'static str,
    body: &[u8],
) -> Result<Bytes, Status> {
    let mut grpc = tonic::client::Grpc::new(running.channel().await);
    grpc.ready().await.expect("it listens");
    let request = Request::new(Bytes::copy_from_slice(body));
    let path = http::uri::PathAndQuery::from_static(path);
    let answer = grpc.unary(request, path, AsSent).await?;
    Ok(answer.into_inner())
}

#[tokio::test]
async fn recorded_otlp_requests_add_up_to_what_was_sent() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let mut expected = 0;
    for (name, sum) in RECORDED {
        let all = captured();
        let found = all.iter().find(|request| request.name.starts_with(name));
        let request = found.unwrap_or_else(|| panic!("no {name} among the recordings"));
        match request.is_grpc {
            true => {
                let answer = call(&running, EXPORT, &request.body).await;
                assert_eq!(answer.expect("stored"), Bytes::new(), "nothing is refused");
            }
            false => {
                let wanted = ["content-type", "content-encoding", "user-agent"];
                let headers = wanted.iter().filter_map(|h| Some((*h, request.header(h)?)));
                let headers: Vec<_> = headers.collect();
                let answer = running.post(&request.path, &headers, &request.body).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                assert_eq!(answer.body, "", "nothing is refused");
            }
        }
        expected += sum;
        assert_eq!(running.total("{}").await, expected, "{name}");
    }
    // Sent again, since the answer was lost.
    for (name, _) in RECORDED {
        let all = captured();
        let request = all.iter().find(|request| request.name.starts_with(name));
        let request = request.expect("it was there before");
        if request.is_grpc {
            call(&running, EXPORT, &request.body).await.expect("stored");
        }
    }
    assert_eq!(running.total("{}").await, expected);
    running.stop().await;
}

#[tokio::test]
async fn otlp_json_is_answered_in_json_with_what_was_refused() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let profile = |stack: u32| {
        format!(
            r#"{{"sampleType":{{"typeStrindex":1,"unitStrindex":2}},"timeUnixNano":"{NOW}","durationNano":"1000000000",
                "samples":[{{"stackIndex":{stack},"values":["7"]}}]}}"#
        )
    };
    let body = format!(
        r#"{{"resourceProfiles":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"cart"}}}}]}},
            "scopeProfiles":[{{"profiles":[{},{}]}}]}}],
            "dictionary":{{"stringTable":["","events","count","main"],
              "functionTable":[{{}},{{"nameStrindex":3}}],
              "locationTable":[{{}},{{"lines":[{{"functionIndex":1,"line":"3"}}]}}],
              "stackTable":[{{}},{{"locationIndices":[1]}}],
              "mappingTable":[{{}}],"linkTable":[{{}}],"attributeTable":[{{}}]}}}}"#,
        profile(1),
        profile(9)
    );
    let json = [("content-type", "application/json")];
    let answer = running
        .post("/v1development/profiles", &json, body.as_bytes())
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let said: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(said["partialSuccess"]["rejectedProfiles"], "1", "{said}");
    let text = said["partialSuccess"]["errorMessage"]
        .as_str()
        .expect("a text");
    assert!(text.contains("resource 0, scope 0, profile 1"), "{text}");
    assert_eq!(running.total(r#"{service_name="cart"}"#).await, 7);

    for (headers, body, status, why) in [
        (&json[..], &b"{"[..], 400, "parse"),
        (&[("content-type", "text/plain")], b"{}", 415, ""),
        (
            &[
                ("content-type", "application/x-protobuf"),
                ("content-encoding", "br"),
            ],
            b"",
            400,
            "br",
        ),
        (
            &[("content-type", "application/x-protobuf")],
            b"\xff\xff",
            400,
            "",
        ),
    ] {
        let answer = running.post("/v1development/profiles", headers, body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(why), "{why}: {}", answer.body);
    }
    let refused = call(&running, EXPORT, b"\xff\xff")
        .await
        .expect_err("malformed");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let unknown = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Else";
    let unknown = call(&running, unknown, b"").await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::Unimplemented);
    let empty = call(&running, EXPORT, b"").await;
    let empty = ExportProfilesServiceResponse::decode(empty.unwrap_or_default());
    assert_eq!(empty.expect("a message").partial_success, None);
    running.stop().await;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder
        .write_all(bytes)
        .expect("memory takes what is written");
    encoder.finish().expect("memory takes what is written")
}

/// What a body means is said beside it, too.
#[tokio::test]
async fn the_same_body_of_another_measurement_is_no_repeat() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let post = async |name: &str, until: i64| {
        let target = format!("/ingest?name={name}&from=1700000000&until={until}");
        let answer = running.post(&target, &[], b"main;work 7\n").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    for name in ["shop.alloc_objects", "shop.alloc_space", "shop.alloc_space"] {
        post(name, 1_700_000_010).await;
    }
    let total = async || running.total(r#"{service_name="shop"}"#).await;
    assert_eq!(
        total().await,
        14,
        "two measurements, of which one came twice"
    );
    post("shop.alloc_space", 1_700_000_020).await;
    assert_eq!(total().await, 21);
}

#[tokio::test]
async fn every_format_of_ingest_is_readable() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let span = "from=1700000000&until=1700000010&sampleRate=100";
    let deep = vec!["java.lang.Something.with.a.long.name"; 25_000].join(";");
    assert!(deep.len() > 900_000, "a line far above 64 KiB");
    let folded = format!("{deep} 2\nmain;work it 3\n");
    let speedscope = br#"{"$schema":"https://www.speedscope.app/file-format-schema.json",
        "shared":{"frames":[{"name":"main"},{"name":"work"}]},
        "profiles":[{"type":"sampled","name":"t","unit":"none","startValue":0,"endValue":3,
                     "samples":[[0],[0,1]],"weights":[1,2]}]}"#;
    let period = 10_000_000;
    let cases: [(&str, &str, Vec<u8>, &str, i64); 6] = [
        (
            "a.cpu",
            "",
            folded.clone().into(),
            "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta",
            5 * period,
        ),
        (
            "b.cpu",
            "&format=lines",
            b"main;work\nmain;work\nmain\n".to_vec(),
            "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta",
            3 * period,
        ),
        (
            "c.inuse_space",
            "&format=folded&aggregationType=average",
            gzip(b"main;work 77\n"),
            "memory:inuse_space:bytes:inuse_space:bytes",
            77,
        ),
        (
            "d",
            "&format=speedscope&units=objects",
            speedscope.to_vec(),
            "",
            3,
        ),
        ("e.alloc_objects", "&format=trie", vec![], "", 0),
        (
            "f.goroutines",
            "&units=goroutines",
            b"main 4\n".to_vec(),
            "goroutines:goroutine:count:goroutine:count:delta",
            4,
        ),
    ];
    for (name, format, body, profile_type, expected) in cases {
        let answer = running
            .post(&format!("/ingest?name={name}&{span}{format}"), &[], &body)
            .await;
        if expected == 0 {
            continue;
        }
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        let app = name.split('.').next().expect("a name");
        let selector = format!(r#"{profile_type}{{service_name="{app}"}}"#);
        assert_eq!(running.total(&selector).await, expected, "{name}");
    }
    let cut = r#"cairn_ingester_altered_parts_total{tenant="anonymous",door="Ingest",reason="truncated_stacks"} 1"#;
    assert!(
        running.metrics().await.contains(cut),
        "the deep stack was cut"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_frame_that_is_too_long_is_refused_by_the_limit_s_name() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let span = "from=1700000000&until=1700000010";
    let long = format!("{} 1\n", "x".repeat((1 << 20) + 1));
    let answer = running
        .post(&format!("/ingest?name=z&{span}"), &[], long.as_bytes())
        .await;
    assert_eq!(answer.status, 422);
    assert!(
        answer.body.contains("string_bytes_max=1048576"),
        "{}",
        answer.body
    );
    running.stop().await;
}

#[tokio::test]
async fn flight_recordings_come_as_a_body_or_in_a_form() {
    let folder = folder();
    let mut config = config(folder.path());
    // The recording is younger than the clock of these tests.
    config.skew_max = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    let running = Running::start(config).await;
    let recording = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../crates/jfr/tests/data/jdk17.jfr.gz"
    );
    let recording = std::fs::read(recording).expect("it is in the repository");
    let mut form =
        b"--x\r\ncontent-disposition: form-data; name=\"jfr\"; filename=\"jfr\"\r\n\r\n".to_vec();
    form.extend_from_slice(&recording);
    form.extend_from_slice(b"\r\n--x--\r\n");
    let form_type = [("content-type", "multipart/form-data; boundary=x")];
    let target = "/ingest?name=java&format=jfr&spyName=javaspy";
    for (headers, body) in [(&form_type[..], &form), (&[], &recording)] {
        let answer = running.post(target, headers, body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let cpu = running
        .total(r#"{service_name="java", pyroscope_spy="javaspy"}"#)
        .await;
    assert!(cpu > 0, "the recording holds samples");
    running.stop().await;
}

#[tokio::test]
async fn codings_of_bodies_are_undone_once() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let all = captured();
    let go = all.iter().find(|c| c.client == "pyroscope-go");
    let pprof = go.expect("it is there").pprofs().remove(0).bytes;
    let sum = crate::harness::total(&pprof);
    let folded = b"main;work 7\n";
    let form = |content: &[u8]| {
        let mut form = b"--x\r\ncontent-disposition: form-data; name=\"profile\"\r\n\r\n".to_vec();
        form.extend_from_slice(content);
        form.extend_from_slice(b"\r\n--x--\r\n");
        form
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).expect("memory takes what is written");
    let form_type = ("content-type", "multipart/form-data; boundary=x");
    let coding = |name| ("content-encoding", name);
    let pprof_at = "/ingest?format=pprof&name=";
    let folded_at = "/ingest?format=lines&name=";
    let cases = [
        ("a", pprof_at, vec![coding("zstd")], zstd(&pprof), sum),
        ("b", pprof_at, vec![coding("gzip")], gzip(&pprof), sum),
        (
            "c",
            pprof_at,
            vec![coding("gzip"), form_type],
            gzip(&form(&pprof)),
            sum,
        ),
        (
            "d",
            folded_at,
            vec![coding("gzip")],
            gzip(b"main;work\n"),
            10_000_000,
        ),
        (
            "e",
            folded_at,
            vec![coding("zstd"), form_type],
            zstd(&form(b"main\n")),
            10_000_000,
        ),
        (
            "f",
            "/ingest?format=folded&units=objects&name=",
            vec![],
            gzip(folded),
            7,
        ),
    ];
    let named = "/ingest?name=named%7B__name__=own%7D";
    let answer = running.post(named, &[], folded).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let types = running.types(r#"{service_name="named"}"#).await;
    assert!(types[0].starts_with("own:cpu:nanoseconds"), "{types:?}");
    for (name, target, headers, body, expected) in cases {
        let answer = running
            .post(&format!("{target}{name}"), &headers, &body)
            .await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        let selector = format!(r#"{{service_name="{name}"}}"#);
        assert_eq!(running.total(&selector).await, expected, "{name}");
    }
    running.stop().await;
}

#[tokio::test]
async fn plain_pprof_comes_as_a_body_or_in_a_form() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let all = captured();
    let go = all.iter().filter(|c| c.client == "pyroscope-go");
    let pprofs: Vec<Vec<u8>> = go
        .flat_map(|c| c.pprofs())
        .map(|p| p.bytes)
        .take(2)
        .collect();
    let sums: Vec<i64> = pprofs.iter().map(|p| crate::harness::total(p)).collect();
    let target = "/api/v1/profiles?label=service_name=cart&label=region=eu-west-1";
    let answer = running.post(target, &[], &pprofs[0]).await;
    assert_eq!((answer.status, &*answer.body), (200, r#"{"profiles":1}"#));
    assert_eq!(
        running
            .total(r#"{service_name="cart", region="eu-west-1"}"#)
            .await,
        sums[0]
    );
    let mut form = Vec::new();
    for pprof in &pprofs {
        form.extend_from_slice(
            b"--x\r\ncontent-disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n",
        );
        form.extend_from_slice(pprof);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--x--\r\n");
    let headers = [("content-type", "multipart/form-data; boundary=x")];
    let answer = running
        .post("/api/v1/profiles?label=service_name=form", &headers, &form)
        .await;
    assert_eq!((answer.status, &*answer.body), (200, r#"{"profiles":2}"#));
    assert_eq!(
        running.total(r#"{service_name="form"}"#).await,
        sums[0] + sums[1]
    );
    for (query, body, status, why) in [
        ("?service=a", &pprofs[0][..], 400, "no parameter"),
        ("", b"junk", 422, "failed to parse profile"),
    ] {
        let answer = running
            .post(&format!("/api/v1/profiles{query}"), &[], body)
            .await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(why), "{}", answer.body);
    }
    running.stop().await;
}
