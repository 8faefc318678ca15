//! What the catalog knows of a block. The block itself is an object of the store.

use cairn_model::{BlockId, TenantId, TimeRange};
use serde::{Deserialize, Serialize};

/// One immutable block.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockMeta {
    pub id: BlockId,
    pub tenant: TenantId,
    /// 0 is as written; compaction raises it.
    pub level: u32,
    /// First and last nanosecond that the block holds.
    pub range: TimeRange,
    pub bytes: u64,
    pub rows: u64,
    pub profiles: u64,
    pub created_unix_ms: i64,
}

/// A block that was swapped out: no query that starts later reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tombstone {
    pub block: BlockMeta,
    pub replaced_unix_ms: i64,
}

/// An object that lists the old blocks of a tenant's day, so that the catalog need not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Manifest {
    pub id: BlockId,
    /// Days since the Unix epoch.
    pub day: i64,
    /// First and last nanosecond that the blocks hold.
    pub range: TimeRange,
    pub blocks: u64,
    pub bytes: u64,
    pub rows: u64,
    pub created_unix_ms: i64,
    /// The manifest of this day before, all of whose blocks this one lists too.
    pub replaces: Option<BlockId>,
}
