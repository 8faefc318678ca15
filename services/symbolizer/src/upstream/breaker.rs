//! Whether a server that failed is asked again.

use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub(super) struct Breaker {
    failures_max: u32,
    pause: Duration,
    failures: u32,
    /// Nobody asks before this.
    until: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(failures_max: u32, pause: Duration) -> Self {
        Self {
            failures_max: failures_max.max(1),
            pause,
            failures: 0,
            until: None,
        }
    }

    /// Whether to ask now. After a pause one asks, and others wait for what becomes of that.
    pub(super) fn may_ask(&mut self, now: Instant) -> bool {
        match self.until {
            Some(until) if now < until => false,
            Some(_) => {
                self.until = Some(now + self.pause);
                true
            }
            None => true,
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.until = None;
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.failures_max {
            self.until = Some(now + self.pause);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
mod tests {
    use super::*;

    #[test]
    fn who_fails_in_a_row_is_left_alone_and_then_tried_by_one() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut breaker = Breaker::new(2, Duration::from_secs(10));
        breaker.failed(at(0));
        breaker.succeeded();
        breaker.failed(at(0));
        assert!(breaker.may_ask(at(0)), "not in a row");
        breaker.failed(at(1));
        assert!(!breaker.may_ask(at(10)));
        assert!(breaker.may_ask(at(11)), "one tries");
        assert!(!breaker.may_ask(at(11)), "others wait for it");
        breaker.failed(at(12));
        assert!(!breaker.may_ask(at(21)));
        assert!(breaker.may_ask(at(22)));
        breaker.succeeded();
        assert!(breaker.may_ask(at(22)) && breaker.may_ask(at(22)));
    }
}
