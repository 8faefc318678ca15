//! A query of everything: the catalog first, then every source, in any order and at any time.

use std::collections::BTreeSet;

use cairn_catalog::State;

use crate::store::Store;
use crate::world::{Row, number, tenant};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Query {
    /// Acknowledged before it began.
    must: BTreeSet<Row>,
    pub(crate) sources: BTreeSet<Source>,
    found: Vec<Row>,
    /// A tail could not be read, and the answer says so.
    is_partial: bool,
    /// A block that the catalog listed was not there.
    is_lost: bool,
    /// It has not asked the catalog for blocks yet: only with a bug.
    pub(crate) is_blind: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Source {
    Block(u64),
    /// The memory of an incarnation, behind a position of its log.
    Tail(u64, u64),
    /// The log of an incarnation that is gone.
    Log(u64, u64),
}

impl Query {
    pub(crate) fn begin(catalog: &State, must: BTreeSet<Row>, tails_first: bool) -> Self {
        let snapshot = catalog.snapshot(&tenant());
        let tails = snapshot.writers.iter();
        let tails = tails.map(|writer| Source::Tail(writer.incarnation, writer.flushed_lsn));
        let logs = snapshot.sealed.into_iter();
        let logs = logs.map(|writer| Source::Log(writer.incarnation, writer.flushed_lsn));
        let mut query = Self {
            must,
            sources: tails.chain(logs).collect(),
            found: Vec::new(),
            is_partial: false,
            is_lost: false,
            is_blind: true,
        };
        if !tails_first {
            query.look(catalog);
        }
        query
    }

    /// Learns which blocks there are.
    pub(crate) fn look(&mut self, catalog: &State) {
        let blocks = catalog.snapshot(&tenant()).blocks;
        let blocks = blocks.iter().map(|block| Source::Block(number(block.id)));
        self.sources.extend(blocks);
        self.is_blind = false;
    }

    /// Whether it still reads the log of an incarnation.
    pub(crate) fn reads_log(&self, incarnation: u64) -> bool {
        let of = |source: &Source| matches!(source, Source::Log(of, _) if *of == incarnation);
        self.sources.iter().any(of)
    }

    /// Reads one source; `tail` is what the incarnation has in memory, if it is alive.
    pub(crate) fn read(&mut self, source: Source, store: &Store, tail: Option<&[Row]>) {
        self.sources.remove(&source);
        match source {
            Source::Block(id) => match store.blocks.get(&id) {
                Some(rows) => self.found.extend(rows),
                None => self.is_lost = true,
            },
            Source::Tail(_, after) => match tail.and_then(|tail| tail.get(after as usize..)) {
                Some(rows) => self.found.extend(rows),
                None => self.is_partial = true,
            },
            Source::Log(incarnation, after) => {
                self.found.extend(store.rows_after(incarnation, after));
            }
        }
        self.found.sort_unstable();
    }

    pub(crate) fn is_done(&self) -> bool {
        self.sources.is_empty() && !self.is_blind
    }

    /// Whether the answer is one that must not be given.
    pub(crate) fn is_wrong(&self) -> bool {
        let is_doubled = self.found.windows(2).any(|pair| pair[0] == pair[1]);
        let misses = self.must.iter().any(|row| !self.found.contains(row));
        self.is_lost || is_doubled || misses && !self.is_partial
    }

    pub(crate) fn found(&self) -> usize {
        self.found.len()
    }
}
