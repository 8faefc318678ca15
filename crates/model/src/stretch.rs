//! Parts of writers' logs.

use serde::{Deserialize, Serialize};

use crate::WriterId;

/// A gapless part of one log: the entries from `from` to `to`, both included.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stretch {
    pub writer: WriterId,
    /// Which of the writer's logs: that of this incarnation, or 0 for a log that goes on from one
    /// incarnation to the next. Positions are unique within a log.
    pub incarnation: u64,
    /// Positions count from 1.
    pub from: u64,
    pub to: u64,
}

impl Stretch {
    /// In order, those that touch or overlap made one.
    pub fn coalesce(mut stretches: Vec<Self>) -> Vec<Self> {
        stretches.sort_unstable();
        stretches.dedup_by(|next, last| {
            let is_same_log = next.writer == last.writer && next.incarnation == last.incarnation;
            let touches = is_same_log && next.from <= last.to.saturating_add(1);
            if touches {
                last.to = last.to.max(next.to);
            }
            touches
        });
        stretches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(writer: &str, incarnation: u64, (from, to): (u64, u64)) -> Stretch {
        Stretch {
            writer: WriterId::parse(writer).expect("valid"),
            incarnation,
            from,
            to,
        }
    }

    #[test]
    fn neighbours_in_one_log_become_one_and_others_do_not() {
        let stretches = vec![
            stretch("b", 1, (1, 2)),
            stretch("a", 2, (6, 7)),
            stretch("a", 1, (5, 9)),
            stretch("a", 1, (1, 2)),
            stretch("a", 1, (3, 3)),
            stretch("a", 1, (6, 8)),
            stretch("a", 1, (11, u64::MAX)),
            stretch("a", 1, (u64::MAX, u64::MAX)),
        ];
        let expected = [
            stretch("a", 1, (1, 3)),
            stretch("a", 1, (5, 9)),
            stretch("a", 1, (11, u64::MAX)),
            stretch("a", 2, (6, 7)),
            stretch("b", 1, (1, 2)),
        ];
        assert_eq!(Stretch::coalesce(stretches), expected);
    }
}
