//! Where a block's rows come from, so that a catalog can be made anew from blocks alone.

use cairn_model::{BlockId, NONE, Stretch, WriterId};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Stretches of logs that one block may hold.
pub(crate) const STRETCHES_MAX: usize = 1 << 17;

/// Blocks of unknown origin that one block may hold.
pub(crate) const UNKNOWN_MAX: usize = 10_000;

/// Where a block's rows come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// In order, without overlap. The block holds every row that its tenant has in them.
    pub stretches: Vec<Stretch>,
    /// Blocks that went into this one and did not say where their rows came from, in order; the
    /// block itself, if it says nothing.
    pub unknown: Vec<BlockId>,
    /// How many blocks, one per tenant, hold the one stretch of a block of level 0 together; 0 for
    /// others.
    pub siblings: u32,
}

/// A log: its writer, and the incarnation, or 0 if the log goes on from one to the next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogName(pub WriterId, pub u64);

impl Origins {
    /// Logs that rows come from, in order.
    pub fn logs(&self) -> Vec<LogName> {
        let stretches = self.stretches.iter();
        let mut logs: Vec<LogName> = stretches
            .map(|stretch| LogName(stretch.writer.clone(), stretch.incarnation))
            .collect();
        logs.dedup();
        logs
    }

    /// The log of all rows; [`NONE`] if they may have several.
    pub(crate) fn only_log(&self) -> u32 {
        let several = self.logs().len() != 1 || !self.unknown.is_empty();
        if several { NONE } else { 0 }
    }

    pub(crate) fn new(stretches: Vec<Stretch>, siblings: u32) -> Self {
        Self {
            stretches: Stretch::coalesce(stretches),
            unknown: Vec::new(),
            siblings,
        }
    }

    /// Of a block with the rows of all of these. If that is too much, about how many are not.
    pub(crate) fn union(all: &[&Self]) -> Result<Self, usize> {
        let stretches = all.iter().flat_map(|origins| &origins.stretches);
        let mut unknown: Vec<BlockId> = all.iter().flat_map(|o| o.unknown.clone()).collect();
        unknown.sort_unstable();
        unknown.dedup();
        let union = Self {
            unknown,
            ..Self::new(stretches.cloned().collect(), 0)
        };
        match all.len() {
            _ if union.fits() => Ok(union),
            0..2 => Err(0),
            several => {
                let half = several / 2;
                Self::union(&all[..half]).map_or_else(Err, |_| Err(half))
            }
        }
    }

    pub(crate) fn fits(&self) -> bool {
        self.stretches.len() <= STRETCHES_MAX && self.unknown.len() <= UNKNOWN_MAX
    }
}

/// Origins as a table of contents spells them, in few bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackedOrigins {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    logs: Vec<PackedLog>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<BlockId>,
    #[serde(default, skip_serializing_if = "is_zero")]
    siblings: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Writer, incarnation, and for each stretch how far it begins behind the end of the one before,
/// and how many entries it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PackedLog(WriterId, u64, Vec<u64>);

impl PackedOrigins {
    pub(crate) fn pack(origins: &Origins) -> Self {
        let mut logs: Vec<PackedLog> = Vec::new();
        let mut end = 0;
        for stretch in &origins.stretches {
            let Stretch {
                writer,
                incarnation,
                from,
                to,
            } = stretch;
            let is_same = |log: &PackedLog| log.0 == *writer && log.1 == *incarnation;
            if !logs.last().is_some_and(is_same) {
                logs.push(PackedLog(writer.clone(), *incarnation, Vec::new()));
                end = 0;
            }
            let log = logs.last_mut().expect("a log was added if there was none");
            log.2.extend([from - end, to - from + 1]);
            end = *to;
        }
        Self {
            logs,
            unknown: origins.unknown.clone(),
            siblings: origins.siblings,
        }
    }

    /// Refuses what no writer of blocks wrote, before much memory is taken for it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |reason| Err(Error::corrupt("origins", reason));
        let numbers: usize = self.logs.iter().map(|log| log.2.len()).sum();
        if numbers / 2 > STRETCHES_MAX || self.unknown.len() > UNKNOWN_MAX {
            return wrong("there are too many");
        }
        for PackedLog(_, _, runs) in &self.logs {
            let mut end = 0u64;
            for run in runs.chunks(2) {
                let next = match run {
                    [skip, len] if *skip > 0 && *len > 0 => end
                        .checked_add(*skip)
                        .and_then(|from| from.checked_add(len - 1)),
                    _ => None,
                };
                match next {
                    Some(next) => end = next,
                    None => return wrong("a stretch ends before it starts"),
                }
            }
        }
        Ok(())
    }

    /// Of a block that goes by this name.
    pub(crate) fn unpack(&self, id: BlockId) -> Origins {
        let mut stretches = Vec::new();
        for PackedLog(writer, incarnation, runs) in &self.logs {
            let mut end = 0;
            for (skip, len) in runs.chunks_exact(2).map(|run| (run[0], run[1])) {
                let from = end + skip;
                end = from + (len - 1);
                stretches.push(Stretch {
                    writer: writer.clone(),
                    incarnation: *incarnation,
                    from,
                    to: end,
                });
            }
        }
        let mut origins = Origins {
            stretches: Stretch::coalesce(stretches),
            unknown: self.unknown.clone(),
            siblings: self.siblings,
        };
        if origins.stretches.is_empty() && origins.unknown.is_empty() {
            origins.unknown.push(id);
        }
        origins
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let logs = self.logs.iter();
        let log = |log: &PackedLog| size_of::<PackedLog>() + log.2.capacity() * size_of::<u64>();
        logs.map(log).sum::<usize>() + self.unknown.capacity() * size_of::<BlockId>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stretch(writer: u8, incarnation: u64, (from, to): (u64, u64)) -> Stretch {
        Stretch {
            writer: WriterId::parse(&format!("w{writer}")).expect("valid"),
            incarnation,
            from,
            to,
        }
    }

    fn packed(text: &str) -> Result<PackedOrigins, String> {
        let packed: PackedOrigins = serde_json::from_str(text).map_err(|e| e.to_string())?;
        packed.check().map_err(|e| e.to_string())?;
        Ok(packed)
    }

    proptest! {
        #[test]
        fn origins_come_back(
            drawn in prop::collection::vec((0u8..3, 0u64..3, 1u64..200, 0u64..20), 1..60),
            siblings in 0u32..4,
            unknown in 0u64..3,
        ) {
            let stretches = drawn.into_iter().map(|(w, i, from, len)| stretch(w, i, (from, from + len)));
            let mut origins = Origins::new(stretches.collect(), siblings);
            origins.unknown = (0..unknown).map(|n| BlockId::new(n, 1)).collect();
            let text = serde_json::to_string(&PackedOrigins::pack(&origins)).expect("plain data");
            let read = packed(&text).expect("what is written is read");
            prop_assert_eq!(read.unpack(BlockId::new(9, 9)), origins);
        }
    }

    #[test]
    fn origins_are_spelled_as_documented() {
        let stretches = vec![stretch(1, 0, (5, 9)), stretch(1, 0, (20, 20))];
        let packed = PackedOrigins::pack(&Origins::new(stretches, 2));
        let text = serde_json::to_string(&packed).expect("plain data");
        assert_eq!(text, r#"{"logs":[["w1",0,[5,5,11,1]]],"siblings":2}"#);
    }

    #[test]
    fn a_block_that_says_nothing_is_its_own_origin() {
        let id = BlockId::new(7, 7);
        assert_eq!(packed("{}").expect("valid").unpack(id).unknown, [id]);
    }

    #[test]
    fn origins_that_nobody_wrote_are_refused() {
        let max = u64::MAX;
        for runs in [
            "[1]".to_owned(),
            "[0,1]".to_owned(),
            "[1,0]".to_owned(),
            "[1,1,0,1]".to_owned(),
            format!("[{max},2]"),
            format!("[1,1,{max},1]"),
        ] {
            let text = format!(r#"{{"logs":[["w",1,{runs}]]}}"#);
            assert!(packed(&text).is_err(), "{runs}");
        }
        let last = format!(r#"{{"logs":[["w",1,[1,{max}]]]}}"#);
        assert!(packed(&last).is_ok());
        let many = vec!["1,1"; STRETCHES_MAX + 1].join(",");
        assert!(packed(&format!(r#"{{"logs":[["w",1,[{many}]]]}}"#)).is_err());
    }

    #[test]
    fn too_many_stretches_are_too_much_for_one_block() {
        let every = |step: usize, first: u64| {
            let from = (0..STRETCHES_MAX as u64).map(|n| first + n * step as u64);
            Origins::new(from.map(|at| stretch(1, 1, (at, at))).collect(), 1)
        };
        let (odd, even, apart) = (every(2, 1), every(2, 2), every(2, 1_000_000_000));
        assert_eq!(Origins::union(&[&odd, &apart]), Err(1));
        let filled = Origins::union(&[&odd, &even]).expect("one stretch");
        assert_eq!(filled.stretches.len(), 1);
    }

    #[test]
    fn a_day_with_thousands_of_gaps_takes_few_bytes() {
        let stretches = (0..5_000).map(|n| {
            let from = 4_000_000 + n * 130 + n % 7;
            stretch(1, 12, (from, from + 40 + n % 5))
        });
        let packed = PackedOrigins::pack(&Origins::new(stretches.collect(), 0));
        let text = serde_json::to_string(&packed).expect("plain data");
        assert!(text.len() < 5_000 * 7, "{} bytes", text.len());
    }
}
