//! What may be asked of the catalog, what it answers, why it refuses.

use cairn_model::{BlockId, Code, TenantId, WriterId};
use serde::{Deserialize, Serialize};

use super::{JobId, Log, Tenant, Ticket, Token, TokenHash, Work};
use crate::{BlockMeta, Manifest};

/// Something that should happen. Times are those of whoever leads the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// A writer starts. It fences off its earlier incarnations.
    RegisterWriter {
        writer: WriterId,
        incarnation: u64,
        address: String,
        #[serde(default)]
        log: Log,
        #[serde(default = "forever")]
        lease_until_unix_ms: i64,
    },
    /// A writer is well, and may acknowledge until then.
    RenewLease {
        writer: WriterId,
        incarnation: u64,
        until_unix_ms: i64,
    },
    /// The log from `lsn_from` to `lsn_to`, both included, is in these blocks. Blocks of several
    /// tenants go together, since one stretch of the log holds several tenants.
    Commit {
        writer: WriterId,
        incarnation: u64,
        lsn_from: u64,
        lsn_to: u64,
        blocks: Vec<BlockMeta>,
        #[serde(default)]
        at_unix_ms: i64,
    },
    /// A writer ends, with nothing in its log that is not in blocks. Journals of earlier builds call
    /// this a seal.
    #[serde(alias = "Seal")]
    Close {
        writer: WriterId,
        incarnation: u64,
        lsn: u64,
    },
    /// A writer's lease is over: nobody may commit for it any more but a recovery.
    #[serde(rename = "SealExpired")]
    Seal {
        writer: WriterId,
        incarnation: u64,
        at_unix_ms: i64,
    },
    /// The log of a sealed writer from `lsn_from` to `lsn_to` is in these blocks.
    Recover {
        ticket: Ticket,
        lsn_from: u64,
        /// `lsn_from - 1` if nothing was left.
        lsn_to: u64,
        blocks: Vec<BlockMeta>,
        at_unix_ms: i64,
        /// There is nothing behind `lsn_to`.
        is_last: bool,
    },
    /// The outputs hold what the inputs held; without outputs, the inputs are deleted.
    Replace {
        tenant: TenantId,
        inputs: Vec<BlockId>,
        outputs: Vec<BlockMeta>,
        at_unix_ms: i64,
        /// Of the job that this is, if it is one.
        #[serde(default)]
        ticket: Option<Ticket>,
    },
    /// These blocks are listed in the manifest from now on, and no longer here.
    Spill {
        tenant: TenantId,
        manifest: Manifest,
        blocks: Vec<BlockId>,
        at_unix_ms: i64,
    },
    /// The objects of these tombstones are gone.
    Forget {
        tenant: TenantId,
        blocks: Vec<BlockId>,
    },
    /// There is something to do.
    Offer { work: Work },
    /// A worker wants to do it.
    Claim {
        job: JobId,
        worker: String,
        at_unix_ms: i64,
        until_unix_ms: i64,
    },
    /// The worker needs longer.
    Extend { ticket: Ticket, until_unix_ms: i64 },
    /// The worker gives up. What must be done is there for others; a merge is planned anew.
    Abandon { ticket: Ticket },
    /// Shards change hands. Refused if the map has changed since `epoch`.
    Assign {
        epoch: u64,
        moves: Vec<(u16, WriterId)>,
    },
    /// A tenant is made or changed.
    PutTenant { tenant: TenantId, settings: Tenant },
    /// A token is made or changed.
    PutToken { hash: TokenHash, token: Token },
    /// A token allows nothing any more.
    RevokeToken { hash: TokenHash },
}

fn forever() -> i64 {
    i64::MAX
}

/// What an accepted command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    /// The writer goes on after this position of its log.
    Registered {
        flushed_lsn: u64,
    },
    Offered {
        job: JobId,
    },
    /// Whoever shows this token has the job, until somebody else claims it.
    Claimed {
        token: u64,
    },
    Assigned {
        epoch: u64,
    },
}

/// Why a command was refused; the state is as before.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    #[error("{0}")]
    Invalid(String),
    #[error("writer {0} is not registered")]
    UnknownWriter(WriterId),
    #[error("writer {writer} is at incarnation {current}, not {incarnation}")]
    Fenced {
        writer: WriterId,
        incarnation: u64,
        current: u64,
    },
    #[error("writer {0} is sealed")]
    Sealed(WriterId),
    #[error("writer {writer} has a lease until {until_unix_ms}")]
    Leased {
        writer: WriterId,
        until_unix_ms: i64,
    },
    #[error("writer {writer} has flushed up to {flushed_lsn}")]
    Gap { writer: WriterId, flushed_lsn: u64 },
    #[error("block {0} is not live")]
    NotLive(BlockId),
    #[error("block {0} is live")]
    StillLive(BlockId),
    #[error("block {0} is known already")]
    Known(BlockId),
    #[error("block {0} is so old that its object may have been swept up")]
    Stale(BlockId),
    #[error("there is no job {0}")]
    NoJob(JobId),
    #[error("job {0} is done by somebody else")]
    NotYours(JobId),
    #[error("block {block} is in the hands of job {job}")]
    Busy { block: BlockId, job: JobId },
    #[error("job {0} is the same work")]
    Offered(JobId),
    #[error("the shard map is at epoch {current}")]
    Epoch { current: u64 },
    #[error("the manifest of day {day} is {current:?}")]
    Manifest { day: i64, current: Option<BlockId> },
    #[error("there is no tenant {0}")]
    UnknownTenant(TenantId),
}

impl Refused {
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::Invalid,
            Self::UnknownWriter(_) | Self::NoJob(_) | Self::UnknownTenant(_) => Code::NotFound,
            Self::Fenced { .. }
            | Self::Sealed(_)
            | Self::Leased { .. }
            | Self::Gap { .. }
            | Self::NotLive(_)
            | Self::StillLive(_)
            | Self::Known(_)
            | Self::Stale(_)
            | Self::NotYours(_)
            | Self::Busy { .. }
            | Self::Offered(_)
            | Self::Epoch { .. }
            | Self::Manifest { .. } => Code::Conflict,
        }
    }
}
