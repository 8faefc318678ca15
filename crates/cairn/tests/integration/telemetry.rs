//! What a running Cairn tells its operators besides metrics: spans and logs.

use std::sync::Arc;

use cairn_testkit::process::{binary, spawn};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use parking_lot::Mutex;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::cairn::{Cairn, PATIENCE, signal};
use crate::crash::{LABELS, profile, stored};
use crate::http::send;

const QUIET: (&str, &str) = ("CAIRN__SELF_PROFILE__ENABLED", "false");

/// Takes spans as an OpenTelemetry collector does.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ResourceSpans>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().extend(request.into_inner().resource_spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

impl Collector {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        format!("http://{address}")
    }

    /// The service and the method of every request that a span tells of.
    fn requests(&self) -> Vec<(String, String)> {
        let mut requests = Vec::new();
        for spans in self.0.lock().iter() {
            let service = text(&spans.resource.as_ref().unwrap().attributes, "service.name");
            for span in spans.scope_spans.iter().flat_map(|scope| &scope.spans) {
                if let Some(method) = text(&span.attributes, "method") {
                    requests.push((service.unwrap().to_owned(), method.to_owned()));
                }
            }
        }
        requests
    }
}

async fn push_and_query(setting: (&str, &str)) {
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(data.path(), &[QUIET, setting]);
    let client = cairn.connect().await;
    client.push(profile(1), &LABELS).await.unwrap();
    assert_eq!(stored(&cairn).await.len(), 1);
    cairn.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_go_to_the_collector_that_is_configured_and_nowhere_else() {
    let collector = Collector::default();
    let endpoint = collector.start().await;
    push_and_query(("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)).await;
    assert_eq!(collector.0.lock().len(), 0, "nobody asked for spans");

    push_and_query(("CAIRN__TELEMETRY__OTLP_ENDPOINT", &endpoint)).await;
    let requests = collector.requests();
    for method in [
        "/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw",
        "/parca.query.v1alpha1.QueryService/Query",
    ] {
        let request = ("cairn".to_owned(), method.to_owned());
        assert!(requests.contains(&request), "{request:?} in {requests:?}");
    }
}

#[test]
fn every_line_of_a_json_log_is_an_object_with_the_same_fields() {
    let data = tempfile::tempdir().unwrap();
    let folder = |name| data.path().join(name).to_str().unwrap().to_owned();
    let settings = [
        ("CAIRN__TELEMETRY__LOG_FORMAT", "json"),
        ("CAIRN__TELEMETRY__LOG_FILTER", "debug"),
        ("CAIRN__INGESTER__DATA", &folder("ingester")),
        ("CAIRN__INGESTER__STORE__PATH", &folder("store")),
    ];
    let args = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let mut ingester = spawn(binary("cairn-ingester"), args, &settings);
    ingester.wait_for_line("ready at", PATIENCE);
    signal(ingester.id(), "TERM");
    assert!(ingester.wait(PATIENCE).success());
    let output = ingester.output();
    let mut messages = Vec::new();
    for line in output.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "target"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
        messages.push(
            line["fields"]["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        );
    }
    for message in ["ingester starts", "stopping"] {
        assert!(
            messages.iter().any(|at| at == message),
            "{message} in\n{output}"
        );
    }
}

#[test]
fn operators_change_what_is_logged_while_it_runs() {
    let data = tempfile::tempdir().unwrap();
    let cairn = Cairn::start(data.path(), &[QUIET]);
    let admin = cairn.admin();
    let ask = |path: &str| send(cairn.address, &format!("GET {path}"), &[], &[]);
    let set = |filter: &str| send(admin, "PUT /log-filter", &[], filter.as_bytes());

    assert_eq!(ask("/api/profiles/labels").status, 200);
    let answer = set("info,cairn_chassis=debug\n");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "info,cairn_chassis=debug\n")
    );
    assert_eq!(ask("/api/profiles/types").status, 200);
    cairn.wait_for_line("GET /api/profiles/types");
    assert!(
        !cairn.output().contains("GET /api/profiles/labels"),
        "{}",
        cairn.output()
    );

    let answer = set("info,cairn_chassis=loud");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("loud"), "{}", answer.text());
    assert_eq!(
        ask("/api/profiles/types").status,
        200,
        "it goes on as before"
    );

    // Two answers are logged by now, and that is all until the filter is wide again.
    set("warn");
    ask("/api/profiles/labels");
    set("info,cairn_chassis=debug");
    ask("/api/profiles/types?after");
    let seen = || cairn.output().matches("GET /api/profiles/types").count();
    while seen() < 3 {
        std::thread::yield_now();
    }
    assert!(
        !cairn.output().contains("GET /api/profiles/labels"),
        "{}",
        cairn.output()
    );
    cairn.stop();
}
