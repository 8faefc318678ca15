//! Answers from blocks, kept for whoever asks the same again: blocks never change. And what was made
//! of stacks, for whoever wants the same made of equal ones.
//!
//! Owns what may be kept and under which key; how long is the cache's business.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use cairn_engine::exchange::{self, Partial};
use cairn_engine::repeats::Ask;
use cairn_engine::{Query, Scanned};
use cairn_model::{TenantId, TimeRange};
use cairn_trie::Partial as Stacks;
use cairn_wire::cairn::catalog::v1::BlockMeta;
use cairn_wire::cairn::query::v1::Blocks;
use cairn_wire::cairn::query::v1::scan_ticket::Source;
use moka::sync::Cache;
use prost::Message;

/// Kept answers, bounded by memory. Those that are asked for often stay (TinyLFU).
#[derive(Clone, Debug)]
pub(crate) struct Answers(Cache<Key, Kept>);

#[derive(Clone, Debug)]
enum Kept {
    /// Of one block, to be merged with others.
    Scanned(Arc<Scanned>),
    /// Of all blocks of a ticket, ready to be sent.
    Encoded(Partial),
    Made(Made),
}

/// A report, and the stacks that it is about.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) of: Arc<Vec<Stacks>>,
    pub(crate) report: Arc<dyn Any + Send + Sync>,
    pub(crate) bytes: usize,
}

/// A question to some blocks, spelled the same whenever it has the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    of: Of,
    /// The ticket that asks, or the name of a report.
    name: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Of {
    /// One of several blocks of a ticket.
    Part,
    /// All blocks of a ticket, as a worker answers it.
    Ticket,
    /// All blocks of a plan, whoever read them.
    Plan,
    Report,
}

impl Key {
    /// Of all blocks of a ticket. None for questions of which the answer is of no use to others.
    pub(crate) fn of(
        tenant: &TenantId,
        (query, ask): (&Query, &Ask),
        mut blocks: Vec<BlockMeta>,
    ) -> Option<Self> {
        let is_usual =
            query.weights.is_none() && ask.deliveries.is_empty() && ask.without.is_empty();
        if !is_usual || blocks.is_empty() {
            return None;
        }
        blocks.sort_by(|a, b| a.id.cmp(&b.id));
        let query = Query {
            range: clip(query.range, &blocks),
            ..query.clone()
        };
        let source = Source::Blocks(Blocks { blocks });
        let ticket = exchange::encode(tenant, &query, source, ask);
        Some(Self {
            of: Of::Ticket,
            name: ticket.encode_to_vec().into(),
        })
    }

    /// Of all blocks of a plan.
    pub(crate) fn of_plan(
        tenant: &TenantId,
        query: &Query,
        blocks: Vec<BlockMeta>,
    ) -> Option<Self> {
        let key = Self::of(tenant, (query, &Ask::NOTHING), blocks)?;
        Some(Self {
            of: Of::Plan,
            ..key
        })
    }

    /// Of a report: what it is made of is compared, so the name need not tell it.
    pub(crate) fn of_report(tenant: &TenantId, name: &str) -> Self {
        Self {
            of: Of::Report,
            name: format!("{tenant} {name}").into(),
        }
    }

    /// Of one of several blocks of a ticket.
    pub(crate) fn of_part(
        tenant: &TenantId,
        wanted: (&Query, &Ask),
        block: &BlockMeta,
    ) -> Option<Self> {
        let key = Self::of(tenant, wanted, vec![block.clone()])?;
        Some(Self {
            of: Of::Part,
            ..key
        })
    }
}

/// What a range takes of blocks: windows that move on ask the same of blocks within.
fn clip(range: TimeRange, blocks: &[BlockMeta]) -> TimeRange {
    let start = blocks.iter().map(|block| block.time_start).min();
    let end = blocks.iter().map(|block| block.time_end).max();
    TimeRange {
        start: range.start.max(start.unwrap_or(i64::MIN)),
        end: range.end.min(end.unwrap_or(i64::MAX)),
    }
}

impl Answers {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let bytes = |key: &Key, kept: &Kept| {
            let kept = match kept {
                Kept::Scanned(scanned) => scanned.bytes(),
                Kept::Encoded(partial) => partial.bytes(),
                Kept::Made(made) => made.bytes,
            };
            u32::try_from(key.name.len() + kept).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(bytes_max).weigher(bytes);
        Self(cache.build())
    }

    pub(crate) fn scanned(&self, key: &Key) -> Option<Arc<Scanned>> {
        match self.0.get(key)? {
            Kept::Scanned(scanned) => Some(scanned),
            Kept::Encoded(_) | Kept::Made(_) => None,
        }
    }

    pub(crate) fn keep_scanned(&self, key: Key, scanned: &Arc<Scanned>) {
        self.0.insert(key, Kept::Scanned(Arc::clone(scanned)));
    }

    pub(crate) fn encoded(&self, key: &Key) -> Option<Partial> {
        match self.0.get(key)? {
            Kept::Encoded(partial) => Some(partial),
            Kept::Scanned(_) | Kept::Made(_) => None,
        }
    }

    pub(crate) fn made(&self, key: &Key) -> Option<Made> {
        match self.0.get(key)? {
            Kept::Made(made) => Some(made),
            Kept::Scanned(_) | Kept::Encoded(_) => None,
        }
    }

    pub(crate) fn keep_made(&self, key: Key, made: Made) {
        self.0.insert(key, Kept::Made(made));
    }

    pub(crate) fn keep_encoded(&self, key: Key, partial: &Partial) {
        self.0.insert(key, Kept::Encoded(partial.clone()));
    }
}
