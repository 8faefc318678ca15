//! Objects: what was created stays as it is until it is deleted, and is created once.

use std::collections::{BTreeMap, BTreeSet};

use crate::world::Row;

/// One segment of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Segment {
    Row(Row),
    /// Nothing comes after this.
    Fence,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    /// By incarnation and position.
    pub(crate) segments: BTreeMap<(u64, u64), Segment>,
    pub(crate) blocks: BTreeMap<u64, Vec<Row>>,
    /// Blocks that were written more than half a day ago.
    pub(crate) aged: BTreeSet<u64>,
}

impl Store {
    /// Creates a segment unless it exists.
    pub(crate) fn put(&mut self, incarnation: u64, lsn: u64, segment: Segment) {
        self.segments.entry((incarnation, lsn)).or_insert(segment);
    }

    /// The rows of a log from behind `flushed` on, as far as there are no gaps and no fence.
    pub(crate) fn rows_after(&self, incarnation: u64, flushed: u64) -> Vec<Row> {
        let segments = (flushed + 1..).map(|lsn| self.segments.get(&(incarnation, lsn)));
        let rows = segments.map_while(|segment| match segment {
            Some(Segment::Row(row)) => Some(*row),
            Some(Segment::Fence) | None => None,
        });
        rows.collect()
    }

    pub(crate) fn is_fenced(&self, incarnation: u64) -> bool {
        let of = self
            .segments
            .range((incarnation, 0)..=(incarnation, u64::MAX));
        of.into_iter()
            .any(|(_, segment)| *segment == Segment::Fence)
    }

    /// Puts a fence at the first free place behind `flushed`, unless there is one already.
    pub(crate) fn fence(&mut self, incarnation: u64, flushed: u64) {
        if !self.is_fenced(incarnation) {
            let lsn = flushed + 1 + self.rows_after(incarnation, flushed).len() as u64;
            self.put(incarnation, lsn, Segment::Fence);
        }
    }
}
