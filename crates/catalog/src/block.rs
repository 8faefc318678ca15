//! What the catalog knows of a block. The block itself is an object of the store.

use cairn_model::{BlockId, TenantId, TimeRange};
use serde::{Deserialize, Serialize};

/// One immutable block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    pub block: BlockMeta,
    pub replaced_unix_ms: i64,
}
