//! Writers and recoveries: entries into logs, logs into blocks.

use std::collections::BTreeMap;

use cairn_model::{BlockId, Stretch, WriterId};

use super::{LogKey, Object, Pushed, TENANTS, World, log_key, log_of, writer_id};
use crate::{BlockMeta, Command, JobId, Log, Refused, Reply, Ticket, Work, apply};

/// A run of a writer's program; it may be a zombie.
#[derive(Debug)]
pub(super) struct Process {
    writer: u8,
    incarnation: u64,
    flushed: u64,
    attempt: Option<Attempt>,
}

/// Somebody who puts a dead writer's log into blocks; others may be at it too.
#[derive(Debug)]
pub(super) struct Recovery {
    ticket: Ticket,
    log: LogKey,
    attempt: Option<Attempt>,
}

/// A stretch on its way into blocks.
#[derive(Debug)]
struct Attempt {
    stretch: Stretch,
    /// Of these tenants blocks are missing.
    missing: Vec<u8>,
    siblings: u32,
    blocks: Vec<BlockMeta>,
}

impl Process {
    pub(super) fn blocks(&self) -> impl Iterator<Item = BlockId> + '_ {
        self.attempt.iter().flat_map(Attempt::ids)
    }

    fn log(&self) -> LogKey {
        log_key(self.writer, self.incarnation)
    }
}

impl Recovery {
    pub(super) fn blocks(&self) -> impl Iterator<Item = BlockId> + '_ {
        self.attempt.iter().flat_map(Attempt::ids)
    }
}

impl Attempt {
    fn ids(&self) -> impl Iterator<Item = BlockId> + '_ {
        self.blocks.iter().map(|block| block.id)
    }
}

impl World {
    /// A new incarnation. An old one with a log in the bucket may live on.
    pub(super) fn start(&mut self, writer: u8) {
        let id = writer_id(writer);
        let registered = apply(&mut self.state, register(&id, log_of(writer)));
        let Ok(Reply::Registered {
            incarnation,
            flushed_lsn,
        }) = registered
        else {
            panic!("a new incarnation of {id} was refused: {registered:?}");
        };
        if log_of(writer) == Log::Continued || self.one_in(2) {
            self.processes.retain(|process| process.writer != writer);
        }
        self.processes.push(Process {
            writer,
            incarnation,
            flushed: flushed_lsn,
            attempt: None,
        });
    }

    pub(super) fn push(&mut self) {
        let Some(at) = self.pick(self.processes.len()) else {
            return;
        };
        let key = self.processes[at].log();
        let is_newest = self.is_newest(at);
        let count = 1 + self.draw(3);
        let log = self.logs.entry(key).or_insert_with(|| super::Segments {
            end: 1,
            ..super::Segments::default()
        });
        if log.is_fenced || log.is_deleted {
            return;
        }
        let first = log.end;
        log.segments.insert(first, count);
        log.end += count;
        for lsn in first..first + count {
            let tenant = (self.draw(10) as u8).checked_rem(TENANTS + 1);
            self.pushed.insert(
                (key, lsn),
                Pushed {
                    tenant: tenant.filter(|tenant| *tenant < TENANTS),
                    // A zombie has no lease any more.
                    is_acknowledged: is_newest,
                    is_retired: false,
                },
            );
        }
    }

    fn is_newest(&self, process: usize) -> bool {
        let Process {
            writer,
            incarnation,
            ..
        } = &self.processes[process];
        let known = self.state.writer(&writer_id(*writer));
        known.is_some_and(|known| known.incarnation == *incarnation)
    }

    /// A writer goes one step on with its blocks.
    pub(super) fn flush(&mut self) {
        let Some(at) = self.pick(self.processes.len()) else {
            return;
        };
        let (log, flushed) = (self.processes[at].log(), self.processes[at].flushed);
        let attempt = self.processes[at].attempt.take();
        let Some(attempt) = self.go_on(attempt, log, flushed) else {
            return;
        };
        if !attempt.missing.is_empty() || self.one_in(4) {
            self.processes[at].attempt = Some(attempt);
            return;
        }
        let Process {
            writer,
            incarnation,
            ..
        } = self.processes[at];
        let (from, to) = (attempt.stretch.from, attempt.stretch.to);
        let commit = Command::Commit {
            writer: writer_id(writer),
            incarnation,
            lsn_from: from,
            lsn_to: to,
            blocks: attempt.blocks,
            at_unix_ms: 0,
        };
        match apply(&mut self.state, commit) {
            Ok(_) => {
                self.processes[at].flushed = to;
                self.seen.commits += 1;
            }
            Err(_) => self.seen.refused_commits += 1,
        }
    }

    /// Writes one more block, or begins a stretch, perhaps again or with another cut.
    fn go_on(&mut self, attempt: Option<Attempt>, log: LogKey, flushed: u64) -> Option<Attempt> {
        let again = self.one_in(12);
        let Some(mut attempt) = attempt.filter(|_| !again) else {
            return self.begin(log, flushed);
        };
        if let Some(tenant) = attempt.missing.pop() {
            let Stretch { from, to, .. } = attempt.stretch;
            let of_tenant = self.pushed.range((log, from)..=(log, to));
            let of_tenant = of_tenant.filter(|(_, pushed)| pushed.tenant == Some(tenant));
            let entries = of_tenant.map(|(entry, _)| *entry).collect();
            let stretch = vec![attempt.stretch.clone()];
            let object = Object::new(stretch, attempt.siblings, entries);
            let meta = self.store((tenant, 0), object);
            attempt.blocks.push(meta);
        }
        Some(attempt)
    }

    fn begin(&mut self, log: LogKey, flushed: u64) -> Option<Attempt> {
        let end = self.logs.get(&log)?.end;
        let from = flushed + 1;
        let entries = end.checked_sub(from).filter(|entries| *entries > 0)?;
        let to = from + self.draw(entries);
        let mut missing: Vec<u8> = self
            .pushed
            .range((log, from)..=(log, to))
            .filter_map(|(_, pushed)| pushed.tenant)
            .collect();
        missing.sort_unstable();
        missing.dedup();
        Some(Attempt {
            stretch: Stretch {
                writer: writer_id(log.0),
                incarnation: log.1,
                from,
                to,
            },
            siblings: missing.len() as u32,
            missing,
            blocks: Vec::new(),
        })
    }

    /// A writer's lease is over.
    pub(super) fn seal(&mut self) {
        let writer = writer_id(1 + self.draw(u64::from(super::WRITERS) - 1) as u8);
        let Some(known) = self.state.writer(&writer) else {
            return;
        };
        let seal = Command::Seal {
            writer,
            incarnation: known.incarnation,
            at_unix_ms: i64::MAX,
        };
        // It may be sealed or closed already.
        let _ = apply(&mut self.state, seal);
    }

    /// Somebody takes a recovery over, maybe from somebody who is still at it, and fences the log.
    pub(super) fn claim(&mut self) {
        let recoveries = self.state.jobs().filter_map(|job| match job.work {
            Work::Recover {
                writer,
                incarnation,
            } => Some((job.id, writer, incarnation)),
            _ => None,
        });
        let recoveries: Vec<(JobId, WriterId, u64)> = recoveries.collect();
        let Some(at) = self.pick(recoveries.len()) else {
            return;
        };
        let (job, writer, incarnation) = recoveries[at].clone();
        let claim = Command::Claim {
            job,
            worker: "w".to_owned(),
            at_unix_ms: 0,
            until_unix_ms: 0,
        };
        let Ok(Reply::Claimed { token }) = apply(&mut self.state, claim) else {
            panic!("job {job:?} is there and free");
        };
        let number = (0..super::WRITERS).find(|number| writer_id(*number) == writer);
        let log = (number.expect("a known writer"), incarnation);
        let segments = self.logs.entry(log).or_insert_with(|| super::Segments {
            end: 1,
            ..super::Segments::default()
        });
        segments.is_fenced = true;
        self.recoveries.push(Recovery {
            ticket: Ticket { job, token },
            log,
            attempt: None,
        });
    }

    /// A recovery goes one step on.
    pub(super) fn recover(&mut self) {
        let Some(at) = self.pick(self.recoveries.len()) else {
            return;
        };
        let log = self.recoveries[at].log;
        let sealed = self.state.sealed();
        let of_log = |w: &&crate::Writer| w.id == writer_id(log.0) && w.incarnation == log.1;
        let Some(flushed) = sealed.iter().find(of_log).map(|w| w.flushed_lsn) else {
            self.recoveries.swap_remove(at);
            return;
        };
        let end = self.logs.get(&log).map_or(1, |log| log.end);
        let attempt = self.recoveries[at].attempt.take();
        let attempt = self.go_on(attempt, log, flushed);
        match attempt {
            Some(attempt) if !attempt.missing.is_empty() || self.one_in(4) => {
                self.recoveries[at].attempt = Some(attempt);
            }
            attempt => self.report(at, attempt, (flushed, end)),
        }
    }

    fn report(&mut self, at: usize, attempt: Option<Attempt>, (flushed, end): (u64, u64)) {
        let ((from, to), blocks) = match attempt {
            Some(attempt) => ((attempt.stretch.from, attempt.stretch.to), attempt.blocks),
            None => ((flushed + 1, flushed), Vec::new()),
        };
        let is_last = to + 1 >= end;
        let recover = Command::Recover {
            ticket: self.recoveries[at].ticket,
            lsn_from: from,
            lsn_to: to,
            blocks,
            at_unix_ms: 0,
            is_last,
        };
        match apply(&mut self.state, recover) {
            Ok(_) if is_last => self.seen.recovered_logs += 1,
            Ok(_) => self.seen.recovered_parts += 1,
            Err(Refused::NotYours(_) | Refused::NoJob(_)) => {
                self.recoveries.swap_remove(at);
            }
            Err(_) => self.seen.refused_commits += 1,
        }
    }

    /// Deletes the oldest part of a log, if it is in blocks.
    pub(super) fn truncate(&mut self) {
        let keys: Vec<LogKey> = self.logs.keys().copied().collect();
        let Some(key) = self.pick(keys.len()).map(|at| keys[at]) else {
            return;
        };
        let flushed = self.flushed();
        let Some(log) = self.logs.get_mut(&key) else {
            return;
        };
        // Nobody knows of a log that was begun for a catalog that was lost.
        let is_gone = !flushed.contains_key(&key) && log.is_fenced;
        let gone = if is_gone { u64::MAX } else { 0 };
        let flushed = flushed.get(&key).copied().unwrap_or(gone);
        match log.segments.first_key_value() {
            Some((first, count)) if first + count - 1 <= flushed => {
                log.segments.pop_first();
                self.seen.truncated += 1;
            }
            None if is_gone => {
                log.is_deleted = true;
            }
            _ => {}
        }
    }

    /// How far the logs are in blocks that may have something that is not.
    pub(super) fn flushed(&self) -> BTreeMap<LogKey, u64> {
        let mut flushed = BTreeMap::new();
        let sealed = self.state.sealed();
        for writer in 0..super::WRITERS {
            let id = writer_id(writer);
            for sealed in sealed.iter().filter(|sealed| sealed.id == id) {
                flushed.insert((writer, sealed.incarnation), sealed.flushed_lsn);
            }
            if let Some(known) = self.state.writer(&id) {
                let key = log_key(writer, known.incarnation);
                flushed.entry(key).or_insert(known.flushed_lsn);
            }
        }
        flushed
    }
}

fn register(id: &WriterId, log: Log) -> Command {
    Command::RegisterWriter {
        writer: id.clone(),
        address: String::new(),
        zone: String::new(),
        log,
        lease_until_unix_ms: 0,
    }
}
