//! Blocks that stay open between queries. Owns which are kept; what is read of one is its own.

use std::collections::HashMap;
use std::sync::Arc;

use cairn_block::Block;
use cairn_model::{BlockId, TenantId};
use cairn_store::Store;
use parking_lot::Mutex;

/// Open blocks, bounded by number and by stored size; the least recently used go first.
#[derive(Debug)]
pub(crate) struct Blocks {
    store: Store,
    count_max: usize,
    bytes_max: u64,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    blocks: HashMap<(TenantId, BlockId), Kept>,
    bytes: u64,
    /// Counts uses, so that the smallest is the longest ago.
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    block: Arc<Block>,
    bytes: u64,
    used: u64,
}

impl Blocks {
    pub(crate) fn new(store: Store, count_max: usize, bytes_max: u64) -> Self {
        Self {
            store,
            count_max,
            bytes_max,
            open: Mutex::default(),
        }
    }

    /// Failures are not kept: what was missing may be back.
    pub(crate) async fn open(
        &self,
        tenant: &TenantId,
        id: BlockId,
        size: Option<u64>,
    ) -> Result<Arc<Block>, cairn_block::Error> {
        let key = (tenant.clone(), id);
        if let Some(block) = self.open.lock().get(&key) {
            return Ok(block);
        }
        let block = Arc::new(Block::open(&self.store, tenant, id, size).await?);
        let bytes = block.info().bytes;
        let mut open = self.open.lock();
        open.insert(key, Arc::clone(&block), bytes);
        open.shrink(self.count_max, self.bytes_max);
        Ok(block)
    }

    /// A block whose rows turned out to be damaged is read afresh next time.
    pub(crate) fn forget(&self, tenant: &TenantId, id: BlockId) {
        self.open.lock().remove(&(tenant.clone(), id));
    }
}

impl Open {
    fn get(&mut self, key: &(TenantId, BlockId)) -> Option<Arc<Block>> {
        self.uses += 1;
        let kept = self.blocks.get_mut(key)?;
        kept.used = self.uses;
        Some(Arc::clone(&kept.block))
    }

    fn insert(&mut self, key: (TenantId, BlockId), block: Arc<Block>, bytes: u64) {
        self.uses += 1;
        let kept = Kept {
            block,
            bytes,
            used: self.uses,
        };
        self.remove(&key);
        self.bytes += bytes;
        self.blocks.insert(key, kept);
    }

    fn remove(&mut self, key: &(TenantId, BlockId)) {
        if let Some(kept) = self.blocks.remove(key) {
            self.bytes -= kept.bytes;
        }
    }

    fn shrink(&mut self, count_max: usize, bytes_max: u64) {
        while self.blocks.len() > count_max || self.bytes > bytes_max {
            let oldest = self.blocks.iter().min_by_key(|(_, kept)| kept.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            self.remove(&key);
        }
    }
}
