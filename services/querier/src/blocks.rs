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

    /// A block, and how many of its bytes had been read before. Failures are not kept: what was
    /// missing may be back.
    pub(crate) async fn open(
        &self,
        tenant: &TenantId,
        id: BlockId,
        size: Option<u64>,
    ) -> Result<(Arc<Block>, u64), cairn_block::Error> {
        let key = (tenant.clone(), id);
        if let Some(block) = self.open.lock().get(&key) {
            let read = block.read_bytes();
            return Ok((block, read));
        }
        let block = Arc::new(Block::open(&self.store, tenant, id, size).await?);
        let mut open = self.open.lock();
        open.insert(key, Arc::clone(&block));
        open.shrink(self.count_max, self.bytes_max);
        Ok((block, 0))
    }

    /// More was read of a block: goes on keeping it if there is room for all of it.
    pub(crate) fn weigh(&self, key: &(TenantId, BlockId), block: &Arc<Block>) {
        let bytes = block.memory_bytes() as u64;
        let mut open = self.open.lock();
        if open.keeps(key, block) {
            open.weigh(key, bytes, self.bytes_max);
            open.shrink(self.count_max, self.bytes_max);
        }
    }

    /// A block whose rows turned out to be damaged is read afresh next time.
    pub(crate) fn forget(&self, key: &(TenantId, BlockId), block: &Arc<Block>) {
        let mut open = self.open.lock();
        if open.keeps(key, block) {
            open.remove(key);
        }
    }
}

impl Open {
    fn get(&mut self, key: &(TenantId, BlockId)) -> Option<Arc<Block>> {
        self.uses += 1;
        let kept = self.blocks.get_mut(key)?;
        kept.used = self.uses;
        Some(Arc::clone(&kept.block))
    }

    /// Whether it is this very copy that is kept, and not one that was opened later.
    fn keeps(&self, key: &(TenantId, BlockId), block: &Arc<Block>) -> bool {
        let kept = self.blocks.get(key);
        kept.is_some_and(|kept| Arc::ptr_eq(&kept.block, block))
    }

    /// A block that is larger than all may be together goes alone, and not after all others.
    fn weigh(&mut self, key: &(TenantId, BlockId), bytes: u64, bytes_max: u64) {
        if bytes > bytes_max {
            self.remove(key);
        } else if let Some(kept) = self.blocks.get_mut(key) {
            self.bytes = self.bytes - kept.bytes + bytes;
            kept.bytes = bytes;
        }
    }

    fn insert(&mut self, key: (TenantId, BlockId), block: Arc<Block>) {
        self.uses += 1;
        let bytes = block.memory_bytes() as u64;
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
        let key = |id: BlockId| (TenantId::anonymous(), id);
        let read = async |blocks: &Blocks, id: BlockId| {
            let (tenant, id) = key(id);
            let (block, _) = blocks.open(&tenant, id, None).await.expect("opened");
            block.index().await.expect("read");
            block.stacks().await.expect("read");
            blocks.weigh(&(tenant, id), &block);
            block
        };
        let kept = |blocks: &Blocks| {
            let open = blocks.open.lock();
            let kept = ids.iter().map(|id| open.blocks.contains_key(&key(*id)));
            kept.collect::<Vec<bool>>()
        };
        let all = Blocks::new(store.clone(), 3, u64::MAX);
        let mut sizes = Vec::new();
        for id in &ids {
            sizes.push(read(&all, *id).await.memory_bytes() as u64);
        }
        let bytes: u64 = sizes.iter().sum();
        assert_eq!(all.open.lock().bytes, bytes);

        let two = Blocks::new(store.clone(), 3, bytes - 1);
        for id in [ids[0], ids[1], ids[0], ids[2]] {
            read(&two, id).await;
        }
        assert!(two.open.lock().bytes < bytes);
        assert_eq!(kept(&two), [true, false, true]);

        // One that is too large pushes nothing else out.
        let small = Blocks::new(store, 3, sizes[0] - 1);
        let (tenant, id) = key(ids[1]);
        small.open(&tenant, id, None).await.expect("opened");
        read(&small, ids[0]).await;
        assert_eq!(kept(&small), [false, true, false]);
    }

    #[tokio::test]
    async fn only_the_copy_that_was_damaged_is_forgotten() {
        let (store, ids) = store(1).await;
        let blocks = Blocks::new(store, 3, u64::MAX);
        let key = (TenantId::anonymous(), ids[0]);
        let open = async || blocks.open(&key.0, key.1, None).await.expect("opened").0;
        let damaged = open().await;
        blocks.forget(&key, &damaged);
        let fresh = open().await;
        assert!(!Arc::ptr_eq(&damaged, &fresh));
        blocks.forget(&key, &damaged);
        blocks.weigh(&key, &damaged);
        assert!(Arc::ptr_eq(&open().await, &fresh));
    }
}
