//! Until when a writer may acknowledge. Owns a moment; who renews it is the ingester's business.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A lease as its holder sees it. Clones share it.
///
/// The holder counts from before a renewal was sent, whoever grants it from when it came: so the
/// holder's lease is over first, however long the renewal was on its way.
#[derive(Clone, Debug)]
pub struct Lease(Arc<Mutex<Instant>>);

impl Lease {
    /// `valid_until` is when the request was sent plus the length of the lease, on the monotonic
    /// clock.
    pub fn new(valid_until: Instant) -> Self {
        Self(Arc::new(Mutex::new(valid_until)))
    }

    /// A renewal was granted. Answers may overtake each other: none shortens the lease.
    pub fn renewed(&self, valid_until: Instant) {
        let mut until = self.0.lock();
        *until = valid_until.max(*until);
    }

    /// For how long it holds.
    pub fn left(&self, now: Instant) -> Duration {
        self.0.lock().saturating_duration_since(now)
    }

    pub fn is_valid(&self, now: Instant) -> bool {
        !self.left(now).is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
    fn a_lease_holds_until_the_latest_moment_that_was_granted() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let lease = Lease::new(start + second * 6);
        let other = lease.clone();
        assert!(lease.is_valid(start + second * 5));
        assert!(!lease.is_valid(start + second * 6));
        other.renewed(start + second * 8);
        other.renewed(start + second * 7);
        assert_eq!(lease.left(start + second * 6), second * 2);
        assert!(!lease.is_valid(start + second * 9));
    }
}
