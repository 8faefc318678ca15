//! Who scans what. Pure: a snapshot of the catalog goes in, assignments come out.
//!
//! The snapshot must be older than the tails that are asked: a row that moves from a tail to a
//! block in between is then found in the tail, which keeps it until no query can miss it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};

use cairn_model::TimeRange;
use cairn_wire::cairn::catalog::v1::{BlockMeta, SnapshotResponse, Writer};
use cairn_wire::cairn::query::v1::TailPosition;

/// What one query asks of whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// Worker -> its blocks.
    pub(crate) blocks: BTreeMap<String, Vec<BlockMeta>>,
    /// Where each writer's tail is. An empty address stands for whoever serves the catalog.
    pub(crate) tails: Vec<(String, TailPosition)>,
}

/// Every tail, and every block that may hold rows of the range.
pub(crate) fn plan(snapshot: SnapshotResponse, range: TimeRange, workers: &[String]) -> Plan {
    let SnapshotResponse {
        version: _,
        blocks,
        writers,
        sealed: _,
    } = snapshot;
    let overlapping = blocks.into_iter().filter(|block| {
        range.overlaps(&TimeRange {
            start: block.time_start,
            end: block.time_end,
        })
    });
    let tail = |writer: Writer| {
        let Writer {
            writer,
            incarnation,
            address,
            flushed_lsn,
            log: _,
            zone: _,
        } = writer;
        let position = TailPosition {
            writer,
            incarnation,
            after_lsn: flushed_lsn,
        };
        (address, position)
    };
    Plan {
        blocks: assign(overlapping, workers),
        tails: writers.into_iter().map(tail).collect(),
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
            .max_by_key(|worker| (weight(worker, &block.id), *worker));
        if let Some(worker) = best {
            out.entry(worker.clone()).or_default().push(block);
        }
    }
    out
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
    use super::*;

    fn block(id: usize, start: i64, end: i64) -> BlockMeta {
        BlockMeta {
            id: format!("{id:026}"),
            time_start: start,
            time_end: end,
            ..BlockMeta::default()
        }
    }

    fn workers(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn ids(plan: &BTreeMap<String, Vec<BlockMeta>>) -> Vec<String> {
        let mut ids: Vec<String> = plan.values().flatten().map(|b| b.id.clone()).collect();
        ids.sort();
        ids
    }

    #[test]
    fn only_overlapping_blocks_and_all_tails_are_asked() {
        let writer = |name: &str, lsn| Writer {
            writer: name.to_owned(),
            incarnation: 7,
            address: "http://i1".to_owned(),
            flushed_lsn: lsn,
            ..Writer::default()
        };
        let snapshot = SnapshotResponse {
            version: 3,
            blocks: vec![block(1, 0, 9), block(2, 10, 20), block(3, 21, 30)],
            writers: vec![writer("w1", 4), writer("w2", 0)],
            sealed: Vec::new(),
        };
        let range = TimeRange { start: 10, end: 20 };
        let plan = plan(snapshot, range, &workers(&["http://q1"]));
        assert_eq!(ids(&plan.blocks), [block(2, 0, 0).id]);
        let found: Vec<_> = plan
            .tails
            .iter()
            .map(|(at, tail)| (at.as_str(), tail.writer.as_str(), tail.after_lsn))
            .collect();
        assert_eq!(found, [("http://i1", "w1", 4), ("http://i1", "w2", 0)]);
        assert!(plan.tails.iter().all(|(_, tail)| tail.incarnation == 7));
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
