//! Who takes part, and what each host runs: the services themselves, over a simulated network, a
//! simulated clock and a store that fails.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cairn_catalog::{Client, RemoteParts};
use cairn_chassis::{Clock, Context, Net, Options, Process, Random, config};
use cairn_store::InProcess;
use cairn_store::faulty::{FaultyStore, Server};
use tempfile::TempDir;

use crate::network::Simulated;
use crate::trace::{self, note};

pub(crate) static INGESTERS: [&str; 3] = ["ingester-1", "ingester-2", "ingester-3"];
pub(crate) static QUERIERS: [&str; 2] = ["querier-1", "querier-2"];
pub(crate) const SERVERS: [&str; 6] = [
    "ingester-1",
    "ingester-2",
    "ingester-3",
    "querier-1",
    "querier-2",
    "compactor",
];
pub(crate) const CLIENTS: [&str; 3] = ["client-1", "client-2", "client-3"];

const PORT: u16 = 7070;
/// Where ingesters agree on the catalog.
const PEER_PORT: u16 = 7072;
/// The time of day at which every run begins.
pub(crate) const EPOCH_SECONDS: u64 = 1_700_000_000;
/// Blocks over the same time of this length are merged. Profiles say that they were taken in one that
/// was over long before, so that merges go on during a run.
const WINDOW: cairn_compactor::Window = cairn_compactor::Window(Duration::from_secs(15 * 60));
/// How often a host tells whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Everything that is shared by the hosts of a run, and outlives their crashes.
pub(crate) struct Cluster {
    seed: u64,
    pub(crate) objects: Server,
    pub(crate) stores: BTreeMap<&'static str, Arc<FaultyStore>>,
    disks: TempDir,
    skews: BTreeMap<&'static str, Arc<AtomicI64>>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    starts: BTreeMap<&'static str, u64>,
    ready: BTreeSet<&'static str>,
    /// Processes that have ended by themselves and wait to be started again.
    ended: BTreeSet<&'static str>,
}

impl Cluster {
    pub(crate) fn new(seed: u64, skews: &[i64]) -> Rc<Self> {
        let sleep = |time| Box::pin(tokio::time::sleep(time)) as futures::future::BoxFuture<_>;
        let now = || time_of_day() / 1_000_000;
        let objects = Server::new(seed, Arc::new(sleep), Arc::new(now));
        let stores = SERVERS.map(|name| (name, objects.connect()));
        Rc::new(Self {
            seed,
            objects,
            stores: BTreeMap::from(stores),
            disks: tempfile::tempdir().expect("a folder for disks"),
            skews: {
                let skews = skews.iter().map(|skew| Arc::new(AtomicI64::new(*skew)));
                SERVERS.into_iter().zip(skews).collect()
            },
            state: RefCell::default(),
        })
    }

    /// One life of a server's process. Never returns: a process that ends is for the supervisor.
    pub(crate) async fn serve(self: Rc<Self>, name: &'static str) -> turmoil::Result {
        let service = name.split('-').next().unwrap_or(name);
        let ended = self.live(name, service).await;
        let said = match ended {
            Ok(()) => "without an error".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        note(&format!("{name} ended: {said}"));
        self.state.borrow_mut().ready.remove(name);
        self.state.borrow_mut().ended.insert(name);
        std::future::pending().await
    }

    async fn live(&self, name: &'static str, service: &str) -> anyhow::Result<()> {
        let process = Process::bind(self.options(name), &[service_name(service)]).await?;
        match service {
            "ingester" => {
                let config = self.ingester(name);
                process.run("ingester", |cx| cairn_ingester::run(config, cx));
            }
            "querier" => {
                let config = self.querier(name);
                process.run("querier", |cx| cairn_querier::run(config, cx));
            }
            _ => {
                let config = self.compactor(name);
                process.run("compactor", |cx| cairn_compactor::run(config, cx));
            }
        }
        let stop = process.stop_token();
        while !stop.is_cancelled() {
            match process.is_ready() {
                true => self.state.borrow_mut().ready.insert(name),
                false => self.state.borrow_mut().ready.remove(name),
            };
            tokio::time::sleep(LOOK_EVERY).await;
        }
        process.finished().await
    }

    /// A client's handle on the network. Keep the process as long as it.
    pub(crate) async fn client(&self, name: &'static str) -> anyhow::Result<(Process, Context)> {
        let process = Process::bind(self.options(name), &[]).await?;
        let context = process.context("client");
        Ok((process, context))
    }

    /// The catalog as a service of another process sees it.
    pub(crate) fn catalog(&self, cx: &Context) -> Client {
        Client::remote(RemoteParts {
            addresses: INGESTERS.map(url).to_vec(),
            connect: cx.connector(),
            seed: cx.random().u64(),
        })
    }

    fn options(&self, name: &'static str) -> Options {
        let mut state = self.state.borrow_mut();
        state.ready.remove(name);
        let start = state.starts.entry(name).or_default();
        *start += 1;
        let salt = name.bytes().fold(*start, |salt, byte| {
            salt.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        let skew = self.skews.get(name).map(Arc::clone).unwrap_or_default();
        let mut options = Options::for_tests();
        options.net = Net::simulated(Simulated);
        options.server.listen = ([0, 0, 0, 0], PORT).into();
        options.server.admin_listen = ([0, 0, 0, 0], PORT + 1).into();
        options.clock = Clock::simulated(move || time_of_day() + skew.load(Ordering::Relaxed));
        options.random = Random::seeded(self.seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        options
    }

    fn store(&self, name: &str) -> cairn_store::Config {
        let objects = Arc::clone(&self.stores[name]);
        cairn_store::Config {
            in_process: Some(InProcess(objects)),
            ..cairn_store::Config::default()
        }
    }

    fn ingester(&self, name: &str) -> cairn_ingester::Config {
        cairn_ingester::Config {
            data: self.disks.path().join(name),
            store: self.store(name),
            writer: name.to_owned(),
            address: url(name),
            zone: name.to_owned(),
            catalog: cairn_ingester::CatalogConfig {
                listen: Some(([0, 0, 0, 0], PEER_PORT).into()),
                node: cairn_catalog::NodeConfig {
                    id: node(name),
                    voters: BTreeMap::from(INGESTERS.map(|name| (node(name), peer_url(name)))),
                    ..cairn_catalog::NodeConfig::default()
                },
                ..cairn_ingester::CatalogConfig::default()
            },
            log: cairn_ingester::LogConfig {
                kind: cairn_ingester::LogKind::Object,
                commit_delay: Some(Duration::from_millis(50)),
                ..cairn_ingester::LogConfig::default()
            },
            tail: cairn_ingester::TailConfig {
                flush_interval: Duration::from_secs(3),
                retention: Duration::from_secs(10),
                ..cairn_ingester::TailConfig::default()
            },
            ..cairn_ingester::Config::default()
        }
    }

    fn querier(&self, name: &str) -> cairn_querier::Config {
        cairn_querier::Config {
            store: self.store(name),
            catalog: config::Addresses::new(INGESTERS.map(url)),
            workers: QUERIERS.map(url).to_vec(),
            ..cairn_querier::Config::default()
        }
    }

    fn compactor(&self, name: &str) -> cairn_compactor::Config {
        cairn_compactor::Config {
            store: self.store(name),
            catalog: config::Addresses::new(INGESTERS.map(url)),
            poll_interval: Duration::from_secs(1),
            deletion_delay: Duration::from_secs(40),
            request_timeout: Duration::from_secs(5),
            plan: cairn_compactor::PlanConfig {
                // A window that is the largest takes single blocks too: in the end all are merged.
                windows: vec![WINDOW],
                settle: Duration::from_secs(1),
                // So few that repeats mostly are in blocks that no merge takes together.
                job_blocks_max: 3,
                ..cairn_compactor::PlanConfig::default()
            },
            ..cairn_compactor::Config::default()
        }
    }

    /// From here on this server's time of day is wrong by so much.
    pub(crate) fn set_clock(&self, name: &str, skew: i64) {
        self.skews[name].store(skew, Ordering::Relaxed);
    }

    pub(crate) fn is_ready(&self, name: &str) -> bool {
        self.state.borrow().ready.contains(name)
    }

    /// Servers that are not ready.
    pub(crate) fn unready(&self) -> Vec<&'static str> {
        let unready = SERVERS.into_iter().filter(|name| !self.is_ready(name));
        unready.collect()
    }

    /// Processes that have ended since the last call.
    pub(crate) fn take_ended(&self) -> BTreeSet<&'static str> {
        std::mem::take(&mut self.state.borrow_mut().ended)
    }

    /// The process is dead.
    pub(crate) fn forget(&self, name: &'static str) {
        let mut state = self.state.borrow_mut();
        state.ready.remove(name);
        state.ended.remove(name);
    }
}

/// Where a host serves.
pub(crate) fn url(name: &str) -> String {
    format!("http://{name}:{PORT}")
}

fn peer_url(name: &str) -> String {
    format!("http://{name}:{PEER_PORT}")
}

/// The number of an ingester's node.
fn node(name: &str) -> u64 {
    let at = INGESTERS.iter().position(|ingester| *ingester == name);
    1 + at.expect("an ingester") as u64
}

fn service_name(service: &str) -> &'static str {
    match service {
        "ingester" => "ingester",
        "querier" => "querier",
        _ => "compactor",
    }
}

/// The right one, in nanoseconds since 1970. Outside of the simulation, as while a crashed host is
/// taken apart, it stands still.
fn time_of_day() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    if let Some(elapsed) = trace::elapsed() {
        LAST.store(elapsed.as_nanos() as i64, Ordering::Relaxed);
    }
    EPOCH_SECONDS as i64 * 1_000_000_000 + LAST.load(Ordering::Relaxed)
}
