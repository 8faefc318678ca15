//! Logs: at which positions the catalog was, and how far each log is in blocks.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::{Stretch, TenantId, WriterId};

use super::{Conflict, Found, FoundLog, LogPosition};

/// All logs that blocks or the bucket name.
#[derive(Debug, Default)]
pub(super) struct Chains(BTreeMap<(WriterId, u64), Chain>);

/// What is there of one commit, whether it happened or not.
#[derive(Debug, Default)]
struct Attempt {
    tenants: BTreeSet<TenantId>,
    siblings: u32,
}

/// One log.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Where the catalog certainly was, 0 included.
    positions: BTreeSet<u64>,
    /// Stretches of blocks of level 0.
    attempts: BTreeMap<(u64, u64), Attempt>,
    log: Option<FoundLog>,
    flushed: u64,
}

impl Chains {
    pub(super) fn new(blocks: &[Found], logs: &[FoundLog]) -> Self {
        let mut chains = Self::default();
        for found in blocks {
            for stretch in &found.origins {
                let chain = chains.entry(&stretch.writer, stretch.incarnation);
                chain.positions.insert(stretch.from.saturating_sub(1));
                if found.attempt().is_none() {
                    chain.positions.insert(stretch.to);
                }
            }
        }
        for log in logs {
            chains.entry(&log.writer, log.incarnation).log = Some(log.clone());
        }
        for found in blocks {
            let Some(stretch) = found.attempt() else {
                continue;
            };
            let chain = chains.entry(&stretch.writer, stretch.incarnation);
            let key = (stretch.from, stretch.to);
            let attempt = chain.attempts.entry(key).or_default();
            attempt.tenants.insert(found.meta.tenant.clone());
            attempt.siblings = found.siblings.max(attempt.siblings);
        }
        chains
    }

    fn entry(&mut self, writer: &WriterId, incarnation: u64) -> &mut Chain {
        let key = (writer.clone(), incarnation);
        self.0.entry(key).or_insert_with(|| Chain {
            positions: BTreeSet::from([0]),
            ..Chain::default()
        })
    }

    /// Says of each log how far it is in blocks.
    pub(super) fn decide(&mut self) -> Vec<Conflict> {
        let decide = |((writer, incarnation), chain): (&(WriterId, u64), &mut Chain)| {
            chain.decide(writer, *incarnation)
        };
        self.0.iter_mut().flat_map(decide).collect()
    }

    pub(super) fn positions(&self) -> Vec<LogPosition> {
        let position = |((writer, incarnation), chain): (&(WriterId, u64), &Chain)| {
            let end = chain.log.as_ref().map_or(0, |log| log.end);
            let left = end.saturating_sub(1).saturating_sub(chain.flushed);
            LogPosition {
                writer: writer.clone(),
                incarnation: *incarnation,
                flushed_lsn: chain.flushed,
                left,
                is_unfinished: chain
                    .log
                    .as_ref()
                    .is_some_and(|log| left > 0 || !log.is_fenced),
            }
        };
        self.0.iter().map(position).collect()
    }

    pub(super) fn get(&self, stretch: &Stretch) -> Option<&Chain> {
        self.0.get(&(stretch.writer.clone(), stretch.incarnation))
    }
}

impl Chain {
    fn last(&self) -> u64 {
        self.positions.last().copied().unwrap_or(0)
    }

    pub(super) fn flushed(&self) -> u64 {
        self.flushed
    }

    /// Whether the catalog was at a position within the stretch, so that this was no commit.
    pub(super) fn is_crossed_by(&self, stretch: &Stretch) -> bool {
        let mut within = self
            .positions
            .range(stretch.from..stretch.to.max(stretch.from));
        within.next().is_some()
    }

    fn decide(&mut self, writer: &WriterId, incarnation: u64) -> Vec<Conflict> {
        let last = self.last();
        let from = last.saturating_add(1);
        let reaching = |to: u64| self.attempts.range((from, to)..=(from, u64::MAX));
        let furthest = reaching(0).next_back().map(|(stretch, _)| stretch.1);
        let complete = reaching(0)
            .rev()
            .find(|(_, attempt)| attempt.missing() == 0);
        let taken = complete.map_or(last, |(stretch, _)| stretch.1);
        // Everything up to here was committed, in whatever blocks. A log on a writer's disk tells
        // nobody here.
        let demanded = match &self.log {
            Some(log) => log.first.saturating_sub(1),
            None if incarnation == 0 => 0,
            None => furthest.unwrap_or(0),
        };
        let flushed = taken.max(demanded);
        if flushed == taken {
            self.flushed = flushed;
            return self.shortage(writer, (incarnation, furthest));
        }
        // The log begins behind all that may be taken as committed.
        let earlier = self.attempts.iter();
        let earlier =
            earlier.filter(|((_, to), attempt)| *to >= demanded && attempt.missing() == 0);
        if let Some(to) = earlier.map(|((_, to), _)| *to).max() {
            self.flushed = to;
            return Vec::new();
        }
        let best = reaching(demanded).max_by_key(|(at, attempt)| (attempt.tenants.len(), at.1));
        let Some(((_, to), attempt)) = best else {
            self.flushed = flushed;
            return Vec::new();
        };
        let stretch = stretch(writer, incarnation, (from, *to));
        let missing = attempt.missing();
        self.flushed = *to;
        vec![Conflict::Incomplete { stretch, missing }]
    }

    /// Whether blocks that were not taken hold what the log does not.
    fn shortage(
        &self,
        writer: &WriterId,
        (incarnation, furthest): (u64, Option<u64>),
    ) -> Vec<Conflict> {
        let beyond = furthest.filter(|to| *to > self.flushed);
        match (&self.log, beyond) {
            (Some(log), Some(to)) if to >= log.end => vec![Conflict::Short {
                stretch: stretch(writer, incarnation, (self.last().saturating_add(1), to)),
                end: log.end,
            }],
            _ => Vec::new(),
        }
    }
}

impl Attempt {
    fn missing(&self) -> u32 {
        let there = u32::try_from(self.tenants.len()).unwrap_or(u32::MAX);
        self.siblings.saturating_sub(there)
    }
}

fn stretch(writer: &WriterId, incarnation: u64, (from, to): (u64, u64)) -> Stretch {
    Stretch {
        writer: writer.clone(),
        incarnation,
        from,
        to,
    }
}
