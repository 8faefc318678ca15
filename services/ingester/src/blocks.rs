//! Rows to blocks in the store. Owns names and retries; which rows, and what becomes of the block in
//! the catalog, is the caller's business.

use anyhow::Context as _;
use cairn_block::{Built, Options};
use cairn_catalog::BlockMeta;
use cairn_chassis::Context;
use cairn_model::{BlockId, TenantId};
use cairn_store::{Key, Store};

/// How often one object is sent to the store in a row.
const ATTEMPTS: usize = 3;

/// Makes blocks of rows. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    pub(crate) cx: Context,
    pub(crate) store: Store,
}

impl Blocks {
    /// Writes one tenant's rows and stores the block. Nobody knows of it until it is committed.
    pub(crate) async fn create<W>(&self, tenant: TenantId, write: W) -> anyhow::Result<BlockMeta>
    where
        W: FnOnce() -> Result<Built, cairn_block::Error> + Send + 'static,
    {
        let built = self.cx.compute(write).await;
        let built = built.with_context(|| format!("write a block of {tenant}"))?;
        let created_unix_ms = self.cx.clock().now() / 1_000_000;
        let id = BlockId::new(created_unix_ms.unsigned_abs(), self.cx.random().u128());
        let key = Key::Block {
            tenant: &tenant,
            id,
        };
        let mut attempt = 1;
        while let Err(error) = self.store.create_once(key, built.bytes.clone()).await {
            if attempt == ATTEMPTS {
                return Err(error).context("store a block");
            }
            tracing::warn!(%error, "storing a block is tried again");
            attempt += 1;
        }
        let cairn_block::Info {
            range,
            rows,
            profiles,
            bytes,
        } = built.info;
        Ok(BlockMeta {
            id,
            tenant,
            level: 0,
            range,
            bytes,
            rows,
            profiles,
            created_unix_ms,
        })
    }

    /// How blocks say that they hold one stretch of one log, of so many tenants.
    pub(crate) fn options(stretch: cairn_block::Stretch, tenants: usize) -> Options {
        Options {
            level: 0,
            origins: vec![stretch],
            siblings: u32::try_from(tenants).unwrap_or(u32::MAX),
        }
    }

    /// Deletes blocks that will never be committed.
    pub(crate) async fn discard(&self, blocks: &[BlockMeta]) {
        for BlockMeta { tenant, id, .. } in blocks {
            let key = Key::Block { tenant, id: *id };
            if let Err(error) = self.store.delete(key).await {
                tracing::warn!(%error, "a block that nobody knows stays in the store");
            }
        }
    }
}
