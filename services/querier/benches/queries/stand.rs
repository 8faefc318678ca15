//! A catalog, a store with a delay, and queriers that come and go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_catalog::{BlockMeta, Client as Catalog, Node, Registration};
use cairn_chassis::{Options, Process, Routes, config};
use cairn_model::WriterId;
use cairn_store::faulty::{Faults, Server};
use cairn_store::{InProcess, Key, Store};
use futures::FutureExt;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// What takes longer is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How a flame graph without rows begins its figures.
const NOTHING: &[u8] = b"\"total\":0,";
/// Blocks that the catalog is told of at once.
const COMMITTED: usize = 1_000;

pub(crate) struct Stand {
    _folder: tempfile::TempDir,
    front: Process,
    server: Server,
    store: Store,
    catalog: Catalog,
    writers: u32,
}

impl Stand {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let sleep = |time| tokio::time::sleep(time).boxed();
        let server = Server::new(1, Arc::new(sleep), Arc::new(|| 0));
        let node = Node::alone(folder.path(), Arc::new(|| 0)).await.unwrap();
        let catalog = node.client();
        let front = Process::bind(Options::for_tests(), &["catalog"]).await;
        let front = front.unwrap();
        front.run("catalog", |cx| async move {
            cx.serve(Routes::new().grpc(node.catalog_service())).await?;
            Ok(node.shutdown().await?)
        });
        front.ready().await;
        Self {
            _folder: folder,
            front,
            store: Store::over(server.connect()),
            server,
            catalog,
            writers: 0,
        }
    }

    /// Stores blocks and records them.
    pub(crate) async fn add(&mut self, blocks: &[(BlockMeta, Bytes)]) {
        self.set_first_byte(Duration::ZERO);
        for (meta, bytes) in blocks {
            let (tenant, id) = (&meta.tenant, meta.id);
            let created = self.store.create(Key::Block { tenant, id }, bytes.clone());
            created.await.unwrap();
        }
        let metas = blocks.iter().map(|(meta, _)| meta.clone());
        self.record(metas.collect()).await;
    }

    pub(crate) async fn record(&mut self, metas: Vec<BlockMeta>) {
        self.writers += 1;
        let writer = WriterId::parse(&format!("bench-{}", self.writers)).unwrap();
        let registration = Registration::continued(writer.clone(), "http://127.0.0.1:1");
        let registered = self.catalog.register(registration).await.unwrap();
        let (incarnation, mut lsn) = (registered.incarnation, 0);
        for metas in metas.chunks(COMMITTED) {
            lsn += 1;
            let commit = self
                .catalog
                .commit(&writer, incarnation, (lsn, lsn), metas.to_vec());
            commit.await.unwrap();
        }
        let close = self.catalog.close(&writer, incarnation, lsn);
        close.await.unwrap();
    }

    /// How long the store takes for each request.
    pub(crate) fn set_first_byte(&self, time: Duration) {
        self.server.set_faults(Faults {
            latency: time..time,
            ..Faults::default()
        });
    }

    pub(crate) fn config(&self) -> cairn_querier::Config {
        let front = format!("http://{}", self.front.address());
        let mut config = cairn_querier::Config {
            store: cairn_store::Config {
                in_process: Some(InProcess(self.server.connect())),
                ..cairn_store::Config::default()
            },
            catalog: config::Addresses::new([front]),
            ..cairn_querier::Config::default()
        };
        config.limits.query_timeout = PATIENCE;
        config
    }

    /// A querier that has read nothing yet.
    pub(crate) async fn querier(&self) -> Process {
        let process = Process::bind(Options::for_tests(), &["querier"]).await;
        let (process, config) = (process.unwrap(), self.config());
        process.run("querier", |cx| cairn_querier::run(config, cx));
        process.ready().await;
        process
    }

    pub(crate) async fn stop(self) {
        self.front.stop().await.unwrap();
    }
}

/// What the process says of itself; zero before it says anything.
pub(crate) async fn metric(address: SocketAddr, name: &str) -> f64 {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::get(format!("http://{address}/metrics"));
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let body = client.request(request).await.unwrap().into_body();
    let text = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&text);
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_default()
}

/// How long a whole answer took, or why there is none.
pub(crate) async fn ask(address: SocketAddr, path: &str) -> Result<Duration, String> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::get(format!("http://{address}{path}"));
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let start = Instant::now();
    let response = client.request(request).await;
    let response = response.map_err(|error| error.to_string())?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?;
    let took = start.elapsed();
    let body = body.to_bytes();
    if parts.status != 200 {
        return Err(String::from_utf8_lossy(&body).into_owned());
    }
    // What finds nothing is quick.
    if body.windows(NOTHING.len()).any(|text| text == NOTHING) {
        return Err("nothing was found".to_owned());
    }
    match parts.headers.get("cairn-warning") {
        None => Ok(took),
        Some(text) => Err(format!("partial: {}", text.to_str().unwrap_or("?"))),
    }
}
