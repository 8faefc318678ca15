//! Queriers over one catalog, one tail and one store that can fail: one that does everything by
//! itself, and several that share the blocks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cairn_block::{Block, Built, Head, Options as BlockOptions};
use cairn_catalog::{Client as Catalog, Log, Registration};
use cairn_chassis::{Options, Process, Routes, config};
use cairn_engine::exchange::{self, Asked, Cost, Partial};
use cairn_engine::repeats::SourceId;
use cairn_engine::scan_head;
use cairn_model::{BlockId, TenantId, TimeRange, WriterId};
use cairn_store::faulty::{FaultyStore, Server};
use cairn_store::{InProcess, Key, Store};
use cairn_wire::cairn::symbols::v1::symbol_service_server::{SymbolService, SymbolServiceServer};
use cairn_wire::cairn::symbols::v1::{
    BinarySymbols, Frame, Function, SymbolizeRequest, SymbolizeResponse, Symbols,
};
use futures::FutureExt;
use parking_lot::RwLock;
use tonic::{Request, Response, Status};

use super::names;
use crate::fixture::{START, meta, open_catalog};
use crate::model::source;

/// Queriers that share the blocks.
const SHARING: usize = 3;
/// The querier that does not know that a worker is dead.
const WITH_A_DEAD_ONE: usize = 2;
const DEAD: &str = "http://127.0.0.1:1";
/// Of merged blocks: the tail may still hold what they do.
const LEVEL: u8 = 1;
const STACKS_BYTES_MAX: usize = 64 << 20;

pub(crate) struct Cluster {
    _folder: tempfile::TempDir,
    front: Process,
    queriers: Vec<Process>,
    server: Server,
    /// Each querier's way to the objects.
    pub(crate) links: Vec<Arc<FaultyStore>>,
    pub(crate) store: Store,
    catalog: Catalog,
    tail: Arc<RwLock<Head>>,
    tenant: TenantId,
    blocks: u64,
    /// Times of all profiles of blocks.
    pub(crate) stored: Option<TimeRange>,
    turn: AtomicUsize,
}

/// A block as it was written, whatever is stored of it.
pub(crate) struct Written {
    pub(crate) id: BlockId,
    pub(crate) bytes: Bytes,
    pub(crate) range: TimeRange,
    pub(crate) rows: u64,
}

impl Written {
    fn of(id: BlockId, built: Built) -> Self {
        Self {
            id,
            range: built.info.range,
            rows: built.info.rows,
            bytes: built.bytes,
        }
    }
}

/// What becomes of a block on its way to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stored,
    Missing,
    /// The table of contents is destroyed.
    Corrupt,
    /// Is there, but comes too late.
    Late,
}

impl Cluster {
    pub(crate) async fn start(query_timeout: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::new(
            1,
            Arc::new(|time| tokio::time::sleep(time).boxed()),
            Arc::new(|| START / 1_000_000),
        );
        let tail = Arc::new(RwLock::new(Head::default()));
        let writer = WriterId::parse("tail").unwrap();
        let node = open_catalog(folder.path()).await;
        let catalog = node.client();
        let front = Process::bind(Options::for_tests(), &["catalog"]).await;
        let front = front.unwrap();
        let registration = Registration {
            log: Log::OnePerIncarnation,
            ..Registration::continued(writer.clone(), &url(front.address()))
        };
        let registered = catalog.register(registration).await.unwrap();
        let source = SourceId::log(&writer, registered.incarnation);
        let head = Arc::clone(&tail);
        front.run("catalog", move |cx| async move {
            let routes = Routes::new()
                .grpc(node.catalog_service())
                .grpc(exchange::tail(Arc::new(move |asked, _| {
                    let answer = answer(&head.read(), source, &asked);
                    async move { Ok(answer) }.boxed()
                })))
                .grpc(SymbolServiceServer::new(Named));
            cx.serve(routes).await?;
            Ok(node.shutdown().await?)
        });
        front.ready().await;
        let mut cluster = Self {
            _folder: folder,
            front,
            queriers: Vec::new(),
            links: Vec::new(),
            store: Store::over(server.connect()),
            server: server.clone(),
            catalog,
            tail,
            tenant: TenantId::anonymous(),
            blocks: 0,
            stored: None,
            turn: AtomicUsize::new(0),
        };
        cluster.start_queriers(&server, query_timeout).await;
        cluster
    }

    async fn start_queriers(&mut self, server: &Server, query_timeout: Duration) {
        for _ in 0..=SHARING {
            let process = Process::bind(Options::for_tests(), &["querier"]).await;
            self.queriers.push(process.unwrap());
        }
        let workers: Vec<String> = self.addresses().into_iter().map(url).collect();
        for (at, process) in self.queriers.iter().enumerate() {
            let objects = server.connect();
            let mut querier = cairn_querier::Config {
                store: cairn_store::Config {
                    in_process: Some(InProcess(objects.clone())),
                    ..cairn_store::Config::default()
                },
                workers: match at {
                    0 => Vec::new(),
                    WITH_A_DEAD_ONE => [&workers[1..], &[DEAD.to_owned()]].concat(),
                    _ => workers[1..].to_vec(),
                },
                catalog: config::Addresses::new([url(self.front.address())]),
                symbolizer: url(self.front.address()),
                ..cairn_querier::Config::default()
            };
            querier.limits.query_timeout = query_timeout;
            // There is no log in the store to be read instead.
            querier.limits.tail_timeout = query_timeout;
            self.links.push(objects);
            process.run("querier", |cx| cairn_querier::run(querier, cx));
            process.ready().await;
        }
    }

    /// The querier that is alone first, then those that share the blocks.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.queriers.iter().map(Process::address).collect()
    }

    /// Whom to ask: the querier that is alone, one of the others, and one that believes in a worker
    /// who is dead.
    pub(crate) fn asked(&self) -> [(SocketAddr, &'static str); 3] {
        let all = self.addresses();
        [
            (all[0], "one querier"),
            (all[1], "several queriers"),
            (all[2], "several queriers and a dead one"),
        ]
    }

    /// How often it has been asked before.
    pub(crate) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) async fn stop(self) {
        for process in self.queriers.into_iter().chain([self.front]) {
            process.stop().await.unwrap();
        }
    }

    // === Data ===

    /// What is in no block yet.
    pub(crate) fn set_tail(&self, head: Head) {
        *self.tail.write() = head;
    }

    /// Writes the heads as blocks and records them, whether they get to the store or not.
    pub(crate) async fn add(&mut self, heads: &[(Head, Fate)]) -> Vec<Written> {
        let mut written = Vec::new();
        let mut metas = Vec::new();
        for (head, fate) in heads {
            let built = cairn_block::write(head, BlockOptions::default()).unwrap();
            let id = self.next_id();
            metas.push(meta(id, 0, &built));
            self.put(id, built.bytes.clone(), *fate).await;
            let range = built.info.range;
            self.stored = Some(self.stored.map_or(range, |all| all.union(&range)));
            written.push(Written::of(id, built));
        }
        let writer = WriterId::parse(&format!("blocks-{}", self.blocks)).unwrap();
        let registration = Registration::continued(writer.clone(), "http://127.0.0.1:1");
        let incarnation = self.catalog.register(registration).await.unwrap();
        let incarnation = incarnation.incarnation;
        let commit = self.catalog.commit(&writer, incarnation, (1, 1), metas);
        commit.await.unwrap();
        let close = self.catalog.close(&writer, incarnation, 1);
        close.await.unwrap();
        written
    }

    async fn put(&self, id: BlockId, bytes: Bytes, fate: Fate) {
        let mut bytes = bytes.to_vec();
        match fate {
            Fate::Missing => return,
            Fate::Stored => {}
            Fate::Late => self.server.hold(&id.to_string()),
            Fate::Corrupt => {
                let half = bytes.len() / 2;
                bytes[half..].fill(0xa5);
            }
        }
        let tenant = &self.tenant;
        let created = self.store.create(Key::Block { tenant, id }, bytes.into());
        created.await.unwrap();
    }

    /// Makes these blocks one, as the compactor does.
    pub(crate) async fn merge(&mut self, inputs: &[Written]) -> Written {
        let mut loaded = Vec::new();
        for input in inputs {
            let block = Block::from_bytes(input.bytes.clone()).unwrap();
            loaded.push(block.load().await.unwrap());
        }
        let built = cairn_block::merge(&loaded, LEVEL, STACKS_BYTES_MAX).unwrap();
        let id = self.next_id();
        self.put(id, built.bytes.clone(), Fate::Stored).await;
        let meta = meta(id, LEVEL.into(), &built);
        let ids: Vec<BlockId> = inputs.iter().map(|input| input.id).collect();
        let replace = self.catalog.replace(&self.tenant, &ids, vec![meta], None);
        replace.await.unwrap();
        Written::of(id, built)
    }

    fn next_id(&mut self) -> BlockId {
        self.blocks += 1;
        BlockId::new(1000 + self.blocks, self.blocks.into())
    }
}

pub(crate) fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn answer(head: &Head, id: SourceId, asked: &Asked) -> Partial {
    let source = cairn_engine::Source {
        id,
        ask: &asked.repeats,
    };
    let scanned = scan_head(head, 0, &asked.query, source);
    Partial::new(&scanned, Cost::default(), Vec::new())
}

/// Knows one address of one binary.
struct Named;

#[tonic::async_trait]
impl SymbolService for Named {
    async fn symbolize(
        &self,
        request: Request<SymbolizeRequest>,
    ) -> Result<Response<SymbolizeResponse>, Status> {
        let mut strings = vec![String::new()];
        let mut string = |text: &str| {
            strings.push(text.to_owned());
            strings.len() as u32 - 1
        };
        let functions = names::FRAMES.map(|(name, line)| Function {
            name: string(name),
            system_name: string(&format!("_{name}")),
            file: string(source(line)),
            start_line: 0,
        });
        let frames = (0..).zip(names::FRAMES).map(|(function, (_, line))| Frame {
            function,
            line,
            ..Frame::default()
        });
        let named = Symbols {
            frames: frames.collect(),
            ..Symbols::default()
        };
        let binaries = request.into_inner().binaries.into_iter().map(|binary| {
            let is_unnamed =
                |&address: &u64| u32::from((binary.build_id.as_str(), address) != names::NAMED);
            BinarySymbols {
                symbols: binary.addresses.iter().map(is_unnamed).collect(),
            }
        });
        let binaries = binaries.collect();
        Ok(Response::new(SymbolizeResponse {
            strings,
            functions: functions.to_vec(),
            symbols: vec![named, Symbols::default()],
            binaries,
        }))
    }
}
