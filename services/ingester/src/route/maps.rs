//! The newest shard map that this ingester has seen.
//!
//! It is fetched every second, and at once when someone knows of a newer one. A map never goes back
//! to an older epoch. Owns when maps are fetched; what they say is the view's.

use std::sync::Arc;
use std::time::Duration;

use cairn_chassis::Clock;
use tokio::sync::{Notify, watch};

use super::Map;
use super::view::{Shards, View};
use crate::metrics::RouteMetrics;

pub(super) struct Maps {
    source: Arc<dyn Map>,
    clock: Clock,
    latest: watch::Sender<Option<Arc<View>>>,
    hurry: Notify,
    metrics: RouteMetrics,
}

/// Between two fetches, at most.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two fetches, at least, however many pushes ask for a newer map.
const PAUSE: Duration = Duration::from_millis(50);
/// A fetch takes no longer.
const FETCH_MAX: Duration = Duration::from_secs(2);
/// Whoever waits for a newer map asks again after this.
const ASK_AGAIN: Duration = Duration::from_millis(100);

impl Maps {
    pub(super) fn new(source: Arc<dyn Map>, clock: Clock, metrics: RouteMetrics) -> Self {
        Self {
            source,
            clock,
            latest: watch::Sender::new(None),
            hurry: Notify::new(),
            metrics,
        }
    }

    pub(super) fn latest(&self) -> Option<Arc<View>> {
        self.latest.borrow().clone()
    }

    /// Has the map fetched soon.
    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// The map once it has at least this epoch; none if that takes too long.
    pub(super) async fn reach(&self, epoch: u64, patience: Duration) -> Option<Arc<View>> {
        let patience = self.clock.sleep(patience);
        tokio::pin!(patience);
        let mut latest = self.latest.subscribe();
        loop {
            let there = latest.borrow_and_update().clone();
            if let Some(view) = there.filter(|view| view.epoch() >= epoch) {
                return Some(view);
            }
            self.hurry();
            tokio::select! {
                // The sender lives in `self`.
                _ = latest.changed() => {}
                () = self.clock.sleep(ASK_AGAIN) => {}
                () = &mut patience => return None,
            }
        }
    }

    /// Fetches, in time, until there is something new.
    pub(super) async fn next(&self) -> Shards {
        let mut is_first = self.latest.borrow().is_none();
        loop {
            if !is_first {
                self.clock.sleep(PAUSE).await;
                tokio::select! {
                    () = self.hurry.notified() => {}
                    () = self.clock.sleep(INTERVAL) => {}
                }
            }
            is_first = false;
            let fetched = tokio::select! {
                fetched = self.source.fetch() => fetched,
                () = self.clock.sleep(FETCH_MAX) => Err(anyhow::anyhow!("it takes too long")),
            };
            match fetched {
                Ok(shards) if self.is_news(&shards) => return shards,
                Ok(_) => {}
                Err(error) => {
                    self.metrics.shard_map_failures.inc();
                    let error = format!("{error:#}");
                    tracing::warn!(error, "the shard map is not fetched; the last one stays");
                }
            }
        }
    }

    fn is_news(&self, shards: &Shards) -> bool {
        let latest = self.latest.borrow();
        latest.as_ref().is_none_or(|latest| {
            shards.epoch > latest.epoch()
                || (shards.epoch == latest.epoch() && shards != latest.shards())
        })
    }

    pub(super) fn publish(&self, view: Arc<View>) {
        self.latest.send_replace(Some(view));
    }
}
