//! How much is scanned at a time, in bytes of blocks; tenants take turns.
//!
//! No scan counts as so much that few go on at a time, nor as so little that there are more than
//! threads for them. Those who help scans have a thread each too, and are as many as cores.

use std::sync::Arc;

use cairn_chassis::{Turn, Turns};
use cairn_model::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Scans that may go on at a time, whatever their blocks weigh.
const SCANS_MIN: u64 = 8;
/// Scans that may go on at a time, however little their blocks weigh: each takes a thread.
const SCANS_MAX: u64 = 128;

/// Room for scans. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    bytes_max: u64,
    turns: Turns,
    helpers: Arc<Semaphore>,
}

impl Slots {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let bytes_max = bytes_max.max(SCANS_MAX);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            bytes_max,
            turns: Turns::new(bytes_max),
            helpers: Arc::new(Semaphore::new(cores)),
        }
    }

    /// How many more may help scans.
    pub(crate) fn helpers(&self) -> usize {
        self.helpers.available_permits()
    }

    /// Room for one who helps a scan, if there is some; it does not wait for it.
    pub(crate) fn help(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.helpers).try_acquire_owned().ok()
    }

    /// Waits for a turn.
    pub(crate) async fn acquire(&self, tenant: &TenantId, bytes: u64) -> Turn {
        let bytes = bytes.clamp(self.bytes_max / SCANS_MAX, self.bytes_max / SCANS_MIN);
        self.turns.wait(Some(tenant), bytes, bytes).await
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::task::unconstrained;

    use super::*;

    #[tokio::test]
    async fn neither_large_nor_small_scans_take_more_than_their_part() {
        let slots = Slots::new(8 * 1024);
        let tenant = TenantId::parse("a").expect("valid");
        // So many turns at once are more than a task usually gets.
        let at_once = |bytes| unconstrained(slots.acquire(&tenant, bytes)).now_or_never();
        for (bytes, scans) in [(u64::MAX, SCANS_MIN), (0, SCANS_MAX)] {
            let turns: Option<Vec<Turn>> = (0..scans).map(|_| at_once(bytes)).collect();
            assert!(turns.is_some());
            assert!(at_once(1).is_none());
        }
    }
}
