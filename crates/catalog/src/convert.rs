//! Wire messages to the catalog's types and back. Only what comes in is checked.

mod jobs;
mod shards;

use cairn_model::{BlockId, TenantId, TimeRange, WriterId};
use cairn_wire::cairn::catalog::v1 as wire;
use cairn_wire::cairn::catalog::v1::apply_response::Outcome;

use crate::client::Attempt;
use crate::{BlockMeta, Error, Log, Member, Snapshot, Status, Tombstone, Writer, encoding};

/// A message that does not say what it should.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid {field}: {reason}")]
pub struct InvalidMessage {
    field: &'static str,
    reason: String,
}

fn invalid(field: &'static str) -> impl Fn(&dyn std::fmt::Display) -> InvalidMessage {
    move |reason| InvalidMessage {
        field,
        reason: reason.to_string(),
    }
}

pub(crate) fn tenant(text: &str) -> Result<TenantId, InvalidMessage> {
    TenantId::parse(text).map_err(|error| invalid("tenant")(&error))
}

fn block_ids(texts: &[String]) -> Result<Vec<BlockId>, InvalidMessage> {
    texts.iter().map(|text| block_id(text)).collect()
}

fn block_id(text: &str) -> Result<BlockId, InvalidMessage> {
    text.parse().map_err(|error| invalid("block id")(&error))
}

// === impl BlockMeta ===

impl TryFrom<wire::BlockMeta> for BlockMeta {
    type Error = InvalidMessage;

    fn try_from(block: wire::BlockMeta) -> Result<Self, Self::Error> {
        let wire::BlockMeta {
            id,
            tenant: owner,
            level,
            time_start,
            time_end,
            bytes,
            rows,
            profiles,
            created_unix_ms,
        } = block;
        Ok(Self {
            id: block_id(&id)?,
            tenant: tenant(&owner)?,
            level,
            range: TimeRange {
                start: time_start,
                end: time_end,
            },
            bytes,
            rows,
            profiles,
            created_unix_ms,
        })
    }
}

impl From<BlockMeta> for wire::BlockMeta {
    fn from(block: BlockMeta) -> Self {
        let BlockMeta {
            id,
            tenant,
            level,
            range: TimeRange { start, end },
            bytes,
            rows,
            profiles,
            created_unix_ms,
        } = block;
        Self {
            id: id.to_string(),
            tenant: tenant.to_string(),
            level,
            time_start: start,
            time_end: end,
            bytes,
            rows,
            profiles,
            created_unix_ms,
        }
    }
}

// === impl Tombstone ===

impl TryFrom<wire::Tombstone> for Tombstone {
    type Error = InvalidMessage;

    fn try_from(tombstone: wire::Tombstone) -> Result<Self, Self::Error> {
        let wire::Tombstone {
            block,
            replaced_unix_ms,
        } = tombstone;
        let block = block.ok_or_else(|| invalid("tombstone")(&"its block is missing"))?;
        Ok(Self {
            block: block.try_into()?,
            replaced_unix_ms,
        })
    }
}

impl From<Tombstone> for wire::Tombstone {
    fn from(tombstone: Tombstone) -> Self {
        let Tombstone {
            block,
            replaced_unix_ms,
        } = tombstone;
        Self {
            block: Some(block.into()),
            replaced_unix_ms,
        }
    }
}

// === impl Writer ===

impl TryFrom<wire::Writer> for Writer {
    type Error = Error;

    fn try_from(writer: wire::Writer) -> Result<Self, Self::Error> {
        let wire::Writer {
            writer,
            incarnation,
            address,
            flushed_lsn,
            log,
            zone,
        } = writer;
        Ok(Self {
            id: WriterId::parse(&writer)?,
            incarnation,
            address,
            zone,
            log: log_kind(log)?,
            flushed_lsn,
        })
    }
}

impl From<Writer> for wire::Writer {
    fn from(writer: Writer) -> Self {
        let Writer {
            id,
            incarnation,
            address,
            zone,
            log,
            flushed_lsn,
        } = writer;
        Self {
            writer: id.as_str().to_owned(),
            incarnation,
            address,
            flushed_lsn,
            log: wire_log(log).into(),
            zone,
        }
    }
}

fn log_kind(log: i32) -> Result<Log, InvalidMessage> {
    let log = wire::LogKind::try_from(log).map_err(|error| invalid("log")(&error))?;
    Ok(match log {
        wire::LogKind::Continued => Log::Continued,
        wire::LogKind::OnePerIncarnation => Log::OnePerIncarnation,
    })
}

fn wire_log(log: Log) -> wire::LogKind {
    match log {
        Log::Continued => wire::LogKind::Continued,
        Log::OnePerIncarnation => wire::LogKind::OnePerIncarnation,
    }
}

// === impl Snapshot ===

impl TryFrom<wire::SnapshotResponse> for Snapshot {
    type Error = Error;

    fn try_from(response: wire::SnapshotResponse) -> Result<Self, Self::Error> {
        let wire::SnapshotResponse {
            version,
            blocks,
            writers,
            sealed,
        } = response;
        let blocks: Result<_, InvalidMessage> =
            blocks.into_iter().map(BlockMeta::try_from).collect();
        let read = |writers: Vec<wire::Writer>| -> Result<Vec<Writer>, Error> {
            writers.into_iter().map(Writer::try_from).collect()
        };
        Ok(Self {
            version,
            blocks: blocks?,
            writers: read(writers)?,
            sealed: read(sealed)?,
        })
    }
}

impl From<Snapshot> for wire::SnapshotResponse {
    fn from(snapshot: Snapshot) -> Self {
        let Snapshot {
            version,
            blocks,
            writers,
            sealed,
        } = snapshot;
        Self {
            version,
            blocks: blocks.into_iter().map(Into::into).collect(),
            writers: writers.into_iter().map(Into::into).collect(),
            sealed: sealed.into_iter().map(Into::into).collect(),
        }
    }
}

// === impl Attempt ===

pub(crate) fn attempt_of(response: wire::ApplyResponse) -> Attempt {
    let wire::ApplyResponse { outcome } = response;
    let odd = |error: &dyn std::fmt::Display| Attempt::Unknown(format!("an odd answer: {error}"));
    match outcome {
        Some(Outcome::Reply(reply)) => {
            encoding::decode(&reply).map_or_else(|error| odd(&error), Attempt::Done)
        }
        Some(Outcome::Refused(refused)) => {
            encoding::decode(&refused).map_or_else(|error| odd(&error), Attempt::Refused)
        }
        Some(Outcome::NotDone(reason)) => Attempt::NotDone(reason),
        Some(Outcome::Unknown(reason)) => Attempt::Unknown(reason),
        None => odd(&"nothing"),
    }
}

pub(crate) fn response_of(attempt: Attempt) -> wire::ApplyResponse {
    let outcome = match attempt {
        Attempt::Done(reply) => Outcome::Reply(encoding::encode(&reply).into()),
        Attempt::Refused(refused) => Outcome::Refused(encoding::encode(&refused).into()),
        Attempt::NotDone(reason) => Outcome::NotDone(reason),
        Attempt::Unknown(reason) => Outcome::Unknown(reason),
    };
    let outcome = Some(outcome);
    wire::ApplyResponse { outcome }
}

// === impl Status ===

impl From<wire::StatusResponse> for Status {
    fn from(response: wire::StatusResponse) -> Self {
        let wire::StatusResponse {
            node,
            cluster,
            role,
            leader,
            term,
            last_log_index,
            applied_index,
            snapshot_index,
            version,
            members,
            failure,
        } = response;
        let member = |member: wire::Member| Member {
            node: member.node,
            address: member.address,
            is_voter: member.voter,
            matched_index: member.matched_index,
        };
        Self {
            node,
            cluster,
            role,
            leader: Some(leader).filter(|leader| *leader > 0),
            term,
            last_log_index,
            applied_index,
            snapshot_index,
            version,
            members: members.into_iter().map(member).collect(),
            failure: Some(failure).filter(|failure| !failure.is_empty()),
        }
    }
}

impl From<Status> for wire::StatusResponse {
    fn from(status: Status) -> Self {
        let Status {
            node,
            cluster,
            role,
            leader,
            term,
            last_log_index,
            applied_index,
            snapshot_index,
            version,
            members,
            failure,
        } = status;
        let member = |member: Member| wire::Member {
            node: member.node,
            address: member.address,
            voter: member.is_voter,
            matched_index: member.matched_index,
        };
        Self {
            node,
            cluster,
            role,
            leader: leader.unwrap_or_default(),
            term,
            last_log_index,
            applied_index,
            snapshot_index,
            version,
            members: members.into_iter().map(member).collect(),
            failure: failure.unwrap_or_default(),
        }
    }
}
