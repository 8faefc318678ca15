//! The catalog as services use it, in this process or in others.
//!
//! Owns retries: every command may be repeated without harm, so one whose answer was lost is sent
//! again until the client's patience ends. What it then cannot know, it says.

mod remote;
mod retry;

use std::sync::Arc;
use std::time::Duration;

use cairn_model::{BlockId, TenantId, TimeRange, WriterId};
use futures::future::BoxFuture;

use crate::node::Local;
use crate::{
    BlockMeta, Command, Error, Job, JobId, Registered, Registration, Reply, Shards, Snapshot,
    Status, Ticket, Tombstone,
};

use self::remote::Remote;
use self::retry::Retry;

pub use self::remote::{Connect, RemoteParts};
pub(crate) use self::remote::{never_sent, text};

/// How long a call is tried, unless asked otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// A handle on the catalog. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    source: Source,
    retry: Retry,
}

#[derive(Clone, Debug)]
enum Source {
    Local(Local),
    Remote(Arc<Remote>),
}

/// What became of one try of a command.
#[derive(Debug)]
pub(crate) enum Attempt {
    Done(Reply),
    Refused(crate::Refused),
    /// It did not happen and never will.
    NotDone(String),
    Unknown(String),
}

impl Client {
    /// A catalog whose nodes are in other processes.
    pub fn remote(parts: RemoteParts) -> Self {
        let retry = Retry::new(PATIENCE, parts.seed);
        Self {
            source: Source::Remote(Arc::new(Remote::new(parts))),
            retry,
        }
    }

    pub(crate) fn local(local: Local, seed: u64) -> Self {
        Self {
            source: Source::Local(local),
            retry: Retry::new(PATIENCE, seed),
        }
    }

    /// The same, with calls that give up after this time.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.retry.patience = patience;
        self
    }

    /// Carries a command out; returns once it can't be lost any more. Dropping the future does not
    /// take the command back.
    pub async fn apply(&self, command: Command) -> Result<Reply, Error> {
        let attempt = || -> BoxFuture<'_, _> {
            Box::pin(async {
                match &self.source {
                    Source::Local(local) => local.attempt(&command).await,
                    Source::Remote(remote) => remote.attempt(&command).await,
                }
            })
        };
        self.retry.apply(&command, attempt).await
    }

    /// What a query has to read. It holds everything that was acknowledged before the call. Take
    /// this first and the tails second.
    pub async fn snapshot(&self, tenant: &TenantId) -> Result<Snapshot, Error> {
        self.snapshot_within(tenant, TimeRange::ALL).await
    }

    /// The same without blocks that hold nothing of the range.
    pub async fn snapshot_within(
        &self,
        tenant: &TenantId,
        range: TimeRange,
    ) -> Result<Snapshot, Error> {
        let ask = || -> BoxFuture<'_, _> {
            Box::pin(async move {
                match &self.source {
                    Source::Local(local) => {
                        local.up_to_date().await?;
                        Ok(local.snapshot(tenant, range))
                    }
                    Source::Remote(remote) => remote.snapshot(tenant, range).await,
                }
            })
        };
        self.retry.ask(ask).await
    }

    /// Tombstones that are at least as old as this, oldest first.
    pub async fn expired(&self, before_unix_ms: i64) -> Result<Vec<Tombstone>, Error> {
        let ask = || -> BoxFuture<'_, _> {
            Box::pin(async move {
                match &self.source {
                    Source::Local(local) => {
                        local.up_to_date().await?;
                        Ok(local.frozen().expired(before_unix_ms))
                    }
                    Source::Remote(remote) => remote.expired(before_unix_ms).await,
                }
            })
        };
        self.retry.ask(ask).await
    }

    /// Everyone who has a block or a tombstone.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, Error> {
        let ask = || -> BoxFuture<'_, _> {
            Box::pin(async move {
                match &self.source {
                    Source::Local(local) => {
                        local.up_to_date().await?;
                        Ok(local.frozen().tenants())
                    }
                    Source::Remote(remote) => remote.tenants().await,
                }
            })
        };
        self.retry.ask(ask).await
    }

    /// What there is to do, oldest first.
    pub async fn jobs(&self) -> Result<Vec<Job>, Error> {
        let ask = || -> BoxFuture<'_, _> {
            Box::pin(async move {
                match &self.source {
                    Source::Local(local) => {
                        local.up_to_date().await?;
                        Ok(local.frozen().jobs().collect())
                    }
                    Source::Remote(remote) => remote.jobs().await,
                }
            })
        };
        self.retry.ask(ask).await
    }

    /// Who takes the writes of which shard. May be slightly old: an owner refuses what is not its.
    pub async fn shards(&self) -> Result<Arc<Shards>, Error> {
        let ask = || -> BoxFuture<'_, _> {
            Box::pin(async move {
                match &self.source {
                    Source::Local(local) => Ok(local.shards()),
                    Source::Remote(remote) => remote.shards().await,
                }
            })
        };
        self.retry.ask(ask).await
    }

    /// How the node asked and the catalog are.
    pub async fn status(&self) -> Result<Status, Error> {
        let ask = || -> BoxFuture<'_, _> {
            Box::pin(async move {
                match &self.source {
                    Source::Local(local) => Ok(local.status()),
                    Source::Remote(remote) => remote.status().await,
                }
            })
        };
        self.retry.ask(ask).await
    }
}

// === impl Client: commands ===

impl Client {
    /// Starts a new incarnation of a writer, which fences off all earlier ones.
    pub async fn register(&self, registration: Registration) -> Result<Registered, Error> {
        let Registration {
            writer,
            address,
            zone,
            log,
            ttl,
        } = registration;
        let command = Command::RegisterWriter {
            writer,
            address,
            zone,
            log,
            lease_until_unix_ms: millis(ttl),
        };
        match self.apply(command).await? {
            Reply::Registered {
                incarnation,
                flushed_lsn,
            } => Ok(Registered {
                incarnation,
                flushed_lsn,
            }),
            other => Err(odd(other)),
        }
    }

    /// The writer is well, and may acknowledge for this long from when the caller began to ask.
    pub async fn renew(
        &self,
        writer: &WriterId,
        incarnation: u64,
        ttl: Duration,
    ) -> Result<(), Error> {
        let command = Command::RenewLease {
            writer: writer.clone(),
            incarnation,
            until_unix_ms: millis(ttl),
        };
        self.apply(command).await.map(drop)
    }

    /// The log from `lsns.0` to `lsns.1`, both included, is in these blocks. A commit that happened
    /// before is no error.
    pub async fn commit(
        &self,
        writer: &WriterId,
        incarnation: u64,
        lsns: (u64, u64),
        blocks: Vec<BlockMeta>,
    ) -> Result<(), Error> {
        let command = Command::Commit {
            writer: writer.clone(),
            incarnation,
            lsn_from: lsns.0,
            lsn_to: lsns.1,
            blocks,
            at_unix_ms: 0,
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

    /// Swaps blocks; without outputs, deletes them. `compared` are all blocks over the same
    /// time, if somebody looked. A refusal with [`Code::Conflict`] means that an input is gone
    /// or such a block is new: plan anew.
    ///
    /// [`Code::Conflict`]: cairn_model::Code::Conflict
    pub async fn replace(
        &self,
        tenant: &TenantId,
        inputs: &[BlockId],
        outputs: Vec<BlockMeta>,
        compared: Option<Vec<BlockId>>,
    ) -> Result<(), Error> {
        let command = Command::Replace {
            tenant: tenant.clone(),
            inputs: inputs.to_vec(),
            outputs,
            at_unix_ms: 0,
            ticket: None,
            compared,
        };
        self.apply(command).await.map(drop)
    }

    /// Drops tombstones whose objects are deleted.
    pub async fn forget(&self, tenant: &TenantId, blocks: &[BlockId]) -> Result<(), Error> {
        let command = Command::Forget {
            tenant: tenant.clone(),
            blocks: blocks.to_vec(),
        };
        self.apply(command).await.map(drop)
    }

    /// Takes a job, unless somebody else has it. Claiming again makes earlier tickets void.
    pub async fn claim(&self, job: JobId, worker: &str, ttl: Duration) -> Result<Ticket, Error> {
        let command = Command::Claim {
            job,
            worker: worker.to_owned(),
            at_unix_ms: 0,
            until_unix_ms: millis(ttl),
        };
        match self.apply(command).await? {
            Reply::Claimed { token } => Ok(Ticket { job, token }),
            other => Err(odd(other)),
        }
    }

    /// Keeps a job for this long from now.
    pub async fn extend(&self, ticket: Ticket, ttl: Duration) -> Result<(), Error> {
        let command = Command::Extend {
            ticket,
            until_unix_ms: millis(ttl),
        };
        self.apply(command).await.map(drop)
    }

    /// Gives a job up.
    pub async fn abandon(&self, ticket: Ticket) -> Result<(), Error> {
        self.apply(Command::Abandon { ticket }).await.map(drop)
    }

    /// The sealed log from `lsns.0` to `lsns.1`, both included, is in these blocks; `lsns.1` is one
    /// less than `lsns.0` if nothing was left. `is_last`: nothing comes after.
    pub async fn recover(
        &self,
        ticket: Ticket,
        lsns: (u64, u64),
        blocks: Vec<BlockMeta>,
        is_last: bool,
    ) -> Result<(), Error> {
        let command = Command::Recover {
            ticket,
            lsn_from: lsns.0,
            lsn_to: lsns.1,
            blocks,
            at_unix_ms: 0,
            is_last,
        };
        self.apply(command).await.map(drop)
    }
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

fn odd(reply: Reply) -> Error {
    Error::Remote {
        code: cairn_model::Code::Internal,
        message: format!("the catalog answered another command: {reply:?}"),
    }
}
