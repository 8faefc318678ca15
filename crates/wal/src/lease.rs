//! Until when a writer may acknowledge, and since when it waits for the store. Owns moments; who
//! renews the lease is the ingester's business.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A lease as its holder sees it. Clones share it.
///
/// The holder counts from before a renewal was sent, whoever grants it from when it came: so the
/// holder's lease is over first, however long the renewal was on its way.
#[derive(Clone, Debug)]
pub struct Lease(Arc<Mutex<Moments>>);

#[derive(Debug)]
struct Moments {
    valid_until: Instant,
    waiting_since: Option<Instant>,
}

/// Held while a put is on its way.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Lease);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.lock().waiting_since = None;
    }
}

impl Lease {
    /// `valid_until` is when the request was sent plus the length of the lease, on the monotonic
    /// clock.
    pub fn new(valid_until: Instant) -> Self {
        Self(Arc::new(Mutex::new(Moments {
            valid_until,
            waiting_since: None,
        })))
    }

    /// A renewal was granted. Answers may overtake each other: none shortens the lease.
    pub fn renewed(&self, valid_until: Instant) {
        let until = &mut self.0.lock().valid_until;
        *until = valid_until.max(*until);
    }

    /// For how long it holds.
    pub fn left(&self, now: Instant) -> Duration {
        self.0.lock().valid_until.saturating_duration_since(now)
    }

    /// A put begins; it ends when what is returned is dropped.
    pub(crate) fn waiting(&self, now: Instant) -> Waiting<'_> {
        self.0.lock().waiting_since = Some(now);
        Waiting(self)
    }

    /// How long the store has been owing an answer to the put that is on its way.
    pub fn waited(&self, now: Instant) -> Duration {
        let since = self.0.lock().waiting_since;
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
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

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
    fn a_put_waits_until_it_ends() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let lease = Lease::new(start);
        assert_eq!(lease.waited(start + second), Duration::ZERO);
        let put = lease.waiting(start);
        assert_eq!(lease.clone().waited(start + second), second);
        drop(put);
        assert_eq!(lease.waited(start + second), Duration::ZERO);
    }
}
