//! Work that would hold up the network: decoding, merging, symbolizing. As much at a time as there
//! are cores; the rest waits for its turn, and tenants get the same share of the time. Tenants whose
//! work has no core while others have all begin at once, a few of them: the system divides cores in
//! smaller pieces than work can be. Work that waits in between, for a store, leaves its core to
//! others meanwhile.
#![expect(
    clippy::disallowed_methods,
    reason = "the task that waits belongs to whoever waits for it, and ends with them"
)]

use std::time::Instant;

use cairn_model::TenantId;
use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::Clock;
use crate::turns::{Turn, Turns, Waiting};

#[derive(Clone, Debug)]
pub(crate) struct Compute {
    /// Nobody waits for a core of a simulation: it has one thread, and work takes no time in it.
    cores: Option<Turns>,
    clock: Clock,
}

/// A core that somebody has. Their share is the time that they have it.
#[derive(Debug)]
struct Core {
    turn: Turn,
    clock: Clock,
    since: Instant,
}

/// Nanoseconds that every turn counts as, so that of those who come at once none is forgotten.
const AT_LEAST: u64 = 100_000;

impl Compute {
    pub(crate) fn new(clock: Clock) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cores: Some(Turns::with_spare(cores as u64, cores as u64)),
            clock,
        }
    }

    /// Where the caller is.
    pub(crate) fn inline(clock: Clock) -> Self {
        Self { cores: None, clock }
    }

    /// How many cores nobody has.
    pub(crate) fn free(&self) -> usize {
        let free = self.cores.as_ref().map_or(0, Turns::free);
        usize::try_from(free).unwrap_or(usize::MAX)
    }

    pub(crate) async fn run<R: Send + 'static>(
        &self,
        tenant: Option<&TenantId>,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> R {
        let Some(cores) = &self.cores else {
            return work();
        };
        let (clock, waiting) = (self.clock.clone(), cores.wait(tenant, 1, AT_LEAST));
        let span = tracing::Span::current();
        // In a task of its own: a place in the queue that nobody polls, as in a stream of buffered
        // futures, would keep everybody behind it waiting. The turn moves into the work, so that
        // giving up on the answer does not let more in while the old one still burns a core.
        let queued = async move {
            let turn = waiting.await;
            let done = tokio::task::spawn_blocking(move || {
                let _core = Core::of(turn, clock);
                span.in_scope(work)
            });
            match done.await {
                Ok(result) => result,
                Err(error) => ended(error).await,
            }
        };
        match AbortOnDropHandle::new(tokio::spawn(queued)).await {
            Ok(result) => result,
            Err(error) => ended(error).await,
        }
    }

    pub(crate) async fn run_async<F>(
        &self,
        tenant: Option<&TenantId>,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send,
    {
        let Some(cores) = self.cores.clone() else {
            return work().await;
        };
        let (runtime, clock, tenant) = (Handle::current(), self.clock.clone(), tenant.cloned());
        let span = tracing::Span::current();
        // A thread can't be stopped from outside: the work is told, and ends where it waits next.
        let given_up = CancellationToken::new();
        let _telling = given_up.clone().drop_guard();
        let done = tokio::task::spawn_blocking(move || {
            let _entered = span.entered();
            let wait = || cores.wait(tenant.as_ref(), 1, AT_LEAST);
            let work = on_a_core(wait, clock, work());
            runtime.block_on(given_up.run_until_cancelled_owned(work))
        });
        match done.await {
            Ok(Some(result)) => result,
            Ok(None) => std::future::pending().await,
            Err(error) => ended(error).await,
        }
    }
}

/// Panics as the work did; if it was not done since the process ends, so does whoever waits.
async fn ended<R>(error: JoinError) -> R {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => std::future::pending().await,
    }
}

impl Core {
    fn of(turn: Turn, clock: Clock) -> Self {
        let since = clock.instant();
        Self { turn, clock, since }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let had = self.clock.instant() - self.since;
        let nanos = u64::try_from(had.as_nanos()).unwrap_or(u64::MAX);
        self.turn.charge(nanos.saturating_sub(AT_LEAST));
    }
}

/// Goes on only while it has a core, and gives that back wherever it waits.
async fn on_a_core<F: Future>(wait: impl Fn() -> Waiting, clock: Clock, work: F) -> F::Output {
    let mut waiting = None;
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| {
        let turn = waiting.get_or_insert_with(&wait).poll_unpin(cx);
        let _core = Core::of(std::task::ready!(turn), clock.clone());
        waiting = None;
        work.as_mut().poll(cx)
    })
    .await
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn cores(compute: &Compute) -> &Turns {
        compute.cores.as_ref().expect("not a simulation")
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).expect("valid")
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_holds_nobody_up() {
        let compute = Compute::new(Clock::real());
        let cores = cores(&compute).free() as usize;
        let jobs = (0..cores * 4).map(|job| compute.run(None, move || job));
        let mut first = futures::stream::iter(jobs).buffer_unordered(cores * 4);
        assert!(first.next().await.is_some());
        // The rest of the stream is not polled from here on.
        for _ in 0..cores * 8 {
            compute.run(None, || ()).await;
        }
        assert_eq!(first.by_ref().count().await, cores * 4 - 1);
    }

    #[tokio::test]
    async fn work_that_was_given_up_before_its_turn_is_not_done() {
        let compute = Compute::new(Clock::real());
        let busy = cores(&compute).wait(None, u64::MAX, 0).await;
        let (done, mut seen) = tokio::sync::mpsc::channel::<()>(1);
        let work = compute.run(None, move || done.blocking_send(()));
        assert!(work.now_or_never().is_none());
        drop(busy);
        assert_eq!(seen.recv().await, None);
    }

    #[tokio::test]
    async fn work_that_waits_leaves_its_core_to_others_and_ends_when_it_is_given_up() {
        let compute = Compute::new(Clock::real());
        let cores = cores(&compute).free() as usize;
        let (started, mut seen) = tokio::sync::mpsc::channel::<()>(1);
        let waiting = (0..cores * 4).map(|_| {
            let started = started.clone();
            compute.run_async(None, move || async move {
                started.send(()).await.expect("somebody counts");
                std::future::pending::<()>().await;
                // The end of `started` tells that this is over.
                drop(started);
            })
        });
        let mut waiting: futures::stream::FuturesUnordered<_> = waiting.collect();
        assert!(waiting.next().now_or_never().is_none());
        for _ in 0..cores * 4 {
            seen.recv().await.expect("all of them wait at a time");
        }
        assert_eq!(compute.run(None, || 7).await, 7, "with no core taken");
        drop((waiting, started));
        assert_eq!(seen.recv().await, None);
    }

    #[tokio::test]
    async fn much_work_of_one_tenant_is_done_in_turns_with_that_of_another() {
        let all = 2;
        let compute = Compute {
            cores: Some(Turns::new(all)),
            clock: Clock::real(),
        };
        let busy = cores(&compute).wait(None, u64::MAX, 0).await;
        let (done, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let (many, one) = (tenant("a"), tenant("b"));
        let work = |name: &'static str| {
            let done = done.clone();
            move || async move {
                // Whoever waits gives others their turn.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                done.send(name).expect("somebody counts");
            }
        };
        let long = (0..all * 8).map(|_| compute.run_async(Some(&many), work("many")));
        let mut long: futures::stream::FuturesUnordered<_> = long.collect();
        assert!(long.next().now_or_never().is_none());
        let short = compute.run_async(Some(&one), work("one"));
        let mut short = std::pin::pin!(short);
        assert!((&mut short).now_or_never().is_none());
        let waiting = |of| cores(&compute).waiting(Some(of));
        while waiting(&many) + waiting(&one) < all as usize * 8 + 1 {
            tokio::task::yield_now().await;
        }
        drop(busy);
        futures::join!(short, long.count());
        drop(done);
        let mut order = Vec::new();
        while let Some(name) = seen.recv().await {
            order.push(name);
        }
        let place = order.iter().position(|name| *name == "one");
        assert!(
            place.is_some_and(|place| place <= all as usize),
            "{order:?}"
        );
    }
}
