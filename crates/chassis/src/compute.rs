//! Work that would hold up the network: decoding, merging, symbolizing. As many at a time as
//! there are cores; the rest waits in order of arrival. Work that waits in between, for a store,
//! leaves its core to others meanwhile.
#![expect(
    clippy::disallowed_methods,
    reason = "the task that waits belongs to whoever waits for it, and ends with them"
)]

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, PollSemaphore};
use tokio_util::task::AbortOnDropHandle;

#[derive(Clone, Debug)]
pub(crate) struct Compute {
    /// Nobody waits for a core of a simulation: it has one thread, and work takes no time in it.
    cores: Option<Arc<Semaphore>>,
}

impl Compute {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cores: Some(Arc::new(Semaphore::new(cores))),
        }
    }

    /// Where the caller is.
    pub(crate) fn inline() -> Self {
        Self { cores: None }
    }

    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> R {
        match &self.cores {
            Some(cores) => queue(Arc::clone(cores), work).await,
            None => work(),
        }
    }

    pub(crate) async fn run_async<F>(&self, work: impl FnOnce() -> F + Send + 'static) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send,
    {
        let Some(cores) = &self.cores else {
            return work().await;
        };
        let (runtime, cores) = (Handle::current(), Arc::clone(cores));
        let span = tracing::Span::current();
        // A thread can't be stopped from outside: the work is told, and ends where it waits next.
        let given_up = CancellationToken::new();
        let _telling = given_up.clone().drop_guard();
        let done = tokio::task::spawn_blocking(move || {
            let _entered = span.entered();
            let work = on_a_core(cores, work());
            runtime.block_on(given_up.run_until_cancelled_owned(work))
        });
        match done.await {
            Ok(Some(result)) => result,
            Ok(None) => std::future::pending().await,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// Goes on only while it has a core, and gives that back wherever it waits.
async fn on_a_core<F: Future>(cores: Arc<Semaphore>, work: F) -> F::Output {
    let mut cores = PollSemaphore::new(cores);
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| {
        let core = std::task::ready!(cores.poll_acquire(cx));
        let _core = core.expect("the semaphore is never closed");
        work.as_mut().poll(cx)
    })
    .await
}

/// Waits in a task of its own: a place in the queue that nobody polls, as in a stream of buffered
/// futures, would keep everybody behind it waiting. The permit moves into the work, so that giving
/// up on the answer does not let more in while the old one still burns a core.
async fn queue<R: Send + 'static>(
    cores: Arc<Semaphore>,
    work: impl FnOnce() -> R + Send + 'static,
) -> R {
    let span = tracing::Span::current();
    let queued = async move {
        let permit = cores.acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            span.in_scope(work)
        });
        match done.await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    };
    match AbortOnDropHandle::new(tokio::spawn(queued)).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;

    fn cores(compute: &Compute) -> Arc<Semaphore> {
        Arc::clone(compute.cores.as_ref().expect("not a simulation"))
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_holds_nobody_up() {
        let compute = Compute::new();
        let cores = cores(&compute).available_permits();
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
        let compute = Compute::new();
        let all = cores(&compute).available_permits() as u32;
        let busy = cores(&compute).acquire_many_owned(all).await;
        let (done, mut seen) = tokio::sync::mpsc::channel::<()>(1);
        let work = compute.run(move || done.blocking_send(()));
        assert!(work.now_or_never().is_none());
        drop(busy);
        assert_eq!(seen.recv().await, None);
    }

    #[tokio::test]
    async fn work_that_waits_leaves_its_core_to_others_and_ends_when_it_is_given_up() {
        let compute = Compute::new();
        let cores = cores(&compute).available_permits();
        let (started, mut seen) = tokio::sync::mpsc::channel::<()>(1);
        let waiting = (0..cores * 4).map(|_| {
            let started = started.clone();
            compute.run_async(move || async move {
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
        assert_eq!(compute.run(|| 7).await, 7, "with no core taken");
        drop((waiting, started));
        assert_eq!(seen.recv().await, None);
    }
}
