//! Which profiles came lately, so that one sent twice counts once.
//!
//! Owns hashes only; whether a repeat is acknowledged is the writer's decision.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashSet;

/// Hashes of a stretch of time.
#[derive(Debug)]
pub(crate) struct Window {
    length: i64,
    hashes: HashSet<u128, foldhash::fast::RandomState>,
    /// When each came, oldest first.
    order: VecDeque<(i64, u128)>,
}

/// Hashes kept at most, about 60 bytes each; beyond that the window gets shorter.
const HASHES_MAX: usize = 1 << 20;

impl Window {
    pub(crate) fn new(length: Duration) -> Self {
        Self {
            length: i64::try_from(length.as_nanos()).unwrap_or(i64::MAX),
            hashes: HashSet::default(),
            order: VecDeque::new(),
        }
    }

    /// The earliest time that the window still looks at.
    pub(crate) fn start(&self, now: i64) -> i64 {
        now.saturating_sub(self.length)
    }

    /// Notes the hash; false if it is in the window already. `0` is never a repeat.
    pub(crate) fn insert(&mut self, hash: u128, now: i64) -> bool {
        let start = self.start(now);
        while let Some((came, old)) = self.order.front().copied() {
            if came >= start && self.order.len() < HASHES_MAX {
                break;
            }
            self.order.pop_front();
            self.hashes.remove(&old);
        }
        if hash == 0 {
            return true;
        }
        let new = self.hashes.insert(hash);
        if new {
            self.order.push_back((now, hash));
        }
        new
    }

    /// All that are in the window, oldest first.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = u128> + '_ {
        self.order.iter().map(|(_, hash)| *hash)
    }

    /// Forgets what did not become durable after all.
    pub(crate) fn remove(&mut self, hash: u128) {
        if self.hashes.remove(&hash) {
            // It was noted a moment ago.
            if let Some(at) = self.order.iter().rposition(|(_, other)| *other == hash) {
                self.order.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_told_within_the_window_only() {
        let mut window = Window::new(Duration::from_nanos(10));
        assert!(window.insert(7, 0));
        assert!(!window.insert(7, 10));
        assert!(window.insert(7, 11), "10 nanoseconds are over");
        assert!(window.insert(0, 11) && window.insert(0, 11));
        assert!(window.insert(8, 12));
        window.remove(8);
        assert!(window.insert(8, 13));
    }

    #[test]
    fn the_window_is_bounded() {
        let mut window = Window::new(Duration::from_secs(1));
        for hash in 1..=HASHES_MAX as u128 + 5 {
            assert!(window.insert(hash, 0));
        }
        assert!(window.order.len() <= HASHES_MAX);
        assert_eq!(window.order.len(), window.hashes.len());
    }
}
