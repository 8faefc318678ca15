//! Any ingester takes any write and passes it on to the ingester that owns its shard.
//!
//! Owns who gets what, and the way there and back. What an owner does with its part is what it does
//! with a push of its own: the ingester's work. Whose shards are whose is the catalog's.

mod forward;
mod gate;
mod handover;
mod hash;
mod maps;
mod rates;
mod split;
mod subset;
mod view;
pub(crate) mod wire;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cairn_chassis::Clock;
use cairn_model::WriterId;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use self::gate::{Gate, Shut};
use self::maps::Maps;
use self::rates::Rates;
use self::view::View;
use crate::config::RouteConfig;
use crate::error::Error;
use crate::metrics::RouteMetrics;

pub(crate) use self::gate::Taking;
pub use self::view::{Peer, Predecessor, Shards};

/// Makes or finds the connection to an address; it is made when first used.
pub type Connect = Arc<dyn Fn(&str) -> Result<Channel, String> + Send + Sync>;

/// Where the shard map comes from.
#[tonic::async_trait]
pub trait Map: Send + Sync {
    /// The newest map at hand; it may be slightly old.
    async fn fetch(&self) -> anyhow::Result<Shards>;
}

/// What another writer has stored, for those who go on in its place.
#[tonic::async_trait]
pub trait Inherit: Send + Sync {
    /// Returns when the writer can store nothing more of what it lost, and its repeats are known to
    /// this ingester's writer. It is called again if it fails.
    async fn inherit(&self, predecessor: &Predecessor) -> anyhow::Result<()>;
}

/// What an ingester among others needs of the rest of the world.
#[derive(Clone)]
pub struct Peers {
    pub map: Arc<dyn Map>,
    pub connect: Connect,
    pub inherit: Arc<dyn Inherit>,
}

/// Knows the owners of all shards. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Router(Arc<Inner>);

struct Inner {
    own: WriterId,
    config: RouteConfig,
    clock: Clock,
    peers: Peers,
    maps: Maps,
    gate: Gate,
    rates: Mutex<Rates>,
    metrics: RouteMetrics,
}

/// How long an ingester waits for a map that is as new as another's.
const MAP_PATIENCE: Duration = Duration::from_secs(2);
/// How long a push waits for shards whose former owner's log is being read.
const PENDING_PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries to read the log of a writer that crashed.
const INHERIT_PAUSE: Duration = Duration::from_secs(1);

/// Whether a forwarded request can be stored here.
#[derive(Debug)]
pub(crate) enum Claim {
    Granted(Taking),
    /// By the map of this epoch, a shard is another writer's.
    Foreign {
        epoch: u64,
    },
}

impl Router {
    pub(crate) fn new(
        own: WriterId,
        config: RouteConfig,
        clock: Clock,
        peers: Peers,
        metrics: RouteMetrics,
    ) -> Self {
        Self(Arc::new(Inner {
            maps: Maps::new(Arc::clone(&peers.map), clock.clone(), metrics.clone()),
            gate: Gate::new(own.clone(), metrics.clone()),
            rates: Mutex::new(Rates::new(config.shard_bytes_per_second.as_u64())),
            own,
            config,
            clock,
            peers,
            metrics,
        }))
    }

    /// Follows the shard map until the process stops.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let Inner { maps, gate, .. } = &*self.0;
        let mut inheriting = FuturesUnordered::new();
        let mut begun = BTreeSet::new();
        let fetching = maps.next();
        tokio::pin!(fetching);
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                Some(read) = inheriting.next(), if !inheriting.is_empty() => {
                    gate.admit(&read);
                    begun.remove(&read);
                }
                shards = &mut fetching => {
                    fetching.set(maps.next());
                    let view = Arc::new(View::new(shards));
                    for predecessor in gate.follow(&view) {
                        if begun.insert(predecessor.clone()) {
                            inheriting.push(self.inherit(predecessor));
                        }
                    }
                    // After the gate knows: no push finds a shard open that must wait.
                    maps.publish(view);
                }
            }
        }
    }

    async fn inherit(&self, predecessor: Predecessor) -> Predecessor {
        let Predecessor {
            writer,
            incarnation,
            epoch: _,
        } = &predecessor;
        while let Err(error) = self.0.peers.inherit.inherit(&predecessor).await {
            tracing::warn!(
                %writer,
                incarnation,
                error = format!("{error:#}"),
                "learning what another writer has stored is tried again"
            );
            self.0.clock.sleep(INHERIT_PAUSE).await;
        }
        tracing::info!(%writer, incarnation, "what another writer has stored is known");
        predecessor
    }

    /// Names of all others that are open, and the ways to them, or why there is none.
    pub(crate) fn others(&self) -> Vec<(String, Result<Channel, String>)> {
        let Inner {
            own, peers, maps, ..
        } = &*self.0;
        let view = maps.latest();
        let others = view.iter().flat_map(|view| view.writers());
        let others = others.filter(|peer| peer.id != *own);
        let way = |peer: &Peer| (peer.id.to_string(), (peers.connect)(&peer.address));
        others.map(way).collect()
    }

    /// A right to take any write, if every shard is this ingester's, and nothing has to wait: there
    /// is nobody to pass anything to.
    pub(crate) fn alone(&self) -> Option<Taking> {
        self.0.gate.enter_any()
    }

    /// Returns when this ingester takes no more writes for shards that it lost by a map of this
    /// epoch, and has stored or refused all that it took.
    pub(crate) async fn release(&self, epoch: u64) -> Result<(), Error> {
        let Inner { maps, gate, .. } = &*self.0;
        if gate.epoch() < epoch {
            let reached = maps.reach(epoch, MAP_PATIENCE).await;
            reached.ok_or(Error::Moving)?;
        }
        gate.drain().await;
        Ok(())
    }

    /// May this ingester store what another sent it for these shards, by a map of this epoch?
    pub(crate) async fn claim(&self, epoch: u64, shards: &[u16]) -> Result<Claim, Error> {
        let Inner { maps, gate, .. } = &*self.0;
        if gate.epoch() < epoch {
            // Whatever comes of it, the map that is there then decides.
            maps.reach(epoch, MAP_PATIENCE).await;
        }
        match gate.enter(shards, &self.0.clock, PENDING_PATIENCE).await {
            Ok(taking) => Ok(Claim::Granted(taking)),
            Err(Shut::Pending) => Err(Error::Pending),
            Err(Shut::Foreign { epoch }) => {
                self.0.metrics.misrouted_requests.inc();
                Ok(Claim::Foreign { epoch })
            }
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("own", &self.own)
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peers")
    }
}

/// The way to owners and back, for tests of what takes it.
#[cfg(test)]
pub(crate) mod testing {
    use cairn_catalog::Log;

    use super::split::Part;
    use super::*;
    use crate::push::Push;

    /// The parts of a push whose series belong to these shards, each of another owner.
    pub(crate) fn parts(push: Push, shards: &[u16]) -> Vec<Part> {
        let id = |shard: u16| WriterId::parse(&format!("w{shard}")).expect("valid");
        let peer = |shard| Peer {
            id: id(shard),
            incarnation: 1,
            log: Log::OnePerIncarnation,
            address: String::new(),
            zone: String::new(),
        };
        let view = View::new(Shards {
            epoch: 1,
            owners: (0..4).map(|shard| (shard, id(shard))).collect(),
            writers: (0..4).map(peer).collect(),
            sealed: Vec::new(),
        });
        let parts = Part::new(push, shards.to_vec()).by_owner(&view);
        parts.into_iter().map(|(_, part)| part).collect()
    }

    /// What an owner gets of a part.
    pub(crate) fn passed_on(mut part: Part) -> Push {
        part.own_tables();
        let forwarded = wire::read(wire::request(&part, 1)).expect("as written");
        forwarded.part.push
    }
}
