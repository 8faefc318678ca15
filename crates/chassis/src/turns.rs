//! Who may go on where there is not room for everybody, and whose turn is next.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng 1996): tenants that ask at the same time get the
//! same share, however much each asks for. What a turn costs is known before it, or when it ends.
//! Of one tenant, who came first goes first.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cairn_model::TenantId;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Room that is shared fairly. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Turns {
    room: u64,
    /// What a tenant may have of it.
    share_max: u64,
    /// Beyond `room`, for tenants that have none of it.
    spare: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    taken: u64,
    /// The start tag of what was let in last.
    now: u64,
    /// Those that have room or wait for it, or that had more than their share lately. What no
    /// tenant asks for is one of them.
    tenants: BTreeMap<Option<TenantId>, Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// The start tag of what comes next.
    start: u64,
    /// The room that it has.
    taken: u64,
    waiting: VecDeque<Asked>,
}

#[derive(Debug)]
struct Asked {
    room: u64,
    cost: u64,
    sender: oneshot::Sender<Turn>,
}

/// A place in the queue, given up when dropped. Room may be given to it that nobody else gets until
/// it is polled or dropped.
#[derive(Debug)]
#[must_use]
pub struct Waiting {
    turns: Turns,
    /// None once it was its turn.
    receiver: Option<oneshot::Receiver<Turn>>,
}

/// Room, given back when dropped.
#[derive(Debug)]
pub struct Turn {
    tenant: Option<TenantId>,
    room: u64,
    /// The start tag with which it was let in.
    start: u64,
    /// None once it is given back.
    of: Option<Turns>,
}

impl Turns {
    pub fn new(room: u64) -> Self {
        Self::shared(room, room)
    }

    /// Room of which one tenant has at most so much: others find some at once, however long it is
    /// kept.
    pub fn shared(room: u64, share_max: u64) -> Self {
        Self::of(room, share_max, 0)
    }

    /// Room, and as much beyond it as `spare` says for tenants that have nothing while others hold
    /// all of it: for what can be divided, as the time of cores can, so that nobody waits for the
    /// end of a long piece of somebody else's work.
    pub fn with_spare(room: u64, spare: u64) -> Self {
        Self::of(room, room, spare)
    }

    fn of(room: u64, share_max: u64, spare: u64) -> Self {
        Self {
            room,
            share_max,
            spare,
            state: Arc::new(Mutex::new(State {
                taken: 0,
                now: 0,
                tenants: BTreeMap::new(),
            })),
        }
    }

    /// Asks for `room`, at most all that a tenant may have, which counts as `cost` of the tenant's share.
    pub fn wait(&self, tenant: Option<&TenantId>, room: u64, cost: u64) -> Waiting {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        let now = state.now;
        let queue = state.tenants.entry(tenant.cloned()).or_default();
        queue.start = queue.start.max(now);
        let room = room.min(self.share_max);
        queue.waiting.push_back(Asked { room, cost, sender });
        state.admit(self);
        drop(state);
        Waiting {
            turns: self.clone(),
            receiver: Some(receiver),
        }
    }

    /// How many of a tenant wait.
    pub fn waiting(&self, tenant: Option<&TenantId>) -> usize {
        let state = self.state.lock();
        let queue = state.tenants.get(&tenant.cloned());
        let is_here = |asked: &&Asked| !asked.sender.is_closed();
        queue.map_or(0, |queue| queue.waiting.iter().filter(is_here).count())
    }

    pub fn room(&self) -> u64 {
        self.room
    }

    /// What nobody has.
    pub fn free(&self) -> u64 {
        self.room.saturating_sub(self.state.lock().taken)
    }
}

impl Future for Waiting {
    type Output = Turn;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn> {
        let Some(receiver) = &mut self.receiver else {
            return Poll::Pending;
        };
        match std::task::ready!(Pin::new(receiver).poll(cx)) {
            Ok(turn) => {
                self.receiver = None;
                Poll::Ready(turn)
            }
            // Only what was told that nobody waits is dropped unsent.
            Err(_) => Poll::Pending,
        }
    }
}

impl Drop for Waiting {
    /// There may be room for whoever is next.
    fn drop(&mut self) {
        if let Some(receiver) = self.receiver.take() {
            drop(receiver);
            self.turns.state.lock().admit(&self.turns);
        }
    }
}

impl Turn {
    /// Counts more as the tenant's share than was said before.
    pub fn charge(&self, cost: u64) {
        let Some(turns) = &self.of else { return };
        let mut state = turns.state.lock();
        let queue = state.tenants.entry(self.tenant.clone()).or_default();
        queue.start = queue.start.max(self.start).saturating_add(cost);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.of.take() {
            let mut state = turns.state.lock();
            state.taken -= self.room;
            if let Some(queue) = state.tenants.get_mut(&self.tenant) {
                queue.taken -= self.room;
            }
            state.admit(&turns);
        }
    }
}

impl Queue {
    /// None if nobody waits in it any more.
    fn with_somebody(&mut self) -> Option<&mut Self> {
        let is_gone = |asked: &mut Asked| asked.sender.is_closed();
        while self.waiting.pop_front_if(is_gone).is_some() {}
        (!self.waiting.is_empty()).then_some(self)
    }

    /// Whether its next would not be more than its share.
    fn may(&self, share_max: u64) -> bool {
        let next = self.waiting.front();
        next.is_some_and(|next| self.taken + next.room <= share_max)
    }
}

impl State {
    /// Lets in who is next, as long as there is room.
    fn admit(&mut self, turns: &Turns) {
        while let Some((tenant, Asked { room, cost, sender })) = self.next(turns) {
            let queue = self.tenants.entry(tenant.clone()).or_default();
            let turn = Turn {
                tenant,
                room,
                start: queue.start,
                of: Some(turns.clone()),
            };
            match sender.send(turn) {
                Ok(()) => {
                    self.taken += room;
                    self.now = queue.start;
                    queue.taken += room;
                    queue.start = queue.start.saturating_add(cost);
                }
                // Nobody waits for it any more.
                Err(mut turn) => turn.of = None,
            }
        }
        let (now, is_idle) = (self.now, self.taken == 0);
        // Who had much while nobody else wanted any owes nothing.
        self.tenants.retain(|_, queue| {
            !queue.waiting.is_empty() || queue.taken > 0 || (!is_idle && queue.start > now)
        });
    }

    /// Takes out of the queues who is to be let in.
    fn next(&mut self, turns: &Turns) -> Option<(Option<TenantId>, Asked)> {
        // Whoever is next waits for enough room, so that small ones do not starve large ones.
        let room = turns.room.saturating_sub(self.taken);
        let all = (turns.room + turns.spare).saturating_sub(self.taken);
        self.first(room, |queue| queue.may(turns.share_max))
            .or_else(|| self.first(all, |queue| queue.taken == 0))
    }

    /// The first of the queues that `may` go on, if there is room for it.
    fn first(
        &mut self,
        room: u64,
        may: impl Fn(&Queue) -> bool,
    ) -> Option<(Option<TenantId>, Asked)> {
        let waiting = self.tenants.iter_mut();
        let waiting = waiting.filter_map(|(of, queue)| Some((of, queue.with_somebody()?)));
        let allowed = waiting.filter(|(_, queue)| may(queue));
        let (tenant, queue) = allowed.min_by_key(|(_, queue)| queue.start)?;
        let asked = queue.waiting.pop_front_if(|asked| asked.room <= room)?;
        Some((tenant.clone(), asked))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::stream::{FuturesUnordered, StreamExt};

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).expect("valid")
    }

    const ROOM: u64 = 8;

    /// Takes all the room there is, in pieces.
    fn fill(turns: &Turns) -> Vec<Turn> {
        let all = (0..ROOM).map(|_| turns.wait(None, 1, 0).now_or_never());
        all.collect::<Option<_>>().expect("room")
    }

    /// Who is let in, one after the other, when each ends before the next begins and costs what is
    /// said before, or as it ends.
    async fn order(asked: &[(&str, u64)], is_known: bool) -> String {
        let turns = Turns::new(ROOM);
        let mut full = fill(&turns);
        let all = asked.iter().map(|(name, cost)| {
            let before = if is_known { *cost } else { 0 };
            let waiting = turns.wait(Some(&tenant(name)), 1, before);
            async move { (name.to_string(), *cost, waiting.await) }
        });
        let mut all: FuturesUnordered<_> = all.collect();
        assert!(all.next().now_or_never().is_none());
        full.pop();
        let mut order = String::new();
        while let Some((name, cost, turn)) = all.next().await {
            order += &name;
            if !is_known {
                turn.charge(cost);
            }
        }
        drop(full);
        assert_eq!(turns.free(), ROOM, "all came back");
        order
    }

    #[tokio::test]
    async fn tenants_take_turns_by_cost_however_much_each_asks() {
        for is_known in [true, false] {
            let many = ["a", "a", "a", "b", "b"].map(|name| (name, 1024));
            assert_eq!(order(&many, is_known).await, "ababa", "{is_known}");
            let uneven = [("a", 1024), ("a", 1024), ("b", 512), ("b", 512), ("b", 512)];
            let order = order(&uneven, is_known).await;
            assert!(order.starts_with("abb"), "{order} {is_known}");
        }
    }

    #[tokio::test]
    async fn who_was_alone_owes_nothing_when_others_come_later() {
        let turns = Turns::new(1);
        let (a, b) = (tenant("a"), tenant("b"));
        let first = turns.wait(Some(&a), 1, 0).await;
        first.charge(1_000_000);
        drop(first);
        let busy = turns.wait(Some(&b), 1, 0).await;
        let a = turns.wait(Some(&a), 1, 0);
        let b = turns.wait(Some(&b), 1, 0);
        busy.charge(1);
        drop(busy);
        assert!(a.now_or_never().is_some());
        drop(b);
    }

    #[tokio::test]
    async fn one_tenant_leaves_some_to_others() {
        let turns = Turns::shared(4, 3);
        let (a, b) = (tenant("a"), tenant("b"));
        let mut large = turns.wait(Some(&a), 4, 1);
        let of_a = (&mut large).now_or_never().expect("as much as it may have");
        let mut more_of_a = turns.wait(Some(&a), 1, 1);
        assert!((&mut more_of_a).now_or_never().is_none());
        let of_b = turns.wait(Some(&b), 1, 1).now_or_never();
        let of_b = of_b.expect("what it left, though it came later");
        let mut more_of_b = turns.wait(Some(&b), 1, 1);
        assert!((&mut more_of_b).now_or_never().is_none());
        drop(of_a);
        let all = (more_of_a.now_or_never(), more_of_b.now_or_never());
        assert!(matches!(all, (Some(_), Some(_))));
        drop((of_b, all));
        assert_eq!(turns.free(), 4);
    }

    #[tokio::test]
    async fn who_has_nothing_gets_some_of_what_is_spare_at_once() {
        let turns = Turns::with_spare(2, 2);
        let [a, b, c, d] = ["a", "b", "c", "d"].map(tenant);
        let wait = |tenant| turns.wait(Some(tenant), 1, 1);
        let of_a = [wait(&a), wait(&a)].map(|turn| turn.now_or_never().expect("room"));
        let mut more_of_a = wait(&a);
        let mut more_of_b = [wait(&b), wait(&b)];
        let of_c = wait(&c).now_or_never();
        let mut of_d = wait(&d);
        assert!((&mut more_of_a).now_or_never().is_none());
        let of_b = (&mut more_of_b[0]).now_or_never().expect("it had nothing");
        assert!((&mut more_of_b[1]).now_or_never().is_none(), "it has some");
        let of_c = of_c.expect("it had nothing");
        assert!((&mut of_d).now_or_never().is_none(), "no more is spare");
        drop(of_b);
        let of_d = of_d.now_or_never().expect("that came back");
        drop((of_a, of_c, of_d));
        assert!(more_of_a.now_or_never().is_some());
        drop(more_of_b);
        assert_eq!(turns.free(), 2);
    }

    #[tokio::test]
    async fn who_gives_up_takes_no_room_and_holds_nobody_up() {
        let turns = Turns::new(ROOM);
        let (a, b) = (tenant("a"), tenant("b"));
        let mut full = fill(&turns);
        drop(turns.wait(Some(&a), 1, 1));
        assert_eq!(turns.waiting(Some(&a)), 0);
        let mut large = turns.wait(Some(&a), u64::MAX, 1);
        let mut small = turns.wait(Some(&b), 1, 1);
        full.pop();
        assert!((&mut large).now_or_never().is_none());
        assert!((&mut small).now_or_never().is_none(), "it is not its turn");
        drop(full);
        let large = large.now_or_never().expect("there is all the room");
        assert!((&mut small).now_or_never().is_none());
        drop(large);
        drop(small.now_or_never().expect("there is room"));
        assert_eq!(turns.free(), ROOM);

        let busy = turns.wait(None, ROOM - 1, 0).await;
        let large = turns.wait(Some(&a), ROOM, 0);
        let mut small = turns.wait(Some(&a), 1, 0);
        assert_eq!(turns.waiting(Some(&a)), 2);
        assert!((&mut small).now_or_never().is_none());
        drop(large);
        assert!(
            (&mut small).now_or_never().is_some(),
            "though nothing came back"
        );
        drop(busy);
    }
}
