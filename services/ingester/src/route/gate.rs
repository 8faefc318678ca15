//! Where writes wait for shards that are not ready yet.
//!
//! Owns the waiting; which shards are ready is the handover's decision.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cairn_catalog::SHARDS;
use cairn_chassis::Clock;
use cairn_model::WriterId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::handover::{Handover, Standing};
use super::view::{Predecessor, View};
use crate::metrics::RouteMetrics;

/// One ingester's shards, shared by all pushes.
#[derive(Debug)]
pub(super) struct Gate {
    handover: Mutex<Handover>,
    is_all_ours: AtomicBool,
    changed: Notify,
    metrics: RouteMetrics,
}

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

    pub(super) fn is_all_ours(&self) -> bool {
        self.is_all_ours.load(Ordering::Acquire)
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
    ) -> Result<(), Shut> {
        let patience = clock.sleep(patience);
        tokio::pin!(patience);
        loop {
            let changed = self.changed.notified();
            if self.look(shards)? {
                return Ok(());
            }
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
