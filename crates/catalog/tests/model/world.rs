//! What there is besides the catalog, and what happens to it.

mod actions;
mod questions;
mod wander;

use std::collections::BTreeSet;

use cairn_catalog::{BlockMeta, Command, JobId, Log, Refused, Reply, State, Ticket, Work, apply};
use cairn_model::{BlockId, TenantId, TimeRange, WriterId};

use crate::Bounds;
use crate::query::{Query, Source};
use crate::store::{Segment, Store};

pub(crate) use wander::wander;

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
        let register = Command::RegisterWriter {
            writer: writer(),
            address: String::new(),
            zone: String::new(),
            log: Log::OnePerIncarnation,
            lease_until_unix_ms: LEASE_OVER,
        };
        // An answer that is lost is a process that crashes at once.
        let given = match apply(&mut self.catalog, register) {
            Ok(Reply::Registered { incarnation, .. }) => incarnation,
            other => panic!("{other:?}"),
        };
        assert_eq!(given, incarnation, "incarnations are numbered one by one");
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
                    compared: None,
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
