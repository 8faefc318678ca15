//! Where writes wait for shards that are not ready yet, and from where those on are counted that
//! take a shard's writes.
//!
//! Owns the waiting; which shards are ready is the handover's decision.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cairn_catalog::SHARDS;
use cairn_chassis::Clock;
use cairn_model::WriterId;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedRwLockReadGuard, RwLock};

use super::handover::{Handover, Standing};
use super::view::{Predecessor, View};
use crate::metrics::RouteMetrics;

/// One ingester's shards, shared by all pushes.
#[derive(Debug)]
pub(super) struct Gate {
    handover: Mutex<Handover>,
    is_all_ours: AtomicBool,
    changed: Notify,
    /// Read by every write that is being taken; written by who waits for all of them.
    taking: Arc<RwLock<()>>,
    metrics: RouteMetrics,
}

/// Held while a write is taken, from the look at its shards until it is stored.
pub(crate) type Taking = OwnedRwLockReadGuard<()>;

/// Why a write can't be taken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shut {
    /// By the map of this epoch, a shard is another writer's.
    Foreign { epoch: u64 },
    /// A shard is still pending after the wait.
    Pending,
}

impl Gate {
    pub(super) fn new(own: WriterId, metrics: RouteMetrics) -> Self {
        Self {
            handover: Mutex::new(Handover::new(own)),
            is_all_ours: AtomicBool::new(false),
            changed: Notify::new(),
            taking: Arc::default(),
            metrics,
        }
    }

    /// Goes on to a newer map; returns whose logs must be read.
    pub(super) fn follow(&self, view: &View) -> Vec<Predecessor> {
        let mut handover = self.handover.lock();
        let awaited = handover.follow(view);
        self.tell(&handover);
        awaited
    }

    pub(super) fn admit(&self, read: &Predecessor) {
        let mut handover = self.handover.lock();
        handover.admit(read);
        self.tell(&handover);
    }

    fn tell(&self, handover: &Handover) {
        let (owned, pending) = handover.counts();
        let is_all_ours = owned == usize::from(SHARDS);
        self.is_all_ours.store(is_all_ours, Ordering::Release);
        self.metrics.owned_shards.set(owned as i64);
        self.metrics.pending_shards.set(pending as i64);
        self.metrics.shard_map_epoch.set(handover.epoch() as i64);
        self.changed.notify_waiters();
    }

    /// A right to take any write, if every shard is ours.
    pub(super) fn enter_any(&self) -> Option<Taking> {
        // First the right, then the look: what is seen holds until it is given back.
        let taking = Arc::clone(&self.taking).try_read_owned().ok()?;
        let is_all_ours = self.is_all_ours.load(Ordering::Acquire);
        #[cfg(feature = "failpoints")]
        let is_all_ours = is_all_ours || crate::points::has_bug(crate::TAKE_ANYTHING);
        is_all_ours.then_some(taking)
    }

    /// Returns when everything is stored or refused that was taken before the call.
    pub(super) async fn drain(&self) {
        drop(self.taking.write().await);
    }

    pub(super) fn epoch(&self) -> u64 {
        self.handover.lock().epoch()
    }

    /// Returns when writes of all these shards can be taken here.
    pub(super) async fn enter(
        &self,
        shards: &[u16],
        clock: &Clock,
        patience: Duration,
    ) -> Result<Taking, Shut> {
        let patience = clock.sleep(patience);
        tokio::pin!(patience);
        loop {
            let changed = self.changed.notified();
            let taking = Arc::clone(&self.taking).read_owned().await;
            if self.look(shards)? {
                return Ok(taking);
            }
            drop(taking);
            tokio::select! {
                () = changed => {}
                () = &mut patience => return Err(Shut::Pending),
            }
        }
    }

    /// False: something is pending.
    fn look(&self, shards: &[u16]) -> Result<bool, Shut> {
        let handover = self.handover.lock();
        let standings = shards.iter().map(|shard| handover.standing(*shard));
        if standings
            .clone()
            .any(|standing| standing == Standing::Foreign)
        {
            let epoch = handover.epoch();
            return Err(Shut::Foreign { epoch });
        }
        Ok(!standings
            .clone()
            .any(|standing| standing == Standing::Pending))
    }
}
