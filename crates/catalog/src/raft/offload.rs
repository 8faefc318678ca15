//! Where blocking work runs: beside the runtime, or in it when everything has to stay on one
//! thread.

use crate::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offload {
    Threads,
    /// In place: simulations run everything in one thread.
    Inline,
}

impl Offload {
    pub(crate) async fn run<R: Send + 'static>(
        self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Error> {
        match self {
            Self::Inline => Ok(work()),
            Self::Threads => tokio::task::spawn_blocking(work)
                .await
                .map_err(|error| Error::Unavailable(format!("work was cut short: {error}"))),
        }
    }
}
