//! The catalog of one process: the state in memory, and the journal that makes it last.
//!
//! Commands that arrive while a sync runs share the next one. Answers are given after the sync,
//! and questions see only what is durable.

use std::path::Path;
use std::sync::Arc;

use cairn_model::{BlockId, TenantId, WriterId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use crate::journal::Journal;
use crate::{BlockMeta, Command, Error, Log, Reply, Snapshot, State, Tombstone, Writer, apply};

/// A handle on the catalog. Cheap to clone; the journal closes with the last one.
#[derive(Clone, Debug)]
pub struct Catalog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    waiting: Mutex<Vec<Waiting>>,
    ahead: Mutex<Ahead>,
    /// What is durable.
    state: RwLock<State>,
}

#[derive(Debug)]
struct Waiting {
    command: Command,
    answer: oneshot::Sender<Result<Reply, Error>>,
}

/// The state as it will be once the journal has it.
#[derive(Debug)]
struct Ahead {
    journal: Journal,
    state: State,
}

/// What a writer has to know at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    pub incarnation: u64,
    /// What follows in its log is not in blocks.
    pub flushed_lsn: u64,
}

impl Catalog {
    /// Opens or creates the catalog in a folder of its own. Blocks while it reads.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let (journal, state) = Journal::open(dir)?;
        Ok(Self(Arc::new(Inner {
            waiting: Mutex::new(Vec::new()),
            state: RwLock::new(state.clone()),
            ahead: Mutex::new(Ahead { journal, state }),
        })))
    }

    /// Carries one command out and answers once it is durable. Dropping the future does not take
    /// the command back. Must run inside a tokio runtime.
    pub async fn apply(&self, command: Command) -> Result<Reply, Error> {
        let (answer, answered) = oneshot::channel();
        self.0.waiting.lock().push(Waiting { command, answer });
        let inner = Arc::clone(&self.0);
        // Whichever of these gets the journal first takes every command that waits by then. Waiting
        // for one's own means that once all calls have returned, nothing holds the journal open.
        let worked = tokio::task::spawn_blocking(move || inner.work_off()).await;
        worked.map_err(|_| Error::Closed)?;
        answered.await.unwrap_or(Err(Error::Closed))
    }

    /// Starts a new incarnation of a writer, which fences off all earlier ones.
    pub async fn register(&self, writer: &WriterId, address: &str) -> Result<Registered, Error> {
        let known = self.writer(writer);
        let incarnation = known.map_or(0, |known| known.incarnation) + 1;
        let reply = self
            .apply(Command::RegisterWriter {
                writer: writer.clone(),
                incarnation,
                address: address.to_owned(),
                log: Log::Continued,
                lease_until_unix_ms: i64::MAX,
            })
            .await?;
        match reply {
            Reply::Registered { flushed_lsn } => Ok(Registered {
                incarnation,
                flushed_lsn,
            }),
            _ => unreachable!("registering answers with a position"),
        }
    }

    /// The log from `lsns.0` to `lsns.1`, both included, is in these blocks.
    pub async fn commit(
        &self,
        writer: &WriterId,
        incarnation: u64,
        lsns: (u64, u64),
        (blocks, at_unix_ms): (Vec<BlockMeta>, i64),
    ) -> Result<(), Error> {
        let command = Command::Commit {
            writer: writer.clone(),
            incarnation,
            lsn_from: lsns.0,
            lsn_to: lsns.1,
            blocks,
            at_unix_ms,
        };
        self.apply(command).await.map(drop)
    }

    /// Ends a writer that has flushed everything up to `lsn`, its last position.
    pub async fn close(&self, writer: &WriterId, incarnation: u64, lsn: u64) -> Result<(), Error> {
        let command = Command::Close {
            writer: writer.clone(),
            incarnation,
            lsn,
        };
        self.apply(command).await.map(drop)
    }

    /// Swaps blocks; without outputs, deletes them.
    pub async fn replace(
        &self,
        tenant: &TenantId,
        inputs: Vec<BlockId>,
        outputs: Vec<BlockMeta>,
        at_unix_ms: i64,
    ) -> Result<(), Error> {
        let command = Command::Replace {
            tenant: tenant.clone(),
            inputs,
            outputs,
            at_unix_ms,
            ticket: None,
        };
        self.apply(command).await.map(drop)
    }

    /// Drops tombstones whose objects are deleted.
    pub async fn forget(&self, tenant: &TenantId, blocks: Vec<BlockId>) -> Result<(), Error> {
        let tenant = tenant.clone();
        self.apply(Command::Forget { tenant, blocks })
            .await
            .map(drop)
    }

    /// What a query has to read. Take this first and the tails second.
    pub fn snapshot(&self, tenant: &TenantId) -> Snapshot {
        self.0.state.read().snapshot(tenant)
    }

    pub fn writer(&self, writer: &WriterId) -> Option<Writer> {
        self.0.state.read().writer(writer)
    }

    /// Tombstones that are at least as old as this, oldest first.
    pub fn expired(&self, before_unix_ms: i64) -> Vec<Tombstone> {
        self.0.state.read().expired(before_unix_ms)
    }

    pub fn tenants(&self) -> Vec<TenantId> {
        self.0.state.read().tenants()
    }
}

impl Inner {
    /// Makes every waiting command durable with one sync and answers them.
    fn work_off(&self) {
        let mut ahead = self.ahead.lock();
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let mut accepted = Vec::new();
        let mut answers = Vec::new();
        for Waiting { command, answer } in waiting {
            let result = apply(&mut ahead.state, command.clone());
            if result.is_ok() {
                accepted.push(command);
            }
            answers.push((answer, result));
        }
        // A refusal may rest on a command of this batch, so it waits for the sync too.
        if !accepted.is_empty()
            && let Err(error) = ahead.journal.append(&accepted)
        {
            ahead.state = self.state.read().clone();
            for (answer, _) in answers {
                drop(answer.send(Err(error.clone().into())));
            }
            return;
        }
        let rewrite = !accepted.is_empty();
        let mut state = self.state.write();
        for command in accepted {
            apply(&mut state, command).expect("what one copy accepted, its equal accepts");
        }
        drop(state);
        for (answer, result) in answers {
            drop(answer.send(result.map_err(Error::from)));
        }
        if rewrite {
            let Ahead { journal, state } = &mut *ahead;
            journal.rewrite_if_large(state);
        }
    }
}

#[cfg(test)]
mod tests;
