//! What may be asked of the catalog, what it answers, why it refuses.

use cairn_model::{BlockId, Code, TenantId, WriterId};
use serde::{Deserialize, Serialize};

use super::{JobId, Log, State, Tenant, Ticket, Token, TokenHash, Work};
use crate::{BlockMeta, Manifest};

/// Something that should happen. Clients leave the moments (`at_unix_ms`) empty and give lengths of
/// time for the ends (`*until_unix_ms`); whoever leads the catalog makes both absolute with
/// [`Command::dated`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// A writer starts: it becomes a new incarnation, which fences off all earlier ones.
    RegisterWriter {
        writer: WriterId,
        address: String,
        /// Where it runs, for placing shards.
        #[serde(default)]
        zone: String,
        #[serde(default)]
        log: Log,
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
    /// A writer ends, with nothing in its log that is not in blocks.
    Close {
        writer: WriterId,
        incarnation: u64,
        lsn: u64,
    },
    /// A writer's lease is over: nobody may commit for it any more but a recovery.
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
        /// All blocks over the same time, inputs aside: the outputs repeat nothing that these hold.
        /// Refused if there are others by now; not looked at if it is not said.
        #[serde(default)]
        compared: Option<Vec<BlockId>>,
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
    /// A catalog that was made anew from the store takes the place of one in which nothing ever
    /// happened.
    Restore { state: Box<State> },
}

impl Command {
    /// The same command with the leader's time: moments are now, and ends as far from now as the
    /// client asked for.
    #[must_use]
    pub fn dated(mut self, now_unix_ms: i64) -> Self {
        match &mut self {
            Self::RegisterWriter {
                lease_until_unix_ms: until,
                ..
            }
            | Self::RenewLease {
                until_unix_ms: until,
                ..
            }
            | Self::Extend {
                until_unix_ms: until,
                ..
            } => *until = now_unix_ms.saturating_add((*until).max(0)),
            Self::Claim {
                at_unix_ms,
                until_unix_ms,
                ..
            } => {
                *at_unix_ms = now_unix_ms;
                *until_unix_ms = now_unix_ms.saturating_add((*until_unix_ms).max(0));
            }
            Self::Commit { at_unix_ms, .. }
            | Self::Seal { at_unix_ms, .. }
            | Self::Recover { at_unix_ms, .. }
            | Self::Replace { at_unix_ms, .. }
            | Self::Spill { at_unix_ms, .. } => *at_unix_ms = now_unix_ms,
            Self::Close { .. }
            | Self::Forget { .. }
            | Self::Offer { .. }
            | Self::Abandon { .. }
            | Self::Assign { .. }
            | Self::PutTenant { .. }
            | Self::PutToken { .. }
            | Self::RevokeToken { .. }
            | Self::Restore { .. } => {}
        }
        self
    }

    /// How many blocks it names: nearly all of its size.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Commit { blocks, .. } | Self::Recover { blocks, .. } => blocks.len(),
            Self::Replace {
                inputs,
                outputs,
                compared,
                ..
            } => inputs.len() + outputs.len() + compared.as_ref().map_or(0, Vec::len),
            Self::Spill { blocks, .. } | Self::Forget { blocks, .. } => blocks.len(),
            Self::Offer {
                work: Work::Merge { inputs, .. },
            } => inputs.len(),
            Self::Assign { moves, .. } => moves.len(),
            // Larger than anything else: it travels alone.
            Self::Restore { .. } => 1 << 20,
            _ => 1,
        }
    }

    /// What a refusal means if the command may have happened before, its answer lost: `Some` if it
    /// is done, by this client or in its place. `is_repeated`: an earlier try had no answer.
    pub(crate) fn settled(&self, refused: &Refused, is_repeated: bool) -> Option<Reply> {
        match (self, refused) {
            // Only this incarnation, or whoever holds the newest ticket, moves the position.
            (
                Self::Commit { lsn_to, .. } | Self::Recover { lsn_to, .. },
                Refused::Gap { flushed_lsn, .. },
            ) if flushed_lsn == lsn_to => Some(Reply::Done),
            // A recovery is over once its job is gone, whoever did it last.
            (Self::Recover { is_last: true, .. }, Refused::NoJob(_))
            | (Self::Abandon { .. }, Refused::NoJob(_) | Refused::NotYours(_))
                if is_repeated =>
            {
                Some(Reply::Done)
            }
            (Self::Offer { .. }, Refused::Offered(job)) if is_repeated => {
                Some(Reply::Offered { job: *job })
            }
            _ => None,
        }
    }
}

/// What an accepted command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    Done,
    /// The writer goes on after this position of its log.
    Registered {
        incarnation: u64,
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
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq, Serialize, Deserialize)]
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
    #[error("block {0} came meanwhile, and may hold the same")]
    NotCompared(BlockId),
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
    #[error("the catalog is at version {version}, and only an empty one can be restored")]
    NotEmpty { version: u64 },
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
            | Self::NotCompared(_)
            | Self::StillLive(_)
            | Self::Known(_)
            | Self::Stale(_)
            | Self::NotYours(_)
            | Self::Busy { .. }
            | Self::Offered(_)
            | Self::Epoch { .. }
            | Self::Manifest { .. }
            | Self::NotEmpty { .. } => Code::Conflict,
        }
    }
}
