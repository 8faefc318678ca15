//! A running ingester and clients for its doors.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightData, Ticket};
use cairn_chassis::{FakeClock, Options, Process};
use cairn_engine::codec::{self, DecodeLimits};
use cairn_engine::{Answer, Scanned};
use cairn_ingester::{Config, Peers, TailConfig};
use cairn_wire::cairn::catalog::v1::catalog_service_client::CatalogServiceClient;
use cairn_wire::cairn::catalog::v1::{SnapshotRequest, SnapshotResponse};
use cairn_wire::cairn::query::v1::scan_ticket::{Question, Source};
use cairn_wire::cairn::query::v1::{ProfileTypes, ScanTicket, Stacks, Tail, TailPosition};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// Shortly after the corpus was recorded.
pub(crate) const NOW: i64 = 1_795_400_000_000_000_000;

pub(crate) struct Running {
    pub(crate) clock: FakeClock,
    process: Process,
    /// Lets the clock run, where time has to pass by itself.
    _ticking: JoinSet<()>,
}

const TICK: Duration = Duration::from_millis(10);

/// An answer over HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) fn config(folder: &Path) -> Config {
    Config {
        data: folder.join("ingester"),
        store: cairn_store::Config::folder(folder.join("store")),
        tail: TailConfig {
            flush_interval: Duration::from_secs(30),
            ..TailConfig::default()
        },
        ..Config::default()
    }
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

impl Running {
    pub(crate) async fn start(config: Config) -> Self {
        let clock = FakeClock::at(NOW);
        let mut options = Options::for_tests();
        options.clock = clock.clock();
        let process = Process::bind(options, &["ingester"]).await;
        let process = process.expect("loopback has free ports");
        process.run("ingester", |cx| cairn_ingester::run(config, cx));
        process.ready().await;
        Self {
            clock,
            process,
            _ticking: JoinSet::new(),
        }
    }

    /// One of several; its clock runs.
    pub(crate) async fn start_among(config: Config, peers: Peers) -> Self {
        let clock = FakeClock::at(NOW);
        let mut options = Options::for_tests();
        options.clock = clock.clock();
        let process = Process::bind(options, &["ingester"]).await;
        let process = process.expect("loopback has free ports");
        process.run("ingester", |cx| {
            cairn_ingester::run_among(config, cx, peers)
        });
        process.ready().await;
        let mut ticking = JoinSet::new();
        let ticked = clock.clone();
        ticking.spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                ticked.advance(TICK);
            }
        });
        Self {
            clock,
            process,
            _ticking: ticking,
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.process.address())
    }

    pub(crate) async fn stop(self) {
        self.process.stop().await.expect("stopped well");
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(self.address()).expect("a URI");
        endpoint.connect().await.expect("it listens")
    }

    /// POSTs and waits for the end of the connection.
    pub(crate) async fn post(
        &self,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let to = self.process.address();
        request(to, ("POST", target), headers, body).await
    }

    pub(crate) async fn get(&self, target: &str) -> Response {
        request(self.process.address(), ("GET", target), &[], b"").await
    }

    /// What operators read.
    pub(crate) async fn metrics(&self) -> String {
        let to = self.process.admin_address();
        request(to, ("GET", "/metrics"), &[], b"").await.body
    }

    pub(crate) async fn snapshot(&self) -> SnapshotResponse {
        let mut catalog = CatalogServiceClient::new(self.channel().await);
        let tenant = "anonymous".to_owned();
        let answer = catalog
            .snapshot(SnapshotRequest {
                tenant,
                ..Default::default()
            })
            .await;
        answer.expect("the catalog answers").into_inner()
    }

    /// Asks the tail after `after`; the newest flush if absent.
    pub(crate) async fn scan(
        &self,
        selector: &str,
        question: Question,
        after: Option<u64>,
    ) -> Result<Scanned, tonic::Status> {
        let snapshot = self.snapshot().await;
        let writer = snapshot.writers.first().expect("the writer is registered");
        let position = TailPosition {
            writer: writer.writer.clone(),
            incarnation: writer.incarnation,
            after_lsn: after.unwrap_or(writer.flushed_lsn),
        };
        let ticket = ScanTicket {
            tenant: "anonymous".to_owned(),
            selector: selector.to_owned(),
            time_start: i64::MIN,
            time_end: i64::MAX,
            source: Some(Source::Tail(Tail {
                positions: vec![position],
            })),
            question: Some(question),
            repeats: None,
        };
        let ticket = Ticket {
            ticket: ticket.encode_to_vec().into(),
        };
        let mut flight =
            FlightServiceClient::new(self.channel().await).max_decoding_message_size(64 << 20);
        let messages = flight.do_get(ticket).await?.into_inner();
        let mut messages: Vec<FlightData> = messages.try_collect().await?;
        let trailer = messages.pop().expect("a trailer");
        assert!(!trailer.app_metadata.is_empty(), "the trailer comes last");
        let batches = arrow_flight::decode::FlightRecordBatchStream::new_from_flight_data(
            futures::stream::iter(messages.into_iter().map(Ok)),
        );
        let batches: Vec<_> = batches.map(|batch| batch.expect("valid")).collect().await;
        let bytes_max = 1 << 30;
        Ok(codec::decode(&batches, DecodeLimits { bytes_max }).expect("an answer"))
    }

    /// Sum of all values in the tail.
    pub(crate) async fn total(&self, selector: &str) -> i64 {
        let scanned = self.scan(selector, Question::Stacks(Stacks::default()), None);
        match scanned.await.expect("the tail answers").answer {
            Answer::Stacks(partial) => partial.total(),
            other => panic!("not stacks: {other:?}"),
        }
    }

    /// Profile types in the tail.
    pub(crate) async fn types(&self, selector: &str) -> Vec<String> {
        let scanned = self.scan(selector, Question::ProfileTypes(ProfileTypes {}), None);
        match scanned.await.expect("the tail answers").answer {
            Answer::ProfileTypes(types) => types.iter().map(ToString::to_string).collect(),
            other => panic!("not profile types: {other:?}"),
        }
    }
}

async fn request(
    to: SocketAddr,
    (method, target): (&str, &str),
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let mut request = format!("{method} {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("content-length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(to).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("sent");
    // A refusal may come, and the connection end, before the body is through.
    drop(stream.write_all(body).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Response {
        status: status.unwrap_or_else(|| panic!("no HTTP answer: {answer:?}")),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

/// Sum of all values of a profile.
pub(crate) fn total(raw: &[u8]) -> i64 {
    let options = cairn_pprof::Options::default();
    let decoded = cairn_pprof::decode(raw, &cairn_model::Limits::default(), &options);
    let samples = decoded.expect("a profile of the corpus").profile.samples;
    samples
        .values
        .iter()
        .fold(0i64, |sum, value| sum.wrapping_add(*value))
}

/// All files below a folder.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path: PathBuf = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("copied");
        }
    }
}
