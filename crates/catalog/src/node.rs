//! One node of the catalog: a member of the raft group, and the services in front of it.
//!
//! Owns the order of starting and stopping, and the runtime that keeps heartbeats apart from
//! whatever else the process does.

mod config;
mod duties;
mod listen;
mod local;
mod members;
mod propose;
mod reads;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openraft::BasicNode;
use openraft::error::{InitializeError, RaftError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::duties::Housekeeping;
use self::local::LocalParts;
use crate::raft::Raft;
use crate::raft::log::{self, Owner, Running};
use crate::raft::machine::Machine;
use crate::raft::network::Network;
use crate::raft::offload::Offload;
use crate::raft::peers::Peers;
use crate::{
    AdminService, CatalogService, Client, Connect, Error, PeerService, Server, Status, admin,
};

pub use self::config::NodeConfig;
pub use self::duties::{Placement, duties};
pub use self::listen::{Acceptor, PeerStream, plain};
pub(crate) use self::local::Local;
pub use self::members::Change;

/// Tells the time, in milliseconds since the Unix epoch.
pub type UnixMillis = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Threads of a runtime of the node's own: one may be busy with a large message while the other
/// keeps heartbeats going.
const THREADS: usize = 2;
/// How long a node that is alone may take to lead itself.
const START_TIME_MAX: Duration = Duration::from_secs(20);
/// How long each part may take to stop.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// Where a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// On threads of its own, so that load on others does not cost it its leadership.
    Own,
    /// Where it was started, without any thread of its own: for simulations.
    Current,
}

/// What a node works with.
pub struct NodeParts {
    /// The way to other nodes; not shared with what else the process calls, since its connections
    /// live where the node runs.
    pub connect: Connect,
    pub now: UnixMillis,
    pub runtime: Runtime,
    /// The port for other nodes and who may come in. Without, the caller serves
    /// [`Node::peer_service`] itself.
    pub listener: Option<(std::net::TcpListener, Acceptor)>,
    pub placement: Option<Placement>,
    /// Of the pauses between tries.
    pub seed: u64,
}

impl fmt::Debug for NodeParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listener = self.listener.as_ref().map(|(listener, _)| listener);
        f.debug_struct("NodeParts")
            .field("runtime", &self.runtime)
            .field("listener", &listener)
            .finish_non_exhaustive()
    }
}

impl NodeParts {
    /// Of a node that nobody else reaches.
    pub fn alone(now: UnixMillis) -> Self {
        Self {
            connect: Arc::new(|address| Err(format!("this catalog has no node at {address:?}"))),
            now,
            runtime: Runtime::Own,
            listener: None,
            placement: None,
            seed: 0,
        }
    }
}

/// A running node. Dropping it is a crash; what it answered is durable all the same.
#[derive(Debug)]
pub struct Node {
    local: Local,
    seed: u64,
    stop: CancellationToken,
    /// `None` once it has stopped.
    running: Option<Parts>,
}

#[derive(Debug)]
struct Parts {
    handle: Handle,
    /// `None` if it runs on another's.
    own: Option<tokio::runtime::Runtime>,
    tasks: Vec<JoinHandle<()>>,
    log: Running,
}

impl Node {
    /// Starts the only node of a catalog, in a folder of its own.
    pub async fn alone(folder: &Path, now: UnixMillis) -> Result<Self, Error> {
        let config = NodeConfig {
            folder: folder.to_owned(),
            ..NodeConfig::default()
        };
        Self::start(config, NodeParts::alone(now)).await
    }

    /// Starts a node. One that is alone leads when this returns; others find their leader later.
    pub async fn start(config: NodeConfig, parts: NodeParts) -> Result<Self, Error> {
        config.check()?;
        let seed = parts.seed;
        let (handle, own) = match parts.runtime {
            Runtime::Current => (Handle::current(), None),
            Runtime::Own => {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(THREADS)
                    .thread_name("catalog")
                    .enable_all()
                    .build();
                let runtime = runtime.map_err(|source| Error::Io {
                    what: "start threads for",
                    path: config.folder.clone(),
                    source,
                })?;
                (runtime.handle().clone(), Some(runtime))
            }
        };
        let stop = CancellationToken::new();
        let booted = handle.spawn(boot(config, parts, stop.clone())).await;
        let booted = booted.map_err(|error| Error::Unavailable(error.to_string()));
        let (local, tasks, log) = match booted.and_then(|booted| booted) {
            Ok(booted) => booted,
            Err(error) => {
                own.into_iter()
                    .for_each(tokio::runtime::Runtime::shutdown_background);
                return Err(error);
            }
        };
        let running = Some(Parts {
            handle,
            own,
            tasks,
            log,
        });
        Ok(Self {
            local,
            seed,
            stop,
            running,
        })
    }

    /// The catalog, for services of this process.
    pub fn client(&self) -> Client {
        Client::local(self.local.clone(), self.seed)
    }

    /// Answers other services.
    pub fn catalog_service(&self) -> CatalogService {
        Server::new(self.local.clone()).into_service()
    }

    /// Answers other nodes. Belongs on a port that only they reach.
    pub fn peer_service(&self) -> PeerService {
        Peers::new(self.local.clone()).into_service()
    }

    /// Answers people who change the nodes.
    pub fn admin_service(&self) -> AdminService {
        admin::Admin::new(self.local.clone()).into_service()
    }

    pub fn status(&self) -> Status {
        self.local.status()
    }

    /// Gives the status as often as it is called, as long as there is the node.
    pub fn watch(&self) -> impl Fn() -> Option<Status> + Send + Sync + 'static {
        self.local.watch()
    }

    /// Changes the nodes, if this one leads.
    pub async fn change(&self, change: Change) -> Result<(), Error> {
        self.local.change(change).await
    }

    /// Waits for the end of the node: an error if it failed, so that its process should end too.
    pub fn ended(&self) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let mut metrics = self.local.raft().metrics();
        let stop = self.stop.clone();
        async move {
            let failed = async {
                // An error: openraft is gone without a word.
                let failed = metrics
                    .wait_for(|metrics| metrics.running_state.is_err())
                    .await;
                failed.map_or_else(
                    |error| error.to_string(),
                    |metrics| {
                        metrics
                            .running_state
                            .clone()
                            .err()
                            .map_or_else(String::new, |e| e.to_string())
                    },
                )
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => Ok(()),
                reason = failed => {
                    // It may have been told to stop since the line above was looked at.
                    if stop.is_cancelled() {
                        return Ok(());
                    }
                    tracing::error!(reason, "the node of the catalog has failed");
                    Err(Error::Unavailable(reason))
                }
            }
        }
    }

    /// Ends the node in order.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        self.stop.cancel();
        let Some(parts) = self.running.take() else {
            return Ok(());
        };
        let raft = self.local.raft().clone();
        let stopped = parts.handle.spawn(async move {
            let stopped = tokio::time::timeout(STOP_TIME_MAX, raft.shutdown()).await;
            for task in parts.tasks {
                task.abort();
                drop(task.await);
            }
            drop(raft);
            let log = tokio::time::timeout(STOP_TIME_MAX, parts.log.ended()).await;
            stopped.is_ok() && log.is_ok()
        });
        let is_stopped = stopped.await.unwrap_or(false);
        parts
            .own
            .into_iter()
            .for_each(tokio::runtime::Runtime::shutdown_background);
        if is_stopped {
            Ok(())
        } else {
            Err(Error::Unavailable(
                "the node did not stop in time".to_owned(),
            ))
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
        let Some(parts) = self.running.take() else {
            return;
        };
        parts.tasks.iter().for_each(JoinHandle::abort);
        match parts.own {
            Some(runtime) => runtime.shutdown_background(),
            None => {
                let raft = self.local.raft().clone();
                parts.handle.spawn(async move { raft.shutdown().await });
            }
        }
    }
}

type Booted = (Local, Vec<JoinHandle<()>>, Running);

async fn boot(
    config: NodeConfig,
    parts: NodeParts,
    stop: CancellationToken,
) -> Result<Booted, Error> {
    let offload = match parts.runtime {
        Runtime::Own => Offload::Threads,
        Runtime::Current => Offload::Inline,
    };
    let network = Network {
        cluster: config.cluster.as_str().into(),
        connect: Arc::clone(&parts.connect),
        handle: Handle::current(),
    };
    let owner = Owner {
        cluster: config.cluster.clone(),
        node: config.id,
    };
    let (log, running) = log::Log::open(&config.folder, owner, offload).await?;
    let machine = Machine::open(&config.folder, offload).await?;
    let current = machine.current();
    if log.purged() > current.last() {
        return Err(Error::Corrupt {
            path: config.folder,
            reason: "the snapshot of entries that are not in the log any more is missing"
                .to_owned(),
        });
    }
    let is_pristine = log.is_pristine();
    let settings = Arc::new(config.raft());
    let raft = Raft::new(config.id, settings, network.clone(), log, machine).await;
    let raft = raft.map_err(|error| Error::Corrupt {
        path: config.folder.clone(),
        reason: error.to_string(),
    })?;
    let (proposals, proposed) = mpsc::channel(propose::QUEUE_MAX);
    let (reads, read) = mpsc::channel(reads::QUEUE_MAX);
    let handle = Handle::current();
    let mut tasks = vec![
        handle.spawn(propose::run(raft.clone(), Arc::clone(&parts.now), proposed)),
        handle.spawn(reads::run(raft.clone(), read)),
    ];
    let local = Local::new(LocalParts {
        id: config.id,
        raft: raft.clone(),
        current,
        network,
        proposals,
        reads,
    });
    let housekeeping = Housekeeping {
        local: local.clone(),
        now: parts.now,
        grace: config.grace,
        placement: parts.placement,
        stop: stop.clone(),
    };
    tasks.push(handle.spawn(housekeeping.run()));
    if let Some((listener, acceptor)) = parts.listener {
        let listener = adopted(listener, &config)?;
        let service = Peers::new(local.clone()).into_service();
        tasks.push(handle.spawn(listen::serve(listener, acceptor, service, stop)));
    }
    begin(&config, &raft, is_pristine).await?;
    if config.is_alone() {
        lead_alone(&local).await?;
    }
    Ok((local, tasks, running))
}

/// The port, as one of the current runtime.
fn adopted(
    listener: std::net::TcpListener,
    config: &NodeConfig,
) -> Result<tokio::net::TcpListener, Error> {
    let ready = listener.set_nonblocking(true);
    let adopted = ready.and_then(|()| tokio::net::TcpListener::from_std(listener));
    adopted.map_err(|source| Error::Io {
        what: "listen for",
        path: config.folder.clone(),
        source,
    })
}

/// Makes a new catalog, if this node is to be in it. Every one of its nodes may do this: it is the
/// same entry.
async fn begin(config: &NodeConfig, raft: &Raft, is_pristine: bool) -> Result<(), Error> {
    if is_pristine && config.voters.contains_key(&config.id) {
        let nodes = config.voters.iter();
        let nodes: BTreeMap<_, _> = nodes
            .map(|(id, address)| (*id, BasicNode::new(address)))
            .collect();
        match raft.initialize(nodes).await {
            // The others were faster.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => return Err(Error::Unavailable(error.to_string())),
        }
    }
    Ok(())
}

async fn lead_alone(local: &Local) -> Result<(), Error> {
    let raft = local.raft();
    let is_sole = {
        let metrics = raft.metrics();
        let metrics = metrics.borrow();
        let mut voters = metrics.membership_config.membership().voter_ids();
        voters.all(|voter| voter == local.id())
    };
    if !is_sole {
        // Others were added since.
        return Ok(());
    }
    let elected = raft.trigger().elect().await;
    elected.map_err(|error| Error::Unavailable(error.to_string()))?;
    let wait = raft.wait(Some(START_TIME_MAX));
    let led = wait.current_leader(local.id(), "alone").await;
    led.map_err(|error| Error::Unavailable(error.to_string()))?;
    local.up_to_date().await
}
