//! The state machine: what is true, what may happen next, and nothing else.
//!
//! No I/O, no clock, no randomness: times and names come in with the command, so that every
//! replay of the same commands gives the same state.

mod blocks;
mod by_id;
mod command;
mod jobs;
mod shards;
mod tenants;
mod writers;

use std::sync::Arc;

use cairn_model::{TenantId, TimeRange, WriterId};
use serde::{Deserialize, Serialize};

use crate::{BlockMeta, Manifest, Writer};

use self::blocks::{Blocks, TenantBlocks};
use self::jobs::Jobs;
use self::tenants::Tenants;
use self::writers::{Place, Writers, advance};

pub use self::command::{Command, Refused, Reply};
pub use self::jobs::{Job, JobId, Ticket, Work};
pub use self::shards::{Owner, SHARDS, ShardMap};
pub use self::tenants::{Scope, Tenant, Token, TokenHash};
pub use self::writers::Log;

/// Everything the catalog knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    version: u64,
    writers: Writers,
    #[serde(rename = "tenants")]
    blocks: Blocks,
    jobs: Jobs,
    /// A catalog that was rebuilt has none of these.
    #[serde(default)]
    shards: Arc<ShardMap>,
    #[serde(default)]
    known_tenants: Arc<Tenants>,
}

/// What a query of one tenant has to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub version: u64,
    pub blocks: Vec<BlockMeta>,
    /// What is in none of the blocks is in their tails.
    pub writers: Vec<Writer>,
    /// Incarnations that are gone and not recovered yet: what is in none of the blocks is in their
    /// logs.
    pub sealed: Vec<Writer>,
}

/// A snapshot that shares its blocks with the state.
#[derive(Debug)]
pub(crate) struct Look {
    version: u64,
    blocks: Arc<TenantBlocks>,
    writers: Vec<Writer>,
    sealed: Vec<Writer>,
}

impl Look {
    /// Without blocks that hold nothing of the range.
    pub(crate) fn snapshot(self, range: TimeRange) -> Snapshot {
        Snapshot {
            version: self.version,
            blocks: self.blocks.live(range),
            writers: self.writers,
            sealed: self.sealed,
        }
    }
}

/// Carries a command out, or refuses it and changes nothing.
pub fn apply(state: &mut State, command: Command) -> Result<Reply, Refused> {
    let reply = state.apply(command)?;
    state.version += 1;
    Ok(reply)
}

impl State {
    #[expect(clippy::too_many_lines, reason = "one short arm per command")]
    fn apply(&mut self, command: Command) -> Result<Reply, Refused> {
        // Larger than every number given out before.
        let next = self.version + 1;
        match command {
            Command::RegisterWriter {
                writer,
                address,
                zone,
                log,
                lease_until_unix_ms,
            } => {
                let place = Place { address, zone };
                let registered = self
                    .writers
                    .register(&writer, place, lease_until_unix_ms, log)?;
                if let Some(work) = registered.recovery {
                    self.jobs.add(JobId(next), work);
                }
                Ok(Reply::Registered {
                    incarnation: registered.incarnation,
                    flushed_lsn: registered.flushed_lsn,
                })
            }
            Command::RenewLease {
                writer,
                incarnation,
                until_unix_ms,
            } => {
                let writer = self.writers.open(&writer, incarnation)?;
                writer.renew(until_unix_ms);
                Ok(Reply::Done)
            }
            Command::Commit {
                writer,
                incarnation,
                lsn_from,
                lsn_to,
                blocks,
                at_unix_ms,
            } => {
                let open = self.writers.open(&writer, incarnation)?;
                let flushed_lsn = open.flushed_lsn();
                let flushed = advance(&writer, *flushed_lsn, (lsn_from, lsn_to))?;
                self.blocks.check_new(&blocks, at_unix_ms)?;
                *flushed_lsn = flushed;
                self.blocks.insert(blocks);
                Ok(Reply::Done)
            }
            Command::Close {
                writer,
                incarnation,
                lsn,
            } => {
                self.writers.close(&writer, incarnation, lsn)?;
                Ok(Reply::Done)
            }
            Command::Seal {
                writer,
                incarnation,
                at_unix_ms,
            } => {
                self.writers.seal(&writer, incarnation, at_unix_ms)?;
                let work = Work::Recover {
                    writer,
                    incarnation,
                };
                self.jobs.add(JobId(next), work);
                Ok(Reply::Offered { job: JobId(next) })
            }
            Command::Recover {
                ticket,
                lsn_from,
                lsn_to,
                blocks,
                at_unix_ms,
                is_last,
            } => {
                let (writer, incarnation) = self.jobs.recovery(ticket)?;
                let before = self.writers.sealed(&writer, incarnation)?;
                let is_empty = is_last && (lsn_from, lsn_to) == (before + 1, before);
                let flushed = match is_empty && blocks.is_empty() {
                    true => before,
                    false => advance(&writer, before, (lsn_from, lsn_to))?,
                };
                self.blocks.check_new(&blocks, at_unix_ms)?;
                let flushed = (!is_last).then_some(flushed);
                self.writers.recover(&writer, incarnation, flushed);
                self.blocks.insert(blocks);
                if is_last {
                    self.jobs.finish(ticket.job);
                }
                Ok(Reply::Done)
            }
            Command::Replace {
                tenant,
                inputs,
                outputs,
                at_unix_ms,
                ticket,
                compared,
            } => {
                let about = (at_unix_ms, ticket, compared);
                self.replace(&tenant, &inputs, outputs, about)
            }
            Command::Spill {
                tenant,
                manifest,
                blocks,
                at_unix_ms,
            } => {
                // The answer to the first try may have been lost.
                if self.blocks.is_spilled(&tenant, &manifest) {
                    return Ok(Reply::Done);
                }
                self.jobs.check_free(&tenant, &blocks)?;
                self.blocks.spill(&tenant, manifest, &blocks, at_unix_ms)?;
                Ok(Reply::Done)
            }
            Command::Forget { tenant, blocks } => {
                self.blocks.forget(&tenant, &blocks)?;
                Ok(Reply::Done)
            }
            Command::Offer { work } => self.offer(JobId(next), work),
            Command::Claim {
                job,
                worker,
                at_unix_ms,
                until_unix_ms,
            } => {
                let lease = (at_unix_ms, until_unix_ms);
                self.jobs.claim(job, worker, lease, next)?;
                Ok(Reply::Claimed { token: next })
            }
            Command::Extend {
                ticket,
                until_unix_ms,
            } => {
                self.jobs.extend(ticket, until_unix_ms)?;
                Ok(Reply::Done)
            }
            Command::Abandon { ticket } => {
                self.jobs.abandon(ticket)?;
                Ok(Reply::Done)
            }
            Command::Assign { epoch, moves } => {
                let writers = &self.writers;
                Arc::make_mut(&mut self.shards)
                    .assign(epoch, moves, |writer| writers.is_open(writer))?;
                let epoch = self.shards.epoch();
                Ok(Reply::Assigned { epoch })
            }
            Command::PutTenant { tenant, settings } => {
                Arc::make_mut(&mut self.known_tenants).put(tenant, settings);
                Ok(Reply::Done)
            }
            Command::PutToken { hash, token } => {
                Arc::make_mut(&mut self.known_tenants).put_token(hash, token)?;
                Ok(Reply::Done)
            }
            Command::Restore { state } => {
                if self.version != 0 {
                    let version = self.version;
                    return Err(Refused::NotEmpty { version });
                }
                *self = *state;
                Ok(Reply::Done)
            }
            Command::RevokeToken { hash } => {
                Arc::make_mut(&mut self.known_tenants).revoke(&hash);
                Ok(Reply::Done)
            }
        }
    }

    fn replace(
        &mut self,
        tenant: &TenantId,
        inputs: &[cairn_model::BlockId],
        outputs: Vec<BlockMeta>,
        (at_unix_ms, ticket, compared): (i64, Option<Ticket>, Option<Vec<cairn_model::BlockId>>),
    ) -> Result<Reply, Refused> {
        // The answer to the first try may have been lost.
        if self.blocks.is_replaced(tenant, inputs, &outputs) {
            return Ok(Reply::Done);
        }
        match ticket {
            Some(ticket) => self.jobs.check_merge(ticket, tenant, inputs)?,
            None => self.jobs.check_free(tenant, inputs)?,
        }
        if let Some(compared) = compared {
            self.blocks.check_compared(tenant, inputs, &compared)?;
        }
        self.blocks.replace(tenant, inputs, outputs, at_unix_ms)?;
        if let Some(ticket) = ticket {
            self.jobs.finish(ticket.job);
        }
        Ok(Reply::Done)
    }

    fn offer(&mut self, job: JobId, work: Work) -> Result<Reply, Refused> {
        match &work {
            Work::Recover { .. } => {
                let text = "recoveries come of sealing a writer".to_owned();
                return Err(Refused::Invalid(text));
            }
            Work::Merge { tenant, inputs } => {
                // The answer to the first try may have been lost.
                self.jobs.check_none(&work)?;
                self.blocks.check_inputs(tenant, inputs)?;
                self.jobs.check_free(tenant, inputs)?;
            }
            Work::Sweep => self.jobs.check_none(&work)?,
        }
        self.jobs.add(job, work);
        Ok(Reply::Offered { job })
    }
}

// === impl State: questions ===

impl State {
    /// Grows with every accepted command.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn snapshot(&self, tenant: &TenantId) -> Snapshot {
        self.look(tenant).snapshot(TimeRange::ALL)
    }

    /// The same, without the time that copying takes.
    pub(crate) fn look(&self, tenant: &TenantId) -> Look {
        Look {
            version: self.version,
            blocks: self.blocks.of(tenant),
            writers: self.writers.all_open(),
            sealed: self.sealed(),
        }
    }

    /// Older blocks of a tenant, listed in the store.
    pub fn manifests(&self, tenant: &TenantId) -> Vec<Manifest> {
        self.blocks.manifests(tenant)
    }

    /// Incarnations that are gone and not recovered yet: what is in no block is in their logs.
    pub fn sealed(&self) -> Vec<Writer> {
        self.writers.all_sealed()
    }

    /// Everyone who takes writes, with where they are.
    pub fn open_writers(&self) -> Vec<Writer> {
        self.writers.all_open()
    }

    /// What is known of the newest incarnation of a writer, closed or not.
    pub fn writer(&self, id: &WriterId) -> Option<Writer> {
        self.writers.newest(id)
    }

    /// Open writers whose leases ended before this.
    pub fn overdue(&self, at_unix_ms: i64) -> Vec<Writer> {
        self.writers.overdue(at_unix_ms)
    }

    /// The oldest tombstones that are at least as old as `before_unix_ms`, oldest first; no more than
    /// one command can forget, so ask again afterwards.
    pub fn expired(&self, before_unix_ms: i64) -> Vec<crate::Tombstone> {
        self.blocks.expired(before_unix_ms)
    }

    /// Everyone who has a block or a tombstone.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.blocks.tenants()
    }

    pub fn jobs(&self) -> impl Iterator<Item = Job> + '_ {
        self.jobs.all()
    }

    pub fn shards(&self) -> &ShardMap {
        &self.shards
    }

    pub fn tenant(&self, id: &TenantId) -> Option<&Tenant> {
        self.known_tenants.get(id)
    }

    /// What a token allows; expired ones allow nothing.
    pub fn token(&self, hash: &TokenHash, at_unix_ms: i64) -> Option<&Token> {
        self.known_tenants.token(hash, at_unix_ms)
    }
}

#[cfg(test)]
pub(crate) mod tests;
