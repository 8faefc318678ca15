//! How much is scanned at a time, and whose turn is next.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng 1996) over bytes: tenants that ask at the same time
//! get the same share, however many questions each has waiting. Of one tenant, who came first goes
//! first.
//!
//! No scan counts as so much that few go on at a time, nor as so little that there are more than
//! threads for them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cairn_model::TenantId;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Scans that may go on at a time, whatever their blocks weigh.
const SCANS_MIN: u64 = 8;
/// Scans that may go on at a time, however little their blocks weigh: each takes a thread.
const SCANS_MAX: u64 = 128;

/// Room for scans, in bytes of blocks. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    bytes_max: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    free: u64,
    /// The start tag of what was let in last.
    now: u64,
    /// Tenants that wait, or that had more than their share lately.
    tenants: BTreeMap<TenantId, Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// The start tag of what comes next.
    start: u64,
    waiting: VecDeque<(u64, oneshot::Sender<Permit>)>,
}

/// Room for one scan, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    bytes: u64,
    /// None once it is given back.
    of: Option<Slots>,
}

impl Slots {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let bytes_max = bytes_max.max(SCANS_MAX);
        Self {
            bytes_max,
            state: Arc::new(Mutex::new(State {
                free: bytes_max,
                now: 0,
                tenants: BTreeMap::new(),
            })),
        }
    }

    /// Waits for a turn.
    pub(crate) async fn acquire(&self, tenant: &TenantId, bytes: u64) -> Permit {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.state.lock();
            let now = state.now;
            let queue = state.tenants.entry(tenant.clone()).or_default();
            queue.start = queue.start.max(now);
            let bytes = bytes.clamp(self.bytes_max / SCANS_MAX, self.bytes_max / SCANS_MIN);
            queue.waiting.push_back((bytes, sender));
            state.admit(self);
        }
        match receiver.await {
            Ok(permit) => permit,
            // Senders are dropped with the slots, which `self` keeps.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Queue {
    /// None if nobody waits in it any more.
    fn with_somebody(&mut self) -> Option<&mut Self> {
        let is_gone = |(_, sender): &mut (u64, oneshot::Sender<Permit>)| sender.is_closed();
        while self.waiting.pop_front_if(is_gone).is_some() {}
        (!self.waiting.is_empty()).then_some(self)
    }
}

impl State {
    /// Lets in who is next, as long as there is room.
    fn admit(&mut self, slots: &Slots) {
        loop {
            let waiting = self.tenants.values_mut();
            let waiting = waiting.filter_map(Queue::with_somebody);
            let Some(queue) = waiting.min_by_key(|queue| queue.start) else {
                break;
            };
            // Whoever is next waits for enough room, so that small scans do not starve large ones.
            let fits = |(bytes, _): &(u64, oneshot::Sender<Permit>)| *bytes <= self.free;
            let Some((bytes, sender)) = queue.waiting.pop_front_if(|next| fits(next)) else {
                break;
            };
            let permit = Permit {
                bytes,
                of: Some(slots.clone()),
            };
            match sender.send(permit) {
                Ok(()) => {
                    self.free -= bytes;
                    self.now = queue.start;
                    queue.start = queue.start.saturating_add(bytes);
                }
                // Nobody waits for it any more.
                Err(mut permit) => permit.of = None,
            }
        }
        let now = self.now;
        self.tenants
            .retain(|_, queue| !queue.waiting.is_empty() || queue.start > now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(slots) = self.of.take() {
            let mut state = slots.state.lock();
            state.free += self.bytes;
            state.admit(&slots);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::stream::{FuturesUnordered, StreamExt};
    use tokio::task::unconstrained;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).expect("valid")
    }

    /// Takes all the room there is.
    async fn fill(slots: &Slots) -> Vec<Permit> {
        let name = tenant("first");
        let all = (0..SCANS_MIN).map(|_| slots.acquire(&name, u64::MAX));
        futures::future::join_all(all).await
    }

    /// Who is let in, one after the other, when every scan ends before the next begins.
    async fn order(slots: &Slots, asked: &[(&str, u64)]) -> String {
        let mut full = fill(slots).await;
        let all = asked.iter().map(|(name, bytes)| async move {
            let permit = slots.acquire(&tenant(name), *bytes).await;
            (name.to_string(), permit)
        });
        let mut all: FuturesUnordered<_> = all.collect();
        assert!(all.next().now_or_never().is_none());
        full.pop();
        let mut order = String::new();
        while let Some((name, _permit)) = all.next().await {
            order += &name;
        }
        order
    }

    const ROOM: u64 = 8 * 1024;

    #[tokio::test]
    async fn tenants_take_turns_by_bytes_however_much_each_asks() {
        let slots = Slots::new(ROOM);
        let many = ["a", "a", "a", "b", "b"].map(|name| (name, 1024));
        assert_eq!(order(&slots, &many).await, "ababa");
        let uneven = [("a", 1024), ("a", 1024), ("b", 512), ("b", 512), ("b", 512)];
        let slots = Slots::new(ROOM);
        let order = order(&slots, &uneven).await;
        assert!(order.starts_with("abb"), "{order}");
        assert_eq!(slots.state.lock().free, ROOM, "all came back");
    }

    #[tokio::test]
    async fn neither_large_nor_small_scans_take_more_than_their_part() {
        let slots = Slots::new(ROOM);
        let large = fill(&slots).await;
        assert!(slots.acquire(&tenant("b"), 1).now_or_never().is_none());
        drop(large);
        let b = tenant("b");
        // So many turns at once are more than a task usually gets.
        let at_once = || unconstrained(slots.acquire(&b, 0)).now_or_never();
        let small = (0..SCANS_MAX).map(|_| at_once());
        let small: Vec<Option<Permit>> = small.collect();
        assert!(small.iter().all(Option::is_some));
        assert!(at_once().is_none());
    }

    #[tokio::test]
    async fn who_gives_up_takes_no_room_and_holds_nobody_up() {
        let slots = Slots::new(ROOM);
        let (a, b) = (tenant("a"), tenant("b"));
        let mut full = fill(&slots).await;
        let gone = slots.acquire(&a, 1024).now_or_never();
        assert!(gone.is_none());
        let mut large = Box::pin(slots.acquire(&a, 1024));
        assert!((&mut large).now_or_never().is_none());
        let mut small = Box::pin(slots.acquire(&b, 64));
        assert!((&mut small).now_or_never().is_none());
        full.pop();
        let large = large.now_or_never().expect("the one before it has gone");
        assert!((&mut small).now_or_never().is_none());
        drop(large);
        drop(small.now_or_never().expect("there is room"));
        drop(full);
        assert_eq!(slots.state.lock().free, ROOM);
    }
}
