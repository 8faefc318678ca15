//! One process with a catalog and a querier, over a store in a temporary folder.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use cairn_block::{Built, Head, Origin};
use cairn_catalog::{BlockMeta, Client as Catalog, Node, Registration};
use cairn_chassis::{Options, Process, Routes};
use cairn_model::{
    Attr, AttrValue, BlockId, Function, Labels, Line, Link, Location, Mapping, NONE, Profile,
    StrId, Tables, TenantId, ValueType, WriterId,
};
use cairn_store::{Key, Store};
use cairn_wire::connect::Codec;
use cairn_wire::parca::query::v1alpha1::query_service_client::QueryServiceClient;
use cairn_wire::querier::v1::querier_service_client::QuerierServiceClient;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost::{Message, Name};
use tonic::transport::Channel;

pub(crate) const SECOND: i64 = 1_000_000_000;
/// When the profiles of the tests begin.
pub(crate) const START: i64 = 1_795_000_000 * SECOND;

pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) catalog: Catalog,
    pub(crate) tenant: TenantId,
    process: Process,
    blocks: std::sync::atomic::AtomicU64,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with(|_, _| {}).await
    }

    /// `change` gets the querier's settings and the address of the process.
    pub(crate) async fn with(change: impl FnOnce(&mut cairn_querier::Config, SocketAddr)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::bind(Options::for_tests(), &["catalog", "querier"])
            .await
            .unwrap();
        let store = cairn_store::Config::folder(folder.path().join("store"));
        let mut config = cairn_querier::Config {
            store: store.clone(),
            ..cairn_querier::Config::default()
        };
        change(&mut config, process.address());
        let node = open_catalog(&folder.path().join("catalog")).await;
        let catalog = node.client();
        process.run("catalog", |cx| async move {
            cx.serve(Routes::new().grpc(node.catalog_service())).await?;
            Ok(node.shutdown().await?)
        });
        process.run("querier", |cx| cairn_querier::run(config, cx));
        process.ready().await;
        Self {
            store: Store::open(&store, 1).await.unwrap(),
            folder,
            catalog,
            tenant: TenantId::anonymous(),
            process,
            blocks: 1.into(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address()
    }

    pub(crate) async fn stop(self) {
        self.process.stop().await.unwrap();
    }

    /// Stores the head as a block and records it.
    pub(crate) async fn add(&self, head: &Head) -> BlockId {
        self.add_at(0, head).await
    }

    /// As if it had been merged: nobody looks for what others hold of it.
    pub(crate) async fn add_merged(&self, head: &Head) -> BlockId {
        self.add_at(2, head).await
    }

    async fn add_at(&self, level: u32, head: &Head) -> BlockId {
        let (id, bytes) = self.record_at(level, head).await;
        let key = Key::Block {
            tenant: &self.tenant,
            id,
        };
        self.store.create(key, bytes).await.unwrap();
        id
    }

    /// Records a block of the head without storing it.
    pub(crate) async fn record(&self, head: &Head) -> (BlockId, Bytes) {
        self.record_at(0, head).await
    }

    async fn record_at(&self, level: u32, head: &Head) -> (BlockId, Bytes) {
        let built = cairn_block::write(head, cairn_block::Options::default()).unwrap();
        let number = self
            .blocks
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let id = BlockId::new(1000 + number, u128::from(number));
        let meta = meta(id, level, &built);
        let writer = WriterId::parse(&format!("test-{number}")).unwrap();
        let registered = self
            .catalog
            .register(Registration::continued(
                writer.clone(),
                "http://127.0.0.1:1",
            ))
            .await
            .unwrap();
        let incarnation = registered.incarnation;
        self.catalog
            .commit(&writer, incarnation, (1, 1), vec![meta])
            .await
            .unwrap();
        self.catalog.close(&writer, incarnation, 1).await.unwrap();
        (id, built.bytes)
    }

    pub(crate) async fn parca(&self) -> QueryServiceClient<Channel> {
        let address = format!("http://{}", self.address());
        QueryServiceClient::connect(address).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        let request = Request::get(format!("http://{}{path}", self.address()));
        send(request.body(Full::default()).unwrap()).await
    }

    /// The sum of one of the querier's metrics.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let request = Request::get(format!("http://{}/metrics", self.process.admin_address()));
        let answer = send(request.body(Full::default()).unwrap()).await;
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        let value = |line: &str| {
            let (metric, value) = line.rsplit_once(' ')?;
            let metric = metric.strip_prefix("cairn_querier_")?;
            (metric == name || metric == format!("{name}_total")).then(|| value.parse::<f64>())
        };
        text.lines().find_map(value).unwrap().unwrap()
    }

    pub(crate) async fn pyroscope(&self) -> QuerierServiceClient<Channel> {
        let address = format!("http://{}", self.address());
        QuerierServiceClient::connect(address).await.unwrap()
    }

    /// A unary call over Connect.
    pub(crate) async fn call<Q, A>(&self, path: &str, codec: Codec, request: &Q) -> Response<A>
    where
        Q: Message + Name,
        A: Message + Name + Default,
    {
        let response = self
            .post(path, codec.content_type(), codec.encode(request))
            .await;
        let text = String::from_utf8_lossy(response.body()).into_owned();
        assert_eq!(response.status(), 200, "{path}: {text}");
        assert_eq!(response.headers()["content-type"], codec.content_type());
        response.map(|body| codec.decode(body).unwrap())
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        let request = Request::post(format!("http://{}{path}", self.address()));
        let request = request.header("content-type", content_type);
        send(request.body(Full::new(body.into())).unwrap()).await
    }

    pub(crate) async fn json(&self, path: &str) -> serde_json::Value {
        let response = self.get(path).await;
        let text = String::from_utf8_lossy(response.body()).into_owned();
        assert_eq!(response.status(), 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// What the catalog is told of a block of the tests' tenant.
pub(crate) fn meta(id: BlockId, level: u32, built: &Built) -> BlockMeta {
    BlockMeta {
        id,
        tenant: TenantId::anonymous(),
        level,
        range: built.info.range,
        bytes: built.info.bytes,
        rows: built.info.rows,
        profiles: built.info.profiles,
        created_unix_ms: START / 1_000_000,
    }
}

pub(crate) async fn open_catalog(path: &Path) -> Node {
    Node::alone(path, Arc::new(|| START / 1_000_000))
        .await
        .unwrap()
}

pub(crate) async fn send(request: Request<Full<Bytes>>) -> Response<Bytes> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

/// `text` as a parameter of a URL.
pub(crate) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// What one profile is about.
#[derive(Clone, Copy)]
pub(crate) struct Sent<'a> {
    pub(crate) name: &'a str,
    pub(crate) types: &'a [(&'a str, &'a str)],
    pub(crate) labels: &'a [(&'a str, &'a str)],
    pub(crate) at: i64,
    pub(crate) duration: i64,
    /// Of the binary that holds all addresses.
    pub(crate) build_id: &'a str,
    /// Stack, outermost first, separated by semicolons; a label `endpoint` of the sample; value of
    /// each type.
    pub(crate) samples: &'a [(&'a str, &'a str, i64)],
    /// Hash of what a client sent; `0` if repeats can't be told.
    pub(crate) batch: u128,
    /// Every byte of the trace and the span of all samples; `0` if they belong to none.
    pub(crate) span: u8,
}

pub(crate) const CPU: &[(&str, &str)] = &[("cpu", "nanoseconds")];

impl Default for Sent<'_> {
    fn default() -> Self {
        Self {
            name: "process_cpu",
            types: CPU,
            labels: &[("service_name", "cart"), ("pod", "cart-1")],
            at: START,
            duration: 10 * SECOND,
            build_id: "",
            samples: &[("main;work", "/buy", 30), ("main;work;read", "", 12)],
            batch: 0,
            span: 0,
        }
    }
}

/// Where counters of memory stood so many seconds after [`START`].
pub(crate) fn stood<'a>(at: i64, samples: &'a [(&'a str, &'a str, i64)]) -> Sent<'a> {
    Sent {
        name: "memory",
        types: &[("alloc_space", "bytes")],
        at: START + at * SECOND,
        duration: 0,
        samples,
        ..Sent::default()
    }
}

pub(crate) fn head(all: &[Sent<'_>]) -> Head {
    let mut head = Head::default();
    for sent in all {
        let origin = Origin {
            name: sent.name.into(),
            labels: Labels::from_pairs(sent.labels.iter().copied()).unwrap(),
            time: sent.at,
            lsn: 1,
            batch: sent.batch,
        };
        head.append(&profile(sent), &origin).unwrap();
    }
    head
}

fn profile(sent: &Sent<'_>) -> Profile {
    let mut profile = Profile {
        time: sent.at,
        duration: sent.duration,
        period: 10,
        ..Profile::default()
    };
    let mut tables = Tables::default();
    let mut value_type = |(kind, unit)| ValueType {
        kind: tables.strings.push(kind),
        unit: tables.strings.push(unit),
    };
    profile.types = sent.types.iter().map(|of| value_type(*of)).collect();
    profile.period_type = value_type(("cpu", "nanoseconds"));
    tables.mappings.push(Mapping {
        file: tables.strings.push("/bin/cart"),
        build_id: tables.strings.push(sent.build_id),
        ..Mapping::default()
    });
    let endpoint: StrId = tables.strings.push("endpoint");
    for (stack, label, value) in sent.samples {
        for name in stack.rsplit(';') {
            let location = location(&mut tables, name);
            tables.stacks.locations.push(location);
        }
        profile.samples.stacks.push(tables.stacks.end());
        if !label.is_empty() {
            let value = AttrValue::Str(tables.strings.push(label));
            profile.samples.attrs.push(Attr {
                key: endpoint,
                value,
            });
        }
        let end = profile.samples.attrs.len() as u32;
        profile.samples.attr_ends.push(end);
        if sent.span != 0 {
            profile.samples.links.push(0);
        }
        let values = sent.types.iter().map(|_| *value);
        profile.samples.values.extend(values);
    }
    if sent.span != 0 {
        tables.links.push(Link {
            trace_id: [sent.span; 16],
            span_id: [sent.span; 8],
        });
    }
    profile.tables = Arc::new(tables);
    profile
}

/// A name that begins with `0x` is an address without a name.
fn location(tables: &mut Tables, name: &str) -> u32 {
    let start = tables.lines.len() as u32;
    let mut address = 0;
    match name.strip_prefix("0x") {
        Some(hex) => address = u64::from_str_radix(hex, 16).unwrap(),
        None => {
            let function = Function {
                name: tables.strings.push(name),
                ..Function::default()
            };
            tables.functions.push(function);
            tables.lines.push(Line {
                function: tables.functions.len() as u32 - 1,
                ..Line::default()
            });
        }
    }
    let mapping = if address == 0 { NONE } else { 0 };
    tables.locations.push(Location {
        mapping,
        address,
        lines: (start, tables.lines.len() as u32),
    });
    tables.locations.len() as u32 - 1
}
