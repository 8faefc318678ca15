//! What there is besides the catalog, and what may happen next.

use std::collections::BTreeSet;

use cairn_catalog::{
    BlockMeta, Command, JobId, Log, Refused, Reply, State, Ticket, Work, WriterId, apply,
};
use cairn_model::{BlockId, TenantId, TimeRange};

use crate::Bounds;
use crate::query::{Query, Source};
use crate::store::{Segment, Store};

/// A row is known by its number; every row is sent once.
pub(crate) type Row = u8;

/// What happens if somebody forgets something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bug {
    /// A row is acknowledged when it is on its way to the store.
    AckBeforePut,
    /// Whether the lease still holds is not looked at after a put.
    AckWithoutLease,
    /// A row is acknowledged although one before it is not durable.
    AckOutOfOrder,
    /// A recovery reads the log without fencing it first.
    NoFence,
    /// Objects of replaced blocks are deleted while queries may read them.
    DeleteAtOnce,
    /// Objects that nothing refers to are deleted however young they are.
    SweepTheYoung,
    /// A log is deleted when it is sealed, not when it is recovered.
    DropSealedLogs,
    /// A query reads tails before it asks the catalog for blocks.
    TailsFirst,
}

impl Bug {
    pub(crate) const ALL: [Self; 8] = [
        Self::AckBeforePut,
        Self::AckWithoutLease,
        Self::AckOutOfOrder,
        Self::NoFence,
        Self::DeleteAtOnce,
        Self::SweepTheYoung,
        Self::DropSealedLogs,
        Self::TailsFirst,
    ];
}

/// One incarnation of the writer, as a process; number `n` of them is incarnation `n + 1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Process {
    is_alive: bool,
    /// By its own clock. The catalog waits longer than that before it seals.
    is_leased: bool,
    /// It met a fence, and takes nothing any more.
    is_fenced: bool,
    /// Rows that it sent to the store, by position of the log.
    sent: Vec<Row>,
    /// Positions of which it knows that the store has them.
    put: BTreeSet<u64>,
    /// Everything up to here is durable, and in the tail.
    durable: u64,
    /// Everything up to here is in blocks or on its way.
    flushing: u64,
}

/// Whoever does jobs: it holds a ticket, for as long as nobody else claims the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Worker {
    ticket: Ticket,
    has_fenced: bool,
    is_done: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    catalog: State,
    store: Store,
    processes: Vec<Process>,
    workers: Vec<Worker>,
    /// Puts of log segments that may reach the store now, later, again, or never.
    puts: BTreeSet<(u64, u64, Row)>,
    /// Commands that may reach the catalog now, later, again, or never.
    commands: Vec<Command>,
    acked: BTreeSet<Row>,
    next_row: Row,
    next_block: u64,
    query: Option<Query>,
    queries: u8,
    pub(crate) is_query_wrong: bool,
    pub(crate) is_query_full: bool,
    pub(crate) is_compacted: bool,
    pub(crate) is_fenced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A new incarnation starts, whether the one before is dead or not.
    Start,
    Crash(usize),
    LeaseEnds(usize),
    /// The catalog finds a lease over.
    Seal(u64),
    /// A client sends a row.
    Write(usize),
    /// A put reaches the store.
    Deliver(u64, u64, Row),
    /// The answer of the store comes, or the process reads back what is there.
    Learn(usize, u64),
    Flush(usize),
    /// A command reaches the catalog.
    Apply(usize),
    Offer,
    Claim(JobId),
    Fence(usize),
    Work(usize),
    Age(u64),
    Delete(u64),
    Sweep(u64),
    DropLog(u64),
    Ask,
    Look,
    Read(Source),
    Answer,
}

/// The time of everything that is not late.
const NOW: i64 = 0;
/// When a block that was written at [`NOW`] is too old to be committed.
const LATER: i64 = 13 * 60 * 60 * 1000;
const LEASE_OVER: i64 = 1;
/// Puts that a process has under way at once.
const PUTS_MAX: usize = 2;

pub(crate) fn tenant() -> TenantId {
    TenantId::anonymous()
}

fn writer() -> WriterId {
    WriterId::parse("w").expect("valid")
}

fn id(number: u64) -> BlockId {
    BlockId::new(number, 0)
}

pub(crate) fn number(id: BlockId) -> u64 {
    id.unix_ms()
}

impl World {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let mut world = Self {
            catalog: State::default(),
            store: Store::default(),
            processes: Vec::new(),
            workers: Vec::new(),
            puts: BTreeSet::new(),
            commands: Vec::new(),
            acked: BTreeSet::new(),
            next_row: 0,
            next_block: 1,
            query: None,
            queries: 0,
            is_query_wrong: false,
            is_query_full: false,
            is_compacted: false,
            is_fenced: false,
        };
        world.step(bounds, Action::Start);
        world
    }

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

    pub(crate) fn step(&mut self, bounds: Bounds, action: Action) {
        match action {
            Action::Start => self.start(),
            Action::Crash(at) => self.processes[at].is_alive = false,
            Action::LeaseEnds(at) => self.processes[at].is_leased = false,
            Action::Seal(incarnation) => self.tell(Command::Seal {
                writer: writer(),
                incarnation,
                at_unix_ms: LEASE_OVER,
            }),
            Action::Write(at) => self.write(bounds, at),
            Action::Deliver(incarnation, lsn, row) => {
                self.store.put(incarnation, lsn, Segment::Row(row));
            }
            Action::Learn(at, lsn) => self.learn(bounds, at, lsn),
            Action::Flush(at) => self.flush(at),
            Action::Apply(at) => self.tell(self.commands[at].clone()),
            Action::Offer => self.offer(),
            Action::Claim(job) => self.claim(job),
            Action::Fence(at) => self.fence(bounds, at),
            Action::Work(at) => self.work(at),
            Action::Age(block) => drop(self.store.aged.insert(block)),
            Action::Delete(block) => {
                self.store.blocks.remove(&block);
                self.is_compacted = true;
                let blocks = vec![id(block)];
                let tenant = tenant();
                self.tell(Command::Forget { tenant, blocks });
            }
            Action::Sweep(block) => drop(self.store.blocks.remove(&block)),
            Action::DropLog(incarnation) => {
                self.store.segments.retain(|(of, _), _| *of != incarnation);
            }
            Action::Ask => {
                let tails_first = bounds.bug == Some(Bug::TailsFirst);
                self.queries += 1;
                self.query = Some(Query::begin(&self.catalog, self.acked.clone(), tails_first));
            }
            Action::Look => {
                if let Some(query) = &mut self.query {
                    query.look(&self.catalog);
                }
            }
            Action::Read(source) => self.read(source),
            Action::Answer => {
                if let Some(query) = self.query.take() {
                    self.is_query_wrong |= query.is_wrong();
                    self.is_query_full |= query.found() == usize::from(bounds.rows);
                }
            }
        }
    }

    /// A command arrives. Blocks that have become too old on the way are refused by their age.
    fn tell(&mut self, mut command: Command) {
        let is_late = |blocks: &[BlockMeta]| {
            let mut blocks = blocks.iter().map(|block| number(block.id));
            blocks.any(|block| self.store.aged.contains(&block))
        };
        match &mut command {
            Command::Commit {
                blocks, at_unix_ms, ..
            }
            | Command::Recover {
                blocks, at_unix_ms, ..
            }
            | Command::Replace {
                outputs: blocks,
                at_unix_ms,
                ..
            } => {
                *at_unix_ms = if is_late(blocks) { LATER } else { NOW };
            }
            _ => {}
        }
        let is_commit = matches!(command, Command::Commit { .. });
        if let Err(refused) = apply(&mut self.catalog, command) {
            self.is_fenced |=
                is_commit && matches!(refused, Refused::Fenced { .. } | Refused::Sealed(_));
        }
    }

    fn start(&mut self) {
        let incarnation = self.processes.len() as u64 + 1;
        self.tell(Command::RegisterWriter {
            writer: writer(),
            incarnation,
            address: String::new(),
            log: Log::OnePerIncarnation,
            lease_until_unix_ms: LEASE_OVER,
        });
        self.processes.push(Process {
            is_alive: true,
            is_leased: true,
            ..Process::default()
        });
    }

    fn write(&mut self, bounds: Bounds, at: usize) {
        let process = &mut self.processes[at];
        process.sent.push(self.next_row);
        let put = (at as u64 + 1, process.sent.len() as u64, self.next_row);
        if bounds.bug == Some(Bug::AckBeforePut) {
            self.acked.insert(self.next_row);
        }
        self.puts.insert(put);
        self.next_row += 1;
    }

    /// Create-only: what is there is the process' own row, or a fence.
    fn learn(&mut self, bounds: Bounds, at: usize, lsn: u64) {
        let process = &mut self.processes[at];
        let segment = self.store.segments.get(&(at as u64 + 1, lsn));
        if segment == Some(&Segment::Fence) {
            process.is_fenced = true;
            self.is_fenced = true;
            return;
        }
        process.put.insert(lsn);
        let mut acked = Vec::new();
        if bounds.bug == Some(Bug::AckOutOfOrder) {
            acked.push(lsn);
        }
        while process.put.remove(&(process.durable + 1)) {
            process.durable += 1;
            acked.push(process.durable);
        }
        if process.is_leased || bounds.bug == Some(Bug::AckWithoutLease) {
            let rows = acked.into_iter().map(|lsn| process.sent[lsn as usize - 1]);
            self.acked.extend(rows);
        }
    }

    fn flush(&mut self, at: usize) {
        let incarnation = at as u64 + 1;
        let known = self.catalog.writer(&writer());
        let known = known.filter(|known| known.incarnation == incarnation);
        let process = &self.processes[at];
        // What it heard from the catalog last.
        let flushed = known.map_or(process.flushing, |known| known.flushed_lsn);
        let (from, to) = (flushed + 1, process.durable);
        if from > to {
            self.processes[at].flushing = to;
            return;
        }
        let rows = process.sent[flushed as usize..to as usize].to_vec();
        let blocks = vec![self.create(rows)];
        self.processes[at].flushing = to;
        self.commands.push(Command::Commit {
            writer: writer(),
            incarnation,
            lsn_from: from,
            lsn_to: to,
            blocks,
            at_unix_ms: NOW,
        });
    }

    fn create(&mut self, rows: Vec<Row>) -> BlockMeta {
        let meta = BlockMeta {
            id: id(self.next_block),
            tenant: tenant(),
            level: 0,
            range: TimeRange { start: 0, end: 0 },
            bytes: 0,
            rows: rows.len() as u64,
            profiles: 0,
            created_unix_ms: NOW,
        };
        self.store.blocks.insert(self.next_block, rows);
        self.next_block += 1;
        meta
    }

    fn offer(&mut self) {
        let live = self.catalog.snapshot(&tenant()).blocks;
        let inputs = live.iter().take(2).map(|block| block.id).collect();
        let tenant = tenant();
        let work = Work::Merge { tenant, inputs };
        self.tell(Command::Offer { work });
    }

    /// Every claim is somebody else's, who thinks that the one before is dead.
    fn claim(&mut self, job: JobId) {
        let claim = Command::Claim {
            job,
            worker: self.workers.len().to_string(),
            at_unix_ms: LEASE_OVER,
            until_unix_ms: LEASE_OVER,
        };
        if let Ok(Reply::Claimed { token }) = apply(&mut self.catalog, claim) {
            self.workers.push(Worker {
                ticket: Ticket { job, token },
                has_fenced: false,
                is_done: false,
            });
        }
    }

    fn fence(&mut self, bounds: Bounds, at: usize) {
        if let Some(Work::Recover { incarnation, .. }) = self.work_of(self.workers[at].ticket.job)
            && let Some(flushed) = self.sealed(incarnation)
            && bounds.bug != Some(Bug::NoFence)
        {
            self.store.fence(incarnation, flushed);
        }
        self.workers[at].has_fenced = true;
    }

    fn work(&mut self, at: usize) {
        let ticket = self.workers[at].ticket;
        self.workers[at].is_done = true;
        match self.work_of(ticket.job) {
            Some(Work::Recover { incarnation, .. }) => {
                let Some(flushed) = self.sealed(incarnation) else {
                    return;
                };
                let rows = self.store.rows_after(incarnation, flushed);
                let lsn_to = flushed + rows.len() as u64;
                let blocks = if rows.is_empty() {
                    Vec::new()
                } else {
                    vec![self.create(rows)]
                };
                self.commands.push(Command::Recover {
                    ticket,
                    lsn_from: flushed + 1,
                    lsn_to,
                    blocks,
                    at_unix_ms: NOW,
                    is_last: true,
                });
            }
            Some(Work::Merge { tenant, inputs }) => {
                let rows = inputs
                    .iter()
                    .map(|input| self.store.blocks.get(&number(*input)));
                let Some(rows) = rows.collect::<Option<Vec<_>>>() else {
                    return;
                };
                let rows = rows.into_iter().flatten().copied().collect();
                let output = BlockMeta {
                    level: 1,
                    ..self.create(rows)
                };
                self.commands.push(Command::Replace {
                    tenant,
                    inputs,
                    outputs: vec![output],
                    at_unix_ms: NOW,
                    ticket: Some(ticket),
                });
            }
            Some(Work::Sweep) | None => {}
        }
    }

    fn read(&mut self, source: Source) {
        let tail = match source {
            Source::Tail(incarnation, _) => {
                let process = &self.processes[incarnation as usize - 1];
                let rows = &process.sent[..process.durable as usize];
                process.is_alive.then_some(rows)
            }
            Source::Block(_) | Source::Log(..) => None,
        };
        if let Some(query) = &mut self.query {
            query.read(source, &self.store, tail);
        }
    }
}

// === impl World: questions ===

impl World {
    fn is_open(&self, incarnation: u64) -> bool {
        let open = self.catalog.snapshot(&tenant()).writers;
        open.iter().any(|writer| writer.incarnation == incarnation)
    }

    /// How far the log of a sealed incarnation is in blocks.
    fn sealed(&self, incarnation: u64) -> Option<u64> {
        let sealed = self.catalog.sealed();
        let found = sealed
            .iter()
            .find(|writer| writer.incarnation == incarnation);
        found.map(|writer| writer.flushed_lsn)
    }

    fn work_of(&self, job: JobId) -> Option<Work> {
        self.catalog
            .jobs()
            .find(|found| found.id == job)
            .map(|job| job.work)
    }

    fn is_known(&self, block: u64) -> bool {
        let live = self.catalog.snapshot(&tenant()).blocks;
        let dead = self.catalog.expired(i64::MAX);
        let dead = dead.iter().map(|tombstone| tombstone.block.id);
        live.iter()
            .map(|block| block.id)
            .chain(dead)
            .any(|known| known == id(block))
    }

    /// Every row that is in a live block, or in a log where somebody will look for it; as often as
    /// it is there.
    fn kept(&self) -> Vec<Row> {
        let live = self.catalog.snapshot(&tenant());
        let blocks = live.blocks.iter();
        let blocks = blocks.filter_map(|block| self.store.blocks.get(&number(block.id)));
        let sealed = self.catalog.sealed();
        let logs = live.writers.iter().chain(&sealed);
        let logs = logs.flat_map(|w| self.store.rows_after(w.incarnation, w.flushed_lsn));
        let mut kept: Vec<Row> = blocks.flatten().copied().chain(logs).collect();
        kept.sort_unstable();
        kept
    }

    /// Acknowledged, and nowhere to be found.
    pub(crate) fn lost(&self) -> Vec<Row> {
        let kept = self.kept();
        let lost = self.acked.iter().filter(|row| !kept.contains(row));
        lost.copied().collect()
    }

    pub(crate) fn doubled(&self) -> Vec<Row> {
        let kept = self.kept();
        let twice = kept.windows(2).filter(|pair| pair[0] == pair[1]);
        twice.map(|pair| pair[0]).collect()
    }

    pub(crate) fn is_recovered(&self) -> bool {
        let mut recoveries = self.commands.iter().filter_map(|command| match command {
            Command::Recover { blocks, .. } => blocks.first(),
            _ => None,
        });
        recoveries.any(|block| self.is_known(number(block.id)))
    }

    fn violation(&self) -> Option<String> {
        let (lost, doubled) = (self.lost(), self.doubled());
        if !lost.is_empty() {
            return Some(format!("lost {lost:?}"));
        }
        if !doubled.is_empty() {
            return Some(format!("twice {doubled:?}"));
        }
        self.is_query_wrong
            .then(|| "a query was answered wrongly".to_owned())
    }
}

/// What random histories came across.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) violation: Option<String>,
    pub(crate) recovered: usize,
    pub(crate) compacted: usize,
    pub(crate) queried: usize,
    pub(crate) fenced: usize,
}

/// Draws histories of so many steps, until one violates something.
pub(crate) fn wander(bounds: Bounds, histories: u64, steps: usize) -> Seen {
    let mut seen = Seen::default();
    for seed in 0..histories {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut world = World::new(bounds);
        let mut actions = Vec::new();
        for step in 0..steps {
            actions.clear();
            world.actions(bounds, &mut actions);
            if actions.is_empty() {
                break;
            }
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let action = actions.swap_remove((random >> 11) as usize % actions.len());
            let shown = format!("{action:?}");
            world.step(bounds, action);
            if let Some(violation) = world.violation() {
                seen.violation = Some(format!(
                    "{violation} after step {step} of history {seed}, {shown}"
                ));
                return seen;
            }
        }
        seen.recovered += usize::from(world.is_recovered());
        seen.compacted += usize::from(world.is_compacted);
        seen.queried += usize::from(world.is_query_full);
        seen.fenced += usize::from(world.is_fenced);
    }
    seen
}
