//! The time of day and of the stopwatch: real, a test's or a simulation's. Owns no timer wheel:
//! sleeping is tokio's except for a test's clock.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// Where a service gets the time from. Cheap to clone; clones of a fake one move together.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Real,
    Fake(FakeClock),
    Simulated(Arc<dyn Fn() -> i64 + Send + Sync>),
}

/// A clock that stands still until told to advance.
#[derive(Clone, Debug)]
pub struct FakeClock {
    now: watch::Sender<i64>,
    /// The stopwatch reading that belongs to `origin_nanos`.
    origin: Instant,
    origin_nanos: i64,
}

impl Clock {
    pub fn real() -> Self {
        Self(Source::Real)
    }

    /// For a simulation, in which tokio's time stands still or jumps: stopwatch and sleep follow
    /// that time, the time of day is whatever `now` says, in nanoseconds since the Unix epoch.
    pub fn simulated(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Source::Simulated(Arc::new(now)))
    }

    /// Nanoseconds since the Unix epoch.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the time of day"
    )]
    pub fn now(&self) -> i64 {
        match &self.0 {
            Source::Real => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                i64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX)
            }
            Source::Fake(fake) => *fake.now.borrow(),
            Source::Simulated(now) => now(),
        }
    }

    /// The stopwatch: only differences mean anything.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the stopwatch"
    )]
    pub fn instant(&self) -> Instant {
        match &self.0 {
            Source::Real => Instant::now(),
            Source::Fake(fake) => {
                let passed = self.now().saturating_sub(fake.origin_nanos);
                fake.origin + Duration::from_nanos(passed.unsigned_abs())
            }
            Source::Simulated(_) => stopwatch().into_std(),
        }
    }

    /// Returns when this much time has passed on this clock.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Source::Real | Source::Simulated(_) => tokio::time::sleep(duration).await,
            Source::Fake(fake) => {
                let until = self.now().saturating_add(nanos(duration));
                let mut now = fake.now.subscribe();
                // The sender lives in `fake`, which this future borrows.
                let _ = now.wait_for(|now| *now >= until).await;
            }
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Real => f.write_str("Real"),
            Self::Fake(fake) => fake.fmt(f),
            Self::Simulated(_) => f.write_str("Simulated"),
        }
    }
}

impl FakeClock {
    /// Stands at `now`, in nanoseconds since the Unix epoch.
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
    pub fn at(now: i64) -> Self {
        Self {
            now: watch::Sender::new(now),
            origin: Instant::now(),
            origin_nanos: now,
        }
    }

    pub fn clock(&self) -> Clock {
        Clock(Source::Fake(self.clone()))
    }

    /// Moves every clone forward and wakes the sleepers whose time has come.
    pub fn advance(&self, by: Duration) {
        self.now
            .send_modify(|now| *now = now.saturating_add(nanos(by)));
    }
}

/// The runtime's stopwatch, for what this process does for itself.
#[expect(
    clippy::disallowed_methods,
    reason = "deadlines and latencies of the process are real time, also in tests"
)]
pub(crate) fn stopwatch() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fake_clock_moves_only_when_told_and_wakes_sleepers() {
        let fake = FakeClock::at(1_000);
        let clock = fake.clock();
        let start = clock.instant();
        let sleeper = {
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(60)).await }
        };
        let waker = async {
            fake.advance(Duration::from_secs(59));
            tokio::task::yield_now().await;
            fake.advance(Duration::from_secs(1));
        };
        tokio::join!(sleeper, waker);
        assert_eq!(clock.now(), 60_000_001_000);
        assert_eq!(clock.instant() - start, Duration::from_secs(60));
    }
}
