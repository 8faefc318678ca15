//! What tests put into a catalog.

use std::time::{SystemTime, UNIX_EPOCH};

use cairn_catalog::BlockMeta;
use cairn_model::{BlockId, TenantId, TimeRange, WriterId};

#[expect(
    clippy::disallowed_methods,
    reason = "nodes in tests live in real time"
)]
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_millis() as i64
}

pub(crate) fn tenant() -> TenantId {
    TenantId::anonymous()
}

pub(crate) fn writer(name: &str) -> WriterId {
    WriterId::parse(name).expect("valid")
}

pub(crate) fn block(number: u64) -> BlockMeta {
    let created = now();
    BlockMeta {
        id: BlockId::new(created.unsigned_abs(), u128::from(number)),
        tenant: tenant(),
        level: 0,
        range: TimeRange { start: 5, end: 9 },
        bytes: 100,
        rows: 1,
        profiles: 1,
        created_unix_ms: created,
    }
}
