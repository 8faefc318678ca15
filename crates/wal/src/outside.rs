//! What a log takes from the process it runs in, so that simulations own time and chance.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;

/// Time and chance. Cheap to clone.
#[derive(Clone)]
pub struct Outside {
    /// The monotonic clock.
    pub instant: Arc<dyn Fn() -> Instant + Send + Sync>,
    pub sleep: Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>,
    /// Numbers that nobody else draws.
    pub random: Arc<dyn Fn() -> u128 + Send + Sync>,
}

impl Outside {
    pub(crate) fn instant(&self) -> Instant {
        (self.instant)()
    }

    pub(crate) fn random(&self) -> u128 {
        (self.random)()
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        (self.sleep)(duration).await;
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outside")
    }
}

/// Growing pauses between attempts, with chance in them so that those who failed together do not
/// come back together.
#[derive(Debug)]
pub(crate) struct Backoff<'a> {
    outside: &'a Outside,
    next: Duration,
}

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

impl<'a> Backoff<'a> {
    pub(crate) fn new(outside: &'a Outside) -> Self {
        Self {
            outside,
            next: PAUSE_MIN,
        }
    }

    /// Half to all of the present length.
    pub(crate) async fn pause(&mut self) {
        let whole = self.next;
        self.next = (whole * 2).min(PAUSE_MAX);
        let part = (self.outside.random() % 512) as u32;
        self.outside.sleep(whole * (512 + part) / 1024).await;
    }
}
