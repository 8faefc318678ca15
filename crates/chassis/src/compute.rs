//! Work that would hold up the network: decoding, merging, symbolizing. As many at a time as
//! there are cores; the rest waits in order of arrival.
#![expect(
    clippy::disallowed_methods,
    reason = "the task that waits belongs to whoever waits for it, and ends with them"
)]

use std::sync::Arc;

use tokio::sync::Semaphore;
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
        match &self.cores {
            Some(cores) => {
                let runtime = tokio::runtime::Handle::current();
                queue(Arc::clone(cores), move || runtime.block_on(work())).await
            }
            None => work().await,
        }
    }
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
}
