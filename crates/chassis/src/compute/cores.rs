//! Who has a core, and on which threads: those of the network, or those in the background.
//!
//! Which of them is told by what was done of it before. The system lets threads in front have a core
//! at once, whatever piece of work in the background is not done yet. At both levels tenants take
//! turns. If others, which the system does not tell from threads in front, leave nothing for the
//! background, it is not used for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_model::TenantId;
use futures::FutureExt;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;

use super::background;
use super::standings::Standings;
use crate::Clock;
use crate::turns::{Turn, Turns, Waiting};

/// What every turn counts as, so that of those who come at once none is forgotten.
const AT_LEAST: Duration = Duration::from_micros(100);
/// If nothing in the background moves for so long, the system lets nothing there go on.
const STUCK: Duration = Duration::from_secs(1);
/// Nor if a slice there took so long, of which it had a core for less than a tenth.
const STARVED: Duration = Duration::from_millis(100);
/// How long nothing begins in the background then.
const PAUSE: Duration = Duration::from_secs(10);
/// How long it is known that things go on there.
const PROVEN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Cores {
    front: Turns,
    background: Turns,
    seen: Mutex<Seen>,
    standings: Mutex<Standings>,
    clock: Clock,
    /// Threads in front.
    network: Handle,
}

/// Of the background.
#[derive(Debug)]
struct Seen {
    /// When somebody got a core, or had a slice of it, last.
    moved: Instant,
    /// Nothing begins there before, since the system did not let it go on.
    paused: Instant,
    /// Nothing whole begins there after, unless something else went on first.
    proven: Instant,
}

/// Whether there are moments in a piece of work at which others may have its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Whole,
    Sliced,
}

/// What somebody computes. What is no tenant's is always in front.
#[derive(Debug)]
pub(super) struct Account {
    job: Option<(TenantId, u64)>,
    cores: Arc<Cores>,
}

/// A core that somebody waits for or has.
#[derive(Debug)]
struct Wish(Arc<Account>);

/// A core that somebody has. Whoever gives it back takes locks, which nobody should hold who may not
/// go on.
#[derive(Debug)]
pub(super) struct Core {
    turn: Turn,
    level: Level,
    since: Instant,
    /// Not the time in which the system gave it to others. None before it was used.
    had: Option<Duration>,
    wish: Wish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Front,
    Background,
}

impl Cores {
    pub(super) fn new(cores: usize, clock: Clock) -> Self {
        let now = clock.instant();
        let room = || Turns::with_spare(cores as u64, cores as u64);
        Self {
            front: room(),
            background: room(),
            seen: Mutex::new(Seen {
                moved: now,
                paused: now,
                proven: now,
            }),
            standings: Mutex::default(),
            clock,
            network: Handle::current(),
        }
    }

    fn turns(&self, level: Level) -> &Turns {
        match level {
            Level::Front => &self.front,
            Level::Background => &self.background,
        }
    }

    fn moves(&self) {
        self.seen.lock().moved = self.clock.instant();
    }

    /// Whether to wait in the background at all. What can't be interrupted there would stay for long.
    fn is_open(&self, kind: Kind) -> bool {
        if background::threads().is_none() {
            return false;
        }
        let now = self.clock.instant();
        let seen = self.seen.lock();
        now >= seen.paused && (kind == Kind::Sliced || now < seen.proven)
    }

    /// Pauses the background if nothing moves there.
    fn look(&self) {
        let now = self.clock.instant();
        let mut seen = self.seen.lock();
        if now - seen.moved >= STUCK {
            seen.pause(now);
        }
    }

    /// Learns from a slice in the background how things go on there.
    fn took(&self, had: Duration, whole: Duration) {
        let now = self.clock.instant();
        let mut seen = self.seen.lock();
        seen.moved = now;
        if whole >= STARVED && had < whole / 10 {
            seen.pause(now);
        } else {
            seen.proven = now + PROVEN;
        }
    }
}

impl Seen {
    fn pause(&mut self, now: Instant) {
        if now >= self.paused {
            tracing::info!(
                "no core is left for long queries: for a while they run like short ones"
            );
        }
        self.paused = now + PAUSE;
    }
}

impl Account {
    pub(super) fn of(cores: &Arc<Cores>, tenant: Option<&TenantId>) -> Self {
        let begin = |tenant: &TenantId| (tenant.clone(), cores.standings.lock().begin(tenant));
        Self {
            job: tenant.map(begin),
            cores: Arc::clone(cores),
        }
    }

    /// How many cores there are that it would not wait for.
    pub(super) fn free(&self) -> usize {
        let (front, background) = (&self.cores.front, &self.cores.background);
        let free = match self.level(Kind::Sliced) {
            Level::Front => front.free(),
            Level::Background => (front.free() + background.free()).saturating_sub(front.room()),
        };
        usize::try_from(free).unwrap_or(usize::MAX)
    }

    pub(super) fn network(&self) -> &Handle {
        &self.cores.network
    }

    /// Waits for a core.
    pub(super) async fn core(self: &Arc<Self>, kind: Kind) -> Core {
        let wish = Wish::of(self);
        if self.level(kind) == Level::Background {
            let mut turn = self.wait(Level::Background);
            loop {
                tokio::select! {
                    biased;
                    turn = &mut turn => return wish.granted(turn, Level::Background),
                    () = self.cores.clock.sleep(STUCK) => {}
                }
                self.cores.look();
                if !self.cores.is_open(kind) {
                    break;
                }
            }
        }
        let turn = self.wait(Level::Front).await;
        wish.granted(turn, Level::Front)
    }

    fn wait(&self, level: Level) -> Waiting {
        let tenant = self.job.as_ref().map(|(tenant, _)| tenant);
        self.cores.turns(level).wait(tenant, 1, nanos(AT_LEAST))
    }

    /// Where to wait for a core.
    fn level(&self, kind: Kind) -> Level {
        let now = self.cores.clock.instant();
        let standings = &self.cores.standings;
        let steps_back =
            |(tenant, id): &(TenantId, u64)| standings.lock().steps_back((tenant, *id), now);
        match self.job.as_ref().is_some_and(steps_back) && self.cores.is_open(kind) {
            true => Level::Background,
            false => Level::Front,
        }
    }

    /// Changes the standing of the job.
    fn stand(&self, change: impl FnOnce(&mut Standings, (&TenantId, u64), Instant)) {
        if let Some((tenant, id)) = &self.job {
            let now = self.cores.clock.instant();
            change(&mut self.cores.standings.lock(), (tenant, *id), now);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.stand(Standings::end);
    }
}

impl Wish {
    fn of(account: &Arc<Account>) -> Self {
        account.stand(Standings::ask);
        Self(Arc::clone(account))
    }

    fn granted(self, turn: Turn, level: Level) -> Core {
        let cores = &self.0.cores;
        if level == Level::Background {
            cores.moves();
        }
        Core {
            turn,
            level,
            since: cores.clock.instant(),
            had: None,
            wish: self,
        }
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        self.0.stand(Standings::leave);
    }
}

impl Core {
    pub(super) fn threads(&self) -> &Handle {
        let network = self.wish.0.network();
        match self.level {
            Level::Front => network,
            Level::Background => background::threads().unwrap_or(network),
        }
    }

    pub(super) fn is_behind(&self) -> bool {
        self.level == Level::Background
    }

    /// Does a slice of the work, on this thread.
    pub(super) fn spend<R>(&mut self, slice: impl FnOnce() -> R) -> R {
        let before = cpu_time();
        let result = slice();
        self.had = Some(cpu_time().saturating_sub(before));
        result
    }

    /// One for the next slice on the same thread, if nobody else is to have one before.
    pub(super) fn again(self) -> Option<Self> {
        let (level, wish) = (self.level, Wish::of(&self.wish.0));
        drop(self);
        if wish.0.level(Kind::Sliced) != level {
            return None;
        }
        let turn = wish.0.wait(level).now_or_never()?;
        Some(wish.granted(turn, level))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let (account, Some(had)) = (&self.wish.0, self.had) else {
            return;
        };
        self.turn.charge(nanos(had.saturating_sub(AT_LEAST)));
        account.stand(|standings, job, _| standings.spend(job, had));
        if self.level == Level::Background {
            let whole = account.cores.clock.instant() - self.since;
            account.cores.took(had, whole);
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What this thread has had of the cores.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.try_into().unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::FakeClock;

    impl Cores {
        /// Everything in front.
        pub(in crate::compute) async fn all(&self) -> Turn {
            self.front.wait(None, u64::MAX, 0).await
        }

        pub(in crate::compute) fn waiting(&self, tenant: Option<&TenantId>) -> usize {
            self.front.waiting(tenant)
        }
    }

    impl Account {
        /// So much of the cores before.
        pub(in crate::compute) fn had(&self, time: Duration) {
            self.stand(|standings, job, now| {
                standings.ask(job, now);
                standings.spend(job, time);
                standings.leave(job, now);
            });
        }
    }

    struct Stand {
        clock: FakeClock,
        cores: Arc<Cores>,
    }

    impl Stand {
        fn new() -> Self {
            let clock = FakeClock::at(0);
            let cores = Arc::new(Cores::new(2, clock.clock()));
            Self { clock, cores }
        }

        /// What had so much of the cores before.
        fn account(&self, tenant: &str, had: Duration) -> Arc<Account> {
            let tenant = TenantId::parse(tenant).expect("valid");
            let account = Account::of(&self.cores, Some(&tenant));
            account.had(had);
            Arc::new(account)
        }
    }

    #[tokio::test]
    async fn short_work_has_a_core_at_once_however_much_long_work_has_all_of_them() {
        let stand = Stand::new();
        let long = stand.account("long", Duration::from_secs(10));
        let in_front = long.core(Kind::Sliced).await;
        assert_eq!(in_front.level, Level::Front, "nobody else is there");
        let short = stand.account("short", Duration::ZERO);
        drop(in_front);
        let mut held = Vec::new();
        while let Some(core) = long.core(Kind::Sliced).now_or_never() {
            assert_eq!(core.level, Level::Background);
            held.push(core);
        }
        assert_eq!(held.len(), 2);
        assert_eq!((short.free(), long.free()), (2, 0));
        for left in [1, 0] {
            held.push(short.core(Kind::Sliced).now_or_never().expect("at once"));
            assert_eq!(short.free(), left);
        }
        // Long work goes on where it is only as long as it does not have to step back.
        let core = held.swap_remove(0);
        let core = core.again().expect("nobody else waits");
        drop((short, held));
        stand.clock.advance(Duration::from_secs(1));
        assert!(core.again().is_none(), "it may go to the front");
    }

    #[tokio::test]
    async fn long_work_goes_to_the_front_if_nothing_moves_in_the_background() {
        let stand = Stand::new();
        let long = stand.account("long", Duration::from_secs(10));
        let short = stand.account("short", Duration::ZERO);
        let held = [long.core(Kind::Sliced).await, long.core(Kind::Sliced).await];
        let waiting = long.core(Kind::Sliced);
        let mut waiting = std::pin::pin!(waiting);
        let advance = |part: u32| {
            stand.clock.advance(STUCK / part);
            short.stand(Standings::leave);
        };
        assert!((&mut waiting).now_or_never().is_none());
        advance(2);
        // Something moves: the core comes back, and is given to whoever waits.
        let [first, second] = held;
        drop(first);
        let first = (&mut waiting).now_or_never().expect("its turn");
        assert_eq!(first.level, Level::Background);
        let again = long.core(Kind::Sliced);
        let mut again = std::pin::pin!(again);
        assert!((&mut again).now_or_never().is_none());
        advance(1);
        let core = (&mut again).now_or_never().expect("nothing moves");
        assert_eq!(core.level, Level::Front);
        drop((first, second));
        short.stand(Standings::leave);
        assert_eq!(
            long.core(Kind::Sliced).await.level,
            Level::Front,
            "nor is it tried"
        );
        stand.clock.advance(PAUSE);
        short.stand(Standings::leave);
        assert_eq!(long.core(Kind::Sliced).await.level, Level::Background);
    }

    #[tokio::test]
    async fn long_work_stays_in_front_for_a_while_if_a_slice_behind_hardly_had_a_core() {
        let stand = Stand::new();
        let long = stand.account("long", Duration::from_secs(10));
        let short = stand.account("short", Duration::ZERO);
        let slice = async |took: Duration| {
            let mut core = long.core(Kind::Sliced).await;
            core.spend(|| stand.clock.advance(took));
            short.stand(Standings::leave);
            core.level
        };
        assert_eq!(slice(STARVED / 2).await, Level::Background);
        assert_eq!(slice(STARVED).await, Level::Background);
        assert_eq!(slice(PAUSE / 2).await, Level::Front);
        assert_eq!(slice(PAUSE / 2).await, Level::Front);
        assert_eq!(slice(STARVED / 2).await, Level::Background);
    }

    pub(in crate::compute) const SCHED_OTHER: u32 = 0;
    pub(in crate::compute) const SCHED_IDLE: u32 = 5;

    /// The scheduling policy of the thread, as the kernel tells it.
    #[cfg(target_os = "linux")]
    pub(in crate::compute) fn policy() -> u32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("there");
        let (_, after) = stat.rsplit_once(')').expect("the name ends there");
        let policy = after.split_whitespace().nth(38).expect("field 41");
        policy.parse().expect("a number")
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_kernel_lets_threads_in_the_background_go_on_last() {
        let stand = Stand::new();
        let long = stand.account("long", Duration::from_secs(10));
        let run = |account: &Arc<Account>| {
            crate::compute::slices::run(
                Arc::clone(account),
                Kind::Sliced,
                Box::pin(async { policy() }),
            )
        };
        assert_eq!(run(&long).await, SCHED_OTHER);
        let short = stand.account("short", Duration::ZERO);
        assert_eq!(run(&long).await, SCHED_IDLE);
        assert_eq!(run(&short).await, SCHED_OTHER);
    }
}
