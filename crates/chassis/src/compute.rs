//! Work that would hold up the network: decoding, merging, symbolizing. As many at a time as
//! there are cores; the rest waits in order of arrival.

use std::sync::Arc;

use tokio::sync::Semaphore;

#[derive(Clone, Debug)]
pub(crate) struct Compute {
    cores: Arc<Semaphore>,
}

impl Compute {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cores: Arc::new(Semaphore::new(cores)),
        }
    }

    /// The permit moves into the work, so that giving up on the answer does not let more work in
    /// while the old one still burns a core.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> R {
        let permit = Arc::clone(&self.cores)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            span.in_scope(work)
        });
        match done.await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
