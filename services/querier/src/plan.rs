//! Who scans what. Pure: a snapshot of the catalog goes in, assignments come out.
//!
//! Rows that are in no block are in the tail of their writer, or, if that is gone, in its log.
//!
//! The snapshot must be older than the tails that are asked: a row that moves from a tail to a
//! block in between is then found in the tail, which keeps it until no query can miss it.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, Hasher};

use cairn_block::Lsn;
use cairn_catalog::{BlockMeta, Log, Snapshot, Writer};
use cairn_model::{BlockId, TimeRange, WriterId};

/// What one query asks of whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// Worker -> its blocks.
    pub(crate) blocks: BTreeMap<String, Vec<BlockMeta>>,
    pub(crate) tails: Vec<Tail>,
    /// Logs of writers that are gone.
    pub(crate) logs: Vec<Position>,
    pub(crate) doubtful: Doubtful,
}

/// Sources that may hold profiles which another one holds as well: sent again, they were taken by
/// an ingester that did not know of them. Merging drops the repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Doubtful {
    pub(crate) blocks: HashSet<BlockId>,
    /// Tails and logs.
    pub(crate) rest: bool,
}

/// Merging compares a block with all others, but with no tail. What a client may still send again is
/// in blocks up to this level (`compactor.plan.resent_within`).
const DOUBTFUL_LEVEL_MAX: u32 = 1;

/// Where the rows of one writer begin that are in no block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) writer: WriterId,
    pub(crate) incarnation: u64,
    pub(crate) after: Lsn,
}

/// Rows in the memory of a writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Empty: whoever serves the catalog.
    pub(crate) address: String,
    pub(crate) position: Position,
    /// Whether the same rows can be read from a log in the object store.
    pub(crate) is_in_store: bool,
}

/// Every tail and log, and every block that may hold rows of the range.
pub(crate) fn plan(snapshot: Snapshot, range: TimeRange, workers: &[String]) -> Plan {
    let Snapshot {
        version: _,
        blocks,
        writers,
        sealed,
    } = snapshot;
    let overlapping = blocks
        .into_iter()
        .filter(|block| range.overlaps(&block.range));
    let overlapping: Vec<BlockMeta> = overlapping.collect();
    let mut logs = writers.iter().chain(&sealed).map(|writer| writer.log);
    // A writer that goes on with its own log remembers what it has stored.
    let is_alone = logs.next() == Some(Log::Continued) && logs.next().is_none();
    let doubtful = match is_alone {
        true => Doubtful::default(),
        false => Doubtful::among(&overlapping, writers.len() + sealed.len()),
    };
    let tail = |writer: Writer| Tail {
        address: writer.address.clone(),
        is_in_store: writer.log == Log::OnePerIncarnation,
        position: Position::of(writer),
    };
    Plan {
        blocks: assign(overlapping, workers),
        tails: writers.into_iter().map(tail).collect(),
        logs: sealed.into_iter().map(Position::of).collect(),
        doubtful,
    }
}

impl Doubtful {
    pub(crate) fn has_any(&self, blocks: &[BlockMeta]) -> bool {
        blocks.iter().any(|block| self.blocks.contains(&block.id))
    }

    /// Also a larger block is doubtful where it meets a small one. One source alone never is.
    fn among(blocks: &[BlockMeta], logs: usize) -> Self {
        let is_small = |block: &&BlockMeta| block.level <= DOUBTFUL_LEVEL_MAX;
        let mut small: Vec<&BlockMeta> = blocks.iter().filter(is_small).collect();
        small.sort_by_key(|block| block.range.start);
        let mut times: Vec<TimeRange> = Vec::new();
        for block in small {
            match times.last_mut().filter(|last| last.overlaps(&block.range)) {
                Some(last) => *last = last.union(&block.range),
                None => times.push(block.range),
            }
        }
        let meets_small = |block: &&BlockMeta| {
            let at = times.partition_point(|time| time.end < block.range.start);
            times
                .get(at)
                .is_some_and(|time| time.overlaps(&block.range))
        };
        let doubtful = blocks.iter().filter(meets_small);
        let blocks: HashSet<BlockId> = doubtful.map(|block| block.id).collect();
        match blocks.len() + logs {
            0 | 1 => Self::default(),
            _ => Self { blocks, rest: true },
        }
    }
}

impl Position {
    fn of(writer: Writer) -> Self {
        Self {
            writer: writer.id,
            incarnation: writer.incarnation,
            after: writer.flushed_lsn,
        }
    }
}

/// Gives every block to one of the workers: the same one every time, so that its cache is warm, and
/// when a worker comes or goes only its own blocks move. Without workers nothing is assigned.
pub(crate) fn assign(
    blocks: impl IntoIterator<Item = BlockMeta>,
    workers: &[String],
) -> BTreeMap<String, Vec<BlockMeta>> {
    let mut out: BTreeMap<String, Vec<BlockMeta>> = BTreeMap::new();
    for block in blocks {
        let best = workers
            .iter()
            .max_by_key(|worker| (weight(worker, &block.id.to_string()), *worker));
        if let Some(worker) = best {
            out.entry(worker.clone()).or_default().push(block);
        }
    }
    out
}

/// What one worker scans.
pub(crate) type Share = (String, Vec<BlockMeta>);

/// Who merges whose answers first, so that nobody merges many more than `fan_in_max`: the first of
/// each group those of its group.
pub(crate) fn grouped(mut shares: Vec<Share>, fan_in_max: usize) -> Vec<Vec<Share>> {
    let of_group = match shares.len() > fan_in_max.max(1) {
        true => shares
            .len()
            .div_ceil(fan_in_max.max(1))
            .max(shares.len().isqrt()),
        false => 1,
    };
    let mut groups = Vec::new();
    while !shares.is_empty() {
        let rest = shares.split_off(of_group.min(shares.len()));
        groups.push(std::mem::replace(&mut shares, rest));
    }
    groups
}

fn weight(worker: &str, block: &str) -> u64 {
    let mut hasher = foldhash::quality::FixedState::with_seed(0).build_hasher();
    hasher.write(worker.as_bytes());
    hasher.write_u8(0xff);
    hasher.write(block.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use cairn_model::TenantId;

    use super::*;

    fn block(id: u128, start: i64, end: i64) -> BlockMeta {
        BlockMeta {
            id: BlockId::new(1, id),
            tenant: TenantId::anonymous(),
            level: 0,
            range: TimeRange { start, end },
            bytes: 1,
            rows: 1,
            profiles: 1,
            created_unix_ms: 1,
        }
    }

    fn workers(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn ids(plan: &BTreeMap<String, Vec<BlockMeta>>) -> Vec<BlockId> {
        let mut ids: Vec<BlockId> = plan.values().flatten().map(|b| b.id).collect();
        ids.sort();
        ids
    }

    #[test]
    fn only_overlapping_blocks_and_all_tails_and_logs_are_asked() {
        let writer = |name: &str, flushed_lsn, log| Writer {
            id: WriterId::parse(name).expect("valid"),
            incarnation: 7,
            address: "http://i1".to_owned(),
            zone: String::new(),
            flushed_lsn,
            log,
        };
        let snapshot = Snapshot {
            version: 3,
            blocks: vec![block(1, 0, 9), block(2, 10, 20), block(3, 21, 30)],
            writers: vec![
                writer("w1", 4, Log::Continued),
                writer("w2", 0, Log::OnePerIncarnation),
            ],
            sealed: vec![writer("w3", 9, Log::OnePerIncarnation)],
        };
        let range = TimeRange { start: 10, end: 20 };
        let plan = plan(snapshot, range, &workers(&["http://q1"]));
        assert_eq!(ids(&plan.blocks), [block(2, 0, 0).id]);
        let position = |name: &str, after| Position {
            writer: WriterId::parse(name).expect("valid"),
            incarnation: 7,
            after,
        };
        let tail = |position, is_in_store| Tail {
            address: "http://i1".to_owned(),
            position,
            is_in_store,
        };
        let tails = [
            tail(position("w1", 4), false),
            tail(position("w2", 0), true),
        ];
        assert_eq!(plan.tails, tails);
        assert_eq!(plan.logs, [position("w3", 9)]);
        let doubtful = Doubtful {
            blocks: HashSet::from([block(2, 0, 0).id]),
            rest: true,
        };
        assert_eq!(plan.doubtful, doubtful);
    }

    #[test]
    fn large_blocks_are_doubtful_only_where_they_meet_small_ones() {
        let of_level = |id, level, start, end| BlockMeta {
            level,
            ..block(id, start, end)
        };
        let blocks = [
            of_level(1, 3, 0, 99),
            of_level(2, 3, 50, 149),
            of_level(3, 2, 150, 180),
            of_level(4, 0, 145, 149),
            of_level(5, 0, 190, 195),
            of_level(6, 1, 160, 189),
        ];
        let doubtful = Doubtful::among(&blocks, 1);
        let expected = [2, 3, 4, 5, 6].map(|id| block(id, 0, 0).id);
        assert_eq!(doubtful.blocks, HashSet::from(expected));
        assert!(doubtful.rest);
        assert_eq!(Doubtful::among(&blocks[..1], 1), Doubtful::default());
    }

    #[test]
    fn a_writer_that_is_alone_with_a_log_of_its_own_doubts_nothing() {
        let writer = Writer {
            id: WriterId::parse("w").expect("valid"),
            incarnation: 7,
            address: String::new(),
            zone: String::new(),
            flushed_lsn: 0,
            log: Log::Continued,
        };
        let snapshot = Snapshot {
            version: 3,
            blocks: vec![block(1, 0, 9), block(2, 5, 20)],
            writers: vec![writer],
            sealed: Vec::new(),
        };
        let plan = plan(snapshot, TimeRange::ALL, &workers(&["http://q1"]));
        assert_eq!(plan.doubtful, Doubtful::default());
    }

    #[test]
    fn many_workers_answer_in_groups_and_few_by_themselves() {
        let sizes = |workers: usize, fan_in_max| {
            let share = |at: usize| (format!("w{at:03}"), vec![block(at as u128, 0, 1)]);
            let shares: Vec<Share> = (0..workers).map(share).collect();
            let groups = grouped(shares.clone(), fan_in_max);
            assert_eq!(groups.concat(), shares, "none is lost, none is twice");
            groups.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(0, 16), Vec::<usize>::new());
        assert_eq!(sizes(16, 16), [1; 16]);
        assert_eq!(sizes(17, 16), [4, 4, 4, 4, 1]);
        assert_eq!(sizes(100, 16), [10; 10]);
        assert_eq!(sizes(1_000, 16).len(), 16);
        assert_eq!(sizes(3, 0), [3]);
    }

    #[test]
    fn every_block_has_one_worker_and_few_move_when_one_leaves() {
        let blocks: Vec<BlockMeta> = (0..300).map(|id| block(id, 0, 1)).collect();
        let three = assign(blocks.clone(), &workers(&["a", "b", "c"]));
        assert_eq!(ids(&three).len(), 300);
        assert!(three.values().all(|of| (60..140).contains(&of.len())));
        let shuffled = assign(blocks.iter().rev().cloned(), &workers(&["c", "a", "b"]));
        let two = assign(blocks, &workers(&["a", "c"]));
        for worker in ["a", "c"] {
            let had = &three[worker];
            assert!(had.iter().all(|block| two[worker].contains(block)));
            assert_eq!(had.len(), shuffled[worker].len());
        }
        assert_eq!(ids(&two).len(), 300);
        assert!(assign([block(1, 0, 1)], &[]).is_empty());
    }
}
