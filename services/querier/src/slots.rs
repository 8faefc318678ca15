//! How much is scanned at a time, in bytes of blocks; tenants take turns.
//!
//! No scan counts as so much that few go on at a time, nor as so little that there are more than
//! threads for them. One tenant leaves a part to others, which may come before its scans end. Those
//! who help scans have a thread each too, and are as many as cores.

use std::sync::Arc;

use cairn_chassis::{Turn, Turns};
use cairn_model::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Scans of a tenant that may go on at a time, whatever their blocks weigh.
const SCANS_MIN: u64 = 8;
/// Scans that may go on at a time, however little their blocks weigh: each takes a thread.
const SCANS_MAX: u64 = 128;

/// Room for scans. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    bytes_max: u64,
    share_max: u64,
    turns: Turns,
    helpers: Arc<Semaphore>,
}

impl Slots {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let bytes_max = bytes_max.max(SCANS_MAX);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let share_max = bytes_max / 4 * 3;
        Self {
            bytes_max,
            share_max,
            turns: Turns::shared(bytes_max, share_max),
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
        let bytes = bytes.clamp(self.bytes_max / SCANS_MAX, self.share_max / SCANS_MIN);
        self.turns.wait(Some(tenant), bytes, bytes).await
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::task::unconstrained;

    use super::*;

    /// Takes all that a tenant may have at once, for scans of so many bytes.
    fn all(slots: &Slots, tenant: &TenantId, bytes: u64) -> Vec<Turn> {
        // So many turns at once are more than a task usually gets.
        let turn = || unconstrained(slots.acquire(tenant, bytes)).now_or_never();
        std::iter::from_fn(turn).collect()
    }

    #[test]
    fn neither_large_nor_small_scans_take_more_than_their_part_and_some_is_left_to_others() {
        let slots = Slots::new(8 * 1024);
        let [a, b] = ["a", "b"].map(|name| TenantId::parse(name).expect("valid"));
        for (bytes, of_one) in [(u64::MAX, SCANS_MIN), (0, SCANS_MAX / 4 * 3)] {
            let of_a = all(&slots, &a, bytes);
            assert_eq!(of_a.len() as u64, of_one);
            assert_eq!(all(&slots, &b, 0).len() as u64, SCANS_MAX / 4);
        }
    }
}
