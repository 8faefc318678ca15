//! Wire messages to the catalog's types and back. Only what comes in is checked.

use cairn_model::{BlockId, TenantId, TimeRange, WriterId};
use cairn_wire::cairn::catalog::v1 as wire;

use crate::{BlockMeta, Error, Snapshot, Tombstone, Writer};

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

pub(crate) fn block_ids(texts: &[String]) -> Result<Vec<BlockId>, InvalidMessage> {
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
        } = writer;
        Ok(Self {
            id: WriterId::parse(&writer)?,
            incarnation,
            address,
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
            flushed_lsn,
        } = writer;
        Self {
            writer: id.as_str().to_owned(),
            incarnation,
            address,
            flushed_lsn,
        }
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
        } = response;
        let blocks: Result<_, InvalidMessage> =
            blocks.into_iter().map(BlockMeta::try_from).collect();
        let writers: Result<_, Error> = writers.into_iter().map(Writer::try_from).collect();
        Ok(Self {
            version,
            blocks: blocks?,
            writers: writers?,
        })
    }
}

impl From<Snapshot> for wire::SnapshotResponse {
    fn from(snapshot: Snapshot) -> Self {
        let Snapshot {
            version,
            blocks,
            writers,
        } = snapshot;
        Self {
            version,
            blocks: blocks.into_iter().map(Into::into).collect(),
            writers: writers.into_iter().map(Into::into).collect(),
        }
    }
}
