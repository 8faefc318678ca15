//! Work that would hold up the network: decoding, merging, symbolizing. About as much at a time as
//! there are cores; the rest waits for its turn, and tenants get the same share of the time. Tenants
//! whose work has no core while others have all begin at once, a few of them: the system divides
//! cores in smaller pieces than work can be. Work that waits in between, for a store, leaves its
//! core to others meanwhile, and has no thread. Long work steps back behind short work as soon as
//! that comes.

mod background;
mod cores;
mod slices;
mod standings;

use std::sync::Arc;

use cairn_model::TenantId;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use self::cores::{Account, Cores, Kind};
use crate::Clock;

#[derive(Clone, Debug)]
pub(crate) struct Compute {
    /// Nobody waits for a core of a simulation: it has one thread, and work takes no time in it.
    cores: Option<Arc<Cores>>,
}

/// What one request of a tenant computes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Job {
    tenant: TenantId,
    account: Option<Arc<Account>>,
}

impl Compute {
    pub(crate) fn new(clock: Clock) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cores: Some(Arc::new(Cores::new(cores, clock))),
        }
    }

    /// Where the caller is.
    pub(crate) fn inline() -> Self {
        Self { cores: None }
    }

    pub(crate) fn job(&self, tenant: &TenantId) -> Job {
        Job {
            tenant: tenant.clone(),
            account: self.account(Some(tenant)),
        }
    }

    /// Of no tenant.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> R {
        run(self.account(None), Kind::Whole, async move { work() }).await
    }

    fn account(&self, tenant: Option<&TenantId>) -> Option<Arc<Account>> {
        let cores = self.cores.as_ref()?;
        Some(Arc::new(Account::of(cores, tenant)))
    }
}

impl Job {
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// CPU work of more than about half a millisecond, off the network threads: whoever else wants
    /// a core has theirs in turn. A panic in it continues in the caller.
    pub async fn compute<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        run(self.account.clone(), Kind::Whole, async move { work() }).await
    }

    /// The same for work that waits for something in between, such as reads from the store.
    pub fn compute_async<F>(&self, work: F) -> impl Future<Output = F::Output> + Send + use<F>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        run(self.account.clone(), Kind::Sliced, work)
    }

    /// How many cores there are that it would not wait for.
    pub fn free_cores(&self) -> usize {
        self.account.as_ref().map_or(0, |account| account.free())
    }
}

fn run<F>(
    account: Option<Arc<Account>>,
    kind: Kind,
    work: F,
) -> impl Future<Output = F::Output> + Send + use<F>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let work = Box::pin(work.in_current_span());
    async move {
        let Some(account) = account else {
            return work.await;
        };
        // In a task of its own: a place in the queue that nobody polls, as in a stream of buffered
        // futures, would keep everybody behind it waiting.
        let network = account.network().clone();
        let task = network.spawn(slices::run(account, kind, work));
        match AbortOnDropHandle::new(task).await {
            Ok(result) => result,
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

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;

    impl Compute {
        fn waiting(&self, tenant: Option<&TenantId>) -> usize {
            self.cores.as_ref().expect("no simulation").waiting(tenant)
        }
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).expect("valid")
    }

    fn cores() -> usize {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_holds_nobody_up() {
        let (compute, cores) = (Compute::new(Clock::real()), cores());
        let jobs = (0..cores * 4).map(|job| compute.run(move || job));
        let mut first = futures::stream::iter(jobs).buffer_unordered(cores * 4);
        assert!(first.next().await.is_some());
        // The rest of the stream is not polled from here on.
        for _ in 0..cores * 8 {
            compute.run(|| ()).await;
        }
        assert_eq!(first.by_ref().count().await, cores * 4 - 1);
    }

    #[tokio::test]
    async fn work_that_was_given_up_before_its_turn_is_not_done() {
        let cores = Arc::new(Cores::new(2, Clock::real()));
        let busy = cores.all().await;
        let compute = Compute { cores: Some(cores) };
        let (done, mut seen) = tokio::sync::mpsc::channel::<()>(1);
        let mut work = Box::pin(compute.run(move || done.blocking_send(())));
        assert!((&mut work).now_or_never().is_none());
        while compute.waiting(None) == 0 {
            tokio::task::yield_now().await;
        }
        drop(work);
        drop(busy);
        assert_eq!(seen.recv().await, None);
        compute.run(|| ()).await;
    }

    #[tokio::test]
    async fn work_that_waits_for_nothing_ends_soon_after_it_is_given_up() {
        let job = Compute::new(Clock::real()).job(&tenant("a"));
        let (told, mut seen) = tokio::sync::mpsc::channel(1);
        let mut work = Box::pin(job.compute_async(async move {
            told.send(()).await.expect("somebody looks");
            loop {
                tokio::task::yield_now().await;
            }
        }));
        assert!((&mut work).now_or_never().is_none());
        assert_eq!(seen.recv().await, Some(()), "it goes on");
        drop(work);
        assert_eq!(seen.recv().await, None, "it is over");
    }

    #[tokio::test]
    async fn work_that_waits_leaves_its_core_to_others_and_ends_when_it_is_given_up() {
        let (compute, cores) = (Compute::new(Clock::real()), cores());
        let job = compute.job(&tenant("a"));
        let (started, mut seen) = tokio::sync::mpsc::channel::<()>(1);
        let waiting = (0..cores * 4).map(|_| {
            let started = started.clone();
            job.compute_async(async move {
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
        assert_eq!(job.compute(|| 7).await, 7, "with no core taken");
        drop((waiting, started));
        assert_eq!(seen.recv().await, None);
    }

    #[tokio::test]
    async fn work_goes_on_when_it_is_woken_while_it_is_polled_or_later() {
        let job = Compute::new(Clock::real()).job(&tenant("a"));
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (waits, mut seen) = tokio::sync::mpsc::channel(1);
        let work = job.compute_async(async move {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            waits.send(()).await.expect("somebody looks");
            let runtime = tokio::runtime::Handle::try_current().is_ok();
            (receiver.await.expect("it is sent"), runtime)
        });
        let told = async {
            seen.recv().await.expect("it comes so far");
            sender.send(7).expect("it waits");
        };
        let (seen, ()) = futures::join!(work, told);
        assert_eq!(seen, (7, true));
    }

    #[tokio::test]
    async fn much_work_of_one_tenant_is_done_in_turns_with_that_of_another() {
        const MANY: usize = 16;
        let cores = Arc::new(Cores::new(2, Clock::real()));
        let compute = Compute { cores: Some(cores) };
        let (done, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let work = |name: &'static str| {
            let done = done.clone();
            compute.job(&tenant(name)).compute_async(async move {
                // Whoever waits gives others their turn.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                done.send(name).expect("somebody counts");
            })
        };
        let many: futures::stream::FuturesUnordered<_> = (0..MANY).map(|_| work("many")).collect();
        let mut many = many.enumerate();
        assert!(many.next().now_or_never().is_none());
        futures::join!(work("one"), many.count());
        drop(done);
        let mut order = Vec::new();
        while let Some(name) = seen.recv().await {
            order.push(name);
        }
        let place = order.iter().position(|name| *name == "one");
        assert!(place.is_some_and(|place| place < MANY / 2), "{order:?}");
    }

    /// Threads inherit their policy from those that start them.
    #[cfg(target_os = "linux")]
    #[tokio::test(flavor = "multi_thread")]
    async fn threads_in_front_are_never_those_that_work_in_the_background_began() {
        const AT_ONCE: usize = 8;
        // However long all this takes.
        let clock = crate::FakeClock::at(0).clock();
        let cores = Arc::new(Cores::new(2, clock));
        let compute = Compute { cores: Some(cores) };
        let (long, short) = (compute.job(&tenant("long")), compute.job(&tenant("short")));
        // On as many threads.
        let policies = || {
            let all = Arc::new(std::sync::Barrier::new(AT_ONCE));
            let policy = move |_| {
                let all = Arc::clone(&all);
                tokio::task::spawn_blocking(move || {
                    all.wait();
                    cores::tests::policy()
                })
            };
            futures::future::join_all((0..AT_ONCE).map(policy))
        };
        let account = long.account.as_ref().expect("no simulation");
        account.had(std::time::Duration::from_secs(1));
        short.compute(|| ()).await;
        let begun = long.compute_async(async move {
            let policy = cores::tests::policy();
            policies().await;
            policy
        });
        assert_eq!(begun.await, cores::tests::SCHED_IDLE);
        for policy in policies().await {
            assert_eq!(policy.expect("it is told"), cores::tests::SCHED_OTHER);
        }
    }

    #[test]
    fn what_waits_holds_no_thread() {
        let threads = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build();
        threads.expect("a runtime").block_on(async {
            let job = Compute::new(Clock::real()).job(&tenant("a"));
            let (sender, _) = tokio::sync::broadcast::channel::<usize>(1);
            let waiting = (0..8).map(|_| {
                let mut receiver = sender.subscribe();
                job.compute_async(async move { receiver.recv().await })
            });
            let mut waiting: futures::stream::FuturesUnordered<_> = waiting.collect();
            assert!(waiting.next().now_or_never().is_none());
            let length = job.compute(|| 7).await;
            sender.send(length).expect("all of them wait");
            while let Some(received) = waiting.next().await {
                assert_eq!(received, Ok(7));
            }
        });
    }

    #[tokio::test]
    #[should_panic(expected = "of the work")]
    async fn a_panic_continues_in_whoever_waits() {
        let job = Compute::new(Clock::real()).job(&tenant("a"));
        job.compute_async(async {
            tokio::task::yield_now().await;
            panic!("of the work");
        })
        .await
    }
}
