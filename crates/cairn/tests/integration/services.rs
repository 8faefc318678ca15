//! The four services as four processes over one folder: the same code, the same answers.

use std::net::SocketAddr;
use std::path::Path;

use cairn_model::{Limits, TimeRange};
use cairn_pprof::canonical;
use cairn_testkit::generator::{Generator, Spec};
use cairn_testkit::process::{Process, binary, spawn};
use cairn_wire::parca::debuginfo::v1alpha1::ShouldInitiateUploadRequest;
use cairn_wire::parca::debuginfo::v1alpha1::debuginfo_service_client::DebuginfoServiceClient;

use crate::cairn::{Client, PATIENCE, address_after};

struct Service {
    process: Process,
    address: SocketAddr,
}

fn start(name: &str, settings: &[(&str, &str)]) -> Service {
    let args = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let process = spawn(binary(&format!("cairn-{name}")), args, settings);
    let line = process.wait_for_line("ready at http://", PATIENCE);
    Service {
        address: address_after(&line, "http://"),
        process,
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// In the order in which they stop: the ingester last, since the others ask it.
struct Cluster {
    querier: Service,
    compactor: Service,
    symbolizer: Service,
    ingester: Service,
}

impl Cluster {
    fn start(data: &Path) -> Self {
        let (own, store) = (data.join("ingester"), data.join("store"));
        let (own, store) = (text(&own), text(&store));
        let symbolizer = start("symbolizer", &[("CAIRN__SYMBOLIZER__STORE__PATH", store)]);
        let symbols = format!("http://{}", symbolizer.address);
        let ingester = start(
            "ingester",
            &[
                ("CAIRN__INGESTER__DATA", own),
                ("CAIRN__INGESTER__STORE__PATH", store),
                ("CAIRN__INGESTER__TAIL__FLUSH_INTERVAL", "300ms"),
                ("CAIRN__INGESTER__SYMBOLIZER", &symbols),
            ],
        );
        let catalog = format!("http://{}", ingester.address);
        let compactor = start(
            "compactor",
            &[
                ("CAIRN__COMPACTOR__STORE__PATH", store),
                ("CAIRN__COMPACTOR__CATALOG", &catalog),
                ("CAIRN__COMPACTOR__POLL_INTERVAL", "300ms"),
            ],
        );
        let querier = start(
            "querier",
            &[
                ("CAIRN__QUERIER__STORE__PATH", store),
                ("CAIRN__QUERIER__CATALOG", &catalog),
                ("CAIRN__QUERIER__SYMBOLIZER", &symbols),
            ],
        );
        Self {
            querier,
            compactor,
            symbolizer,
            ingester,
        }
    }

    fn stop(self) {
        for service in [self.querier, self.compactor, self.symbolizer, self.ingester] {
            let status = service.process.terminate(PATIENCE);
            assert!(status.success(), "a service ended with {status}");
        }
    }
}

/// Agents know one address only.
async fn debuginfo_is_taken_where_profiles_are(url: &str) {
    let mut agent = DebuginfoServiceClient::connect(url.to_owned())
        .await
        .unwrap();
    let asked = ShouldInitiateUploadRequest {
        build_id: "abcd".to_owned(),
        ..Default::default()
    };
    let answer = agent
        .should_initiate_upload(asked)
        .await
        .unwrap()
        .into_inner();
    assert!(answer.should_initiate_upload, "{answer:?}");
    let path = "/debuginfo.v1alpha1.DebuginfoService/Upload/abcd";
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();
    let (status, body) = cairn_testkit::process::request(address, "POST", path).unwrap();
    assert_eq!(status, 412, "{}", String::from_utf8_lossy(&body));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_answer_like_one() {
    let data = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(data.path());
    let url = |service: &Service| format!("http://{}", service.address);
    debuginfo_is_taken_where_profiles_are(&url(&cluster.ingester)).await;
    let client = Client::connect_to(&url(&cluster.ingester), &url(&cluster.querier)).await;
    let generator = Generator::new(Spec {
        pods: 8,
        stacks: 500,
        endpoints: 3,
        ..Spec::default()
    });
    let range = TimeRange {
        start: 0,
        end: i64::MAX / 2,
    };
    let selector = "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta{}";
    let mut expected = std::collections::BTreeMap::new();
    for step in 0..5 {
        for pod in 0..8 {
            let raw = generator.pprof(0, pod, step);
            let sent = cairn_pprof::decode(&raw, &Limits::default(), &Default::default())
                .unwrap()
                .profile;
            let cpu = sent
                .types
                .iter()
                .position(|value| sent.str(value.kind) == "cpu")
                .unwrap();
            for (key, values) in canonical(&sent) {
                *expected.entry(key).or_insert(0) += values[cpu];
            }
            let pod = pod.to_string();
            client
                .push(
                    raw,
                    &[
                        ("__name__", "process_cpu"),
                        ("service_name", "shop"),
                        ("pod", &pod),
                    ],
                )
                .await
                .unwrap();
        }
        // Asked while rows move from the tail to blocks, and from blocks to larger ones.
        let (answer, warnings) = client.merged(selector, range).await.unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let found = canonical(&answer)
            .into_iter()
            .map(|(key, values)| (key, values[0]))
            .collect();
        assert_eq!(expected, found, "after step {step}");
    }
    cluster.stop();
}
