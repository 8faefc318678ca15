//! When a query is given up.

use std::time::{Duration, Instant};

use cairn_chassis::Clock;

use crate::error::Error;

/// The end of one request's time. Passed on to everyone the request asks.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    clock: Clock,
    end: Instant,
    limit: Duration,
}

impl Deadline {
    pub(crate) fn after(clock: &Clock, limit: Duration) -> Self {
        Self {
            clock: clock.clone(),
            end: clock.instant() + limit,
            limit,
        }
    }

    pub(crate) fn left(&self) -> Duration {
        self.end.saturating_duration_since(self.clock.instant())
    }

    /// This or an earlier one.
    pub(crate) fn within(&self, limit: Duration) -> Self {
        Self {
            end: self.end.min(self.clock.instant() + limit),
            ..self.clone()
        }
    }

    /// So many tenths of what is left: what a part of the work may take, so that there is time to
    /// make an answer of the others.
    pub(crate) fn tenths(&self, tenths: u32) -> Duration {
        self.left() / 10 * tenths
    }

    /// Drops the work, and with it all its calls, when time is up.
    pub(crate) async fn bound<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        // A large future is in here once.
        let result = self.cut(std::pin::pin!(work)).await;
        result.unwrap_or_else(|| Err(Error::Timeout(self.limit)))
    }

    /// None if the work is not done in time.
    pub(crate) async fn cut<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            result = work => Some(result),
            () = self.clock.sleep(self.left()) => None,
        }
    }
}
