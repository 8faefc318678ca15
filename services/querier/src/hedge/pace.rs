//! How long reads take, and when one is worth a second try. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::Hedge;

/// Reads of a class that are remembered.
const REMEMBERED: usize = 256;

/// Without so many nobody knows what is usual.
const KNOWN_MIN: usize = 32;

/// Reads that may be sent again at once after a quiet time.
const BURST: f64 = 10.0;

/// What a read of more bytes than these takes is compared with others of its kind.
const CLASSES: [u64; 3] = [64 << 10, 1 << 20, 8 << 20];

/// What is usual lately.
#[derive(Debug)]
pub(crate) struct Pace {
    hedge: Hedge,
    /// By size.
    lately: [VecDeque<Duration>; CLASSES.len() + 1],
    /// Reads that may be sent again now.
    tokens: f64,
}

impl Pace {
    pub(crate) fn new(hedge: Hedge) -> Self {
        Self {
            hedge,
            lately: Default::default(),
            tokens: 0.0,
        }
    }

    /// A read of so many bytes begins: after which time it takes unusually long, if that is known.
    pub(crate) fn begin(&mut self, bytes: u64) -> Option<Duration> {
        self.tokens = (self.tokens + self.hedge.share).min(BURST);
        let lately = &self.lately[class(bytes)];
        if self.hedge.share <= 0.0 || lately.len() < KNOWN_MIN {
            return None;
        }
        let mut sorted: Vec<Duration> = lately.iter().copied().collect();
        let at = sorted.len() * 95 / 100;
        let (_, usual, _) = sorted.select_nth_unstable(at);
        Some((*usual).max(self.hedge.after_min))
    }

    /// Whether one more read may be sent again; if so it is.
    pub(crate) fn may_hedge(&mut self) -> bool {
        let may = self.tokens >= 1.0;
        if may {
            self.tokens -= 1.0;
        }
        may
    }

    pub(crate) fn note(&mut self, bytes: u64, took: Duration) {
        let lately = &mut self.lately[class(bytes)];
        if lately.len() == REMEMBERED {
            lately.pop_front();
        }
        lately.push_back(took);
    }
}

fn class(bytes: u64) -> usize {
    CLASSES.partition_point(|most| *most < bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEDGE: Hedge = Hedge {
        share: 0.05,
        after_min: Duration::from_millis(5),
    };

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_usual_depends_on_the_size_and_on_what_was_seen_lately() {
        let mut pace = Pace::new(HEDGE);
        for millis in 1..=100 {
            assert_eq!(pace.begin(1_000).is_some(), millis > 32);
            pace.note(1_000, millis * MS);
            pace.note(2 << 20, 10 * millis * MS);
        }
        assert_eq!(pace.begin(64 << 10), Some(96 * MS));
        assert_eq!(pace.begin(8 << 20), Some(960 * MS));
        assert_eq!(pace.begin(100 << 10), None);
        for _ in 0..300 {
            pace.note(1_000, MS);
        }
        assert_eq!(pace.begin(1), Some(HEDGE.after_min));
    }

    #[test]
    fn few_reads_are_sent_again() {
        let mut pace = Pace::new(HEDGE);
        let mut again = 0;
        for _ in 0..1_000 {
            pace.begin(1);
            again += usize::from(pace.may_hedge());
        }
        assert!((49..=50).contains(&again), "{again}");
        // Not more at once after a quiet time.
        (0..10_000).for_each(|_| assert!(pace.begin(1).is_none()));
        let burst = (0..100).filter(|_| pace.may_hedge()).count();
        assert_eq!(burst, 10);
        let mut never = Pace::new(Hedge {
            share: 0.0,
            ..HEDGE
        });
        (0..100).for_each(|_| never.note(1, MS));
        assert_eq!((never.begin(1), never.may_hedge()), (None, false));
    }
}
