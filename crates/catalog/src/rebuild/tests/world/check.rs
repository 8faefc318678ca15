//! What must hold of a plan, whenever it is made.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, LogKey, Rules, Segments, World, writer_id};
use crate::BlockMeta;
use crate::rebuild::{Conflict, Dead, Found, FoundLog, Plan, plan};

impl World {
    /// What the bucket alone says.
    pub(super) fn plan(&self) -> Plan {
        let found = self.bucket.values().map(|object| Found {
            meta: object.meta.clone(),
            origins: object.origins.clone(),
            unknown: Vec::new(),
            siblings: object.siblings,
        });
        let logs = self
            .logs
            .iter()
            .filter(|(key, log)| key.1 > 0 && log.is_there());
        let logs = logs.map(|(key, log)| FoundLog {
            writer: writer_id(key.0),
            incarnation: key.1,
            first: log.segments.keys().next().copied().unwrap_or(log.end),
            end: log.end,
            is_fenced: log.is_fenced,
        });
        plan(found.collect(), &logs.collect::<Vec<_>>())
    }

    pub(in super::super) fn check(&mut self) -> Result<(), String> {
        let plan = self.plan();
        self.seen.checks += 1;
        self.seen.conflicts += plan.conflicts.len();
        if plan.live.len() + plan.dead.len() != self.bucket.len() {
            return Err("a block is neither live nor dead, or both".to_owned());
        }
        let mut there: BTreeMap<Entry, usize> = BTreeMap::new();
        for block in &plan.live {
            for entry in &self.bucket[&block.id].entries {
                *there.entry(*entry).or_default() += 1;
            }
        }
        for entry in self.in_logs(&plan) {
            *there.entry(entry).or_default() += 1;
        }
        let Rules {
            is_retiring,
            has_survivors,
        } = self.rules;
        let may_lose = (is_retiring || has_survivors) && !plan.conflicts.is_empty();
        for (entry, pushed) in &self.pushed {
            let times = there.get(entry).copied().unwrap_or(0);
            let is_due = pushed.is_acknowledged && pushed.tenant.is_some() && !pushed.is_retired;
            let is_lost = times == 0 && is_due && !may_lose;
            if times > 1 && pushed.tenant.is_some() || is_lost {
                let what = format!("entry {entry:?} ({pushed:?}) is there {times} times");
                return Err(format!("{what}\n{}", self.listing(&plan)));
            }
        }
        self.compare(&plan);
        let left_out = |conflict: &Conflict| matches!(conflict, Conflict::LeftOut { .. });
        if !is_retiring && !has_survivors && plan.conflicts.iter().any(left_out) {
            return Err(format!("{:?}\n{}", plan.conflicts, self.listing(&plan)));
        }
        Ok(())
    }

    /// For whoever looks for a mistake.
    fn listing(&self, plan: &Plan) -> String {
        let block = |meta: &BlockMeta, fate: &str| {
            let object = &self.bucket[&meta.id];
            let stretches = object.origins.iter();
            let stretches =
                stretches.map(|s| format!(" {}/{} {}-{}", s.writer, s.incarnation, s.from, s.to));
            let stretches: String = stretches.collect();
            let (id, siblings) = (meta.id.unix_ms(), object.siblings);
            format!(
                "{id} {} level {} of {siblings}:{stretches}: {fate}\n",
                meta.tenant, meta.level
            )
        };
        let live = plan.live.iter().map(|meta| block(meta, "live"));
        let dead = plan
            .dead
            .iter()
            .map(|(meta, why)| block(meta, &format!("{why:?}")));
        let text: String = live.chain(dead).collect();
        format!(
            "{text}{:#?}\n{:#?}\n{:?}",
            plan.logs,
            self.logs,
            self.flushed()
        )
    }

    /// Entries that will be read from logs.
    fn in_logs(&self, plan: &Plan) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (key, log) in &self.logs {
            let is_it =
                |writer: &_, incarnation| *writer == writer_id(key.0) && incarnation == key.1;
            let position = plan.logs.iter().find(|p| is_it(&p.writer, p.incarnation));
            let is_read = position.is_none_or(|p| key.1 == 0 || p.is_unfinished);
            let flushed = position.map_or(0, |position| position.flushed_lsn);
            if key.1 > 0 && position.is_none() {
                continue;
            }
            for (first, count) in log.segments.iter().filter(|_| is_read) {
                let left = (*first..first + count).filter(|lsn| *lsn > flushed);
                entries.extend(left.map(|lsn| (*key, lsn)));
            }
        }
        entries
    }

    /// How the plan differs from what was true.
    fn compare(&mut self, plan: &Plan) {
        let flushed: BTreeMap<LogKey, u64> = self.flushed();
        let ahead = plan.logs.iter().any(|position| {
            let known = flushed.iter().find(|(key, _)| {
                writer_id(key.0) == position.writer && key.1 == position.incarnation
            });
            known.is_some_and(|(_, known)| position.flushed_lsn > *known)
        });
        self.seen.taken_as_committed += usize::from(ahead);
        let dead: BTreeSet<Dead> = plan.dead.iter().map(|(_, why)| *why).collect();
        assert!(!dead.contains(&Dead::Lost) || !plan.conflicts.is_empty());
    }
}

impl Segments {
    /// Whether the bucket has any object of it.
    fn is_there(&self) -> bool {
        !self.is_deleted && (self.is_fenced || !self.segments.is_empty())
    }
}
