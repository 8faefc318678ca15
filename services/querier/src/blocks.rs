//! Blocks that stay open between queries. Owns which are kept; what is read of one is its own.

use std::collections::HashMap;
use std::sync::Arc;

use cairn_block::Block;
use cairn_model::{BlockId, TenantId};
use cairn_store::Store;
use parking_lot::Mutex;

/// Open blocks, bounded by number and by memory; the least recently used go first.
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
        self.keep(key, &block);
        Ok(block)
    }

    /// Keeps the block, or goes on keeping it if there is room for all that was read of it by now.
    pub(crate) fn keep(&self, key: (TenantId, BlockId), block: &Arc<Block>) {
        let bytes = block.memory_bytes() as u64;
        let mut open = self.open.lock();
        open.insert(key, Arc::clone(block), bytes);
        open.shrink(self.count_max, self.bytes_max);
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

#[cfg(test)]
mod tests {
    use cairn_block::{Head, Options, Origin, write};
    use cairn_store::Key;
    use cairn_testkit::generator::{Generator, Spec};

    use super::*;

    async fn store(count: u64) -> (Store, Vec<BlockId>) {
        let generator = Generator::new(Spec::default());
        let store = Store::memory();
        let mut ids = Vec::new();
        for at in 0..count {
            let mut head = Head::default();
            let origin = Origin {
                name: "cpu".into(),
                labels: generator.labels(0, 0),
                time: at as i64,
                lsn: 1,
                batch: 0,
            };
            let profile = generator.profile(0, 0, at as u32);
            head.append(&profile, &origin).expect("it fits");
            let built = write(&head, Options::default()).expect("written");
            let id = BlockId::new(at, 0);
            let tenant = &TenantId::anonymous();
            let created = store.create(Key::Block { tenant, id }, built.bytes);
            created.await.expect("stored");
            ids.push(id);
        }
        (store, ids)
    }

    #[tokio::test]
    async fn what_was_read_of_a_block_counts_and_the_least_used_block_goes() {
        let (store, ids) = store(3).await;
        let tenant = TenantId::anonymous();
        let read = async |blocks: &Blocks, id: BlockId| {
            let block = blocks.open(&tenant, id, None).await.expect("opened");
            block.index().await.expect("read");
            block.stacks().await.expect("read");
            blocks.keep((tenant.clone(), id), &block);
            block.memory_bytes() as u64
        };
        let all = Blocks::new(store.clone(), 3, u64::MAX);
        let mut bytes = 0;
        for id in &ids {
            bytes += read(&all, *id).await;
        }
        assert_eq!(all.open.lock().bytes, bytes);

        let two = Blocks::new(store, 3, bytes - 1);
        for id in [ids[0], ids[1], ids[0], ids[2]] {
            read(&two, id).await;
        }
        let open = two.open.lock();
        assert!(open.bytes < bytes);
        let kept = |id: BlockId| open.blocks.contains_key(&(tenant.clone(), id));
        let kept: Vec<bool> = ids.into_iter().map(kept).collect();
        assert_eq!(kept, [true, false, true]);
    }
}
