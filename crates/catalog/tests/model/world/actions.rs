//! What may happen next.

use cairn_catalog::Work;

use super::{Action, Bug, PUTS_MAX, Process, World, number, tenant};
use crate::Bounds;

impl World {
    /// All that may happen next.
    pub(crate) fn actions(&self, bounds: Bounds, out: &mut Vec<Action>) {
        if (self.processes.len() as u64) < bounds.incarnations {
            out.push(Action::Start);
        }
        for (at, process) in self.processes.iter().enumerate() {
            self.actions_of(bounds, at, process, out);
        }
        for (incarnation, lsn, row) in &self.puts {
            if !self.store.segments.contains_key(&(*incarnation, *lsn)) {
                out.push(Action::Deliver(*incarnation, *lsn, *row));
            }
        }
        out.extend((0..self.commands.len()).map(Action::Apply));
        self.actions_of_jobs(bounds, out);
        self.actions_on_objects(bounds, out);
        match &self.query {
            None if self.queries < bounds.queries => out.push(Action::Ask),
            None => {}
            Some(query) if query.is_done() => out.push(Action::Answer),
            Some(query) => {
                out.extend(query.sources.iter().map(|source| Action::Read(*source)));
                if query.is_blind {
                    out.push(Action::Look);
                }
            }
        }
    }

    fn actions_of(&self, bounds: Bounds, at: usize, process: &Process, out: &mut Vec<Action>) {
        let incarnation = at as u64 + 1;
        let is_open = self.is_open(incarnation);
        if process.is_leased {
            out.push(Action::LeaseEnds(at));
        } else if is_open {
            out.push(Action::Seal(incarnation));
        }
        if !process.is_alive {
            return;
        }
        out.push(Action::Crash(at));
        let under_way = process.sent.len() - process.durable as usize;
        if !process.is_fenced && under_way < PUTS_MAX && self.next_row < bounds.rows {
            out.push(Action::Write(at));
        }
        for lsn in process.durable + 1..=process.sent.len() as u64 {
            let is_there = self.store.segments.contains_key(&(incarnation, lsn));
            if is_there && !process.put.contains(&lsn) && !process.is_fenced {
                out.push(Action::Learn(at, lsn));
            }
        }
        if process.flushing < process.durable && self.next_block <= bounds.blocks {
            out.push(Action::Flush(at));
        }
    }

    fn actions_of_jobs(&self, bounds: Bounds, out: &mut Vec<Action>) {
        let live = self.catalog.snapshot(&tenant()).blocks.len();
        let has_room = self.next_block <= bounds.blocks;
        if live > 1
            && has_room
            && self
                .catalog
                .jobs()
                .all(|job| matches!(job.work, Work::Recover { .. }))
        {
            out.push(Action::Offer);
        }
        for job in self.catalog.jobs() {
            let claims = self
                .workers
                .iter()
                .filter(|worker| worker.ticket.job == job.id);
            if claims.count() < 2 {
                out.push(Action::Claim(job.id));
            }
        }
        for (at, worker) in self.workers.iter().enumerate() {
            match self.work_of(worker.ticket.job) {
                Some(Work::Recover { .. }) if !worker.has_fenced && !worker.is_done => {
                    out.push(Action::Fence(at));
                }
                Some(_) if has_room && !worker.is_done => out.push(Action::Work(at)),
                _ => {}
            }
        }
    }

    fn actions_on_objects(&self, bounds: Bounds, out: &mut Vec<Action>) {
        let is_idle = self.query.is_none() || bounds.bug == Some(Bug::DeleteAtOnce);
        for tombstone in self.catalog.expired(i64::MAX).iter().filter(|_| is_idle) {
            out.push(Action::Delete(number(tombstone.block.id)));
        }
        for block in self.store.blocks.keys() {
            let is_aged = self.store.aged.contains(block);
            if !self.is_known(*block) {
                if !is_aged {
                    out.push(Action::Age(*block));
                }
                if is_aged || bounds.bug == Some(Bug::SweepTheYoung) {
                    out.push(Action::Sweep(*block));
                }
            }
        }
        for (at, process) in self.processes.iter().enumerate() {
            let incarnation = at as u64 + 1;
            let is_sealed = self.sealed(incarnation).is_some();
            let may_drop = bounds.bug == Some(Bug::DropSealedLogs) || !is_sealed;
            let is_read = self
                .query
                .as_ref()
                .is_some_and(|query| query.reads_log(incarnation));
            let is_there = self.store.segments.keys().any(|(of, _)| *of == incarnation);
            // A day after sealing, leases and queries are over.
            if !self.is_open(incarnation) && may_drop && !is_read && !process.is_leased && is_there
            {
                out.push(Action::DropLog(incarnation));
            }
        }
    }
}
