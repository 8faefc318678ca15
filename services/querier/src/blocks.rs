//! Blocks that stay open between queries. Owns which are kept; what is read of one is its own.

use std::collections::HashMap;
use std::sync::Arc;

use cairn_block::{Block, First, Reads};
use cairn_chassis::Lru;
use cairn_model::{BlockId, Code, TenantId};
use cairn_store::{Key, Store};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

/// Open blocks, bounded by number and by memory; the least recently used go first.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// Says how large a block is of which nobody else does.
    store: Store,
    reads: Arc<dyn Reads>,
    count_max: usize,
    bytes_max: u64,
    open: Mutex<Open>,
}

type Name = (TenantId, BlockId);

#[derive(Debug, Default)]
struct Open {
    blocks: Lru<Name, Arc<Block>>,
    /// Blocks that somebody opens, for all who want them meanwhile.
    opening: HashMap<Name, Arc<OnceCell<Arc<Block>>>>,
}

impl Blocks {
    pub(crate) fn new(
        store: Store,
        reads: Arc<dyn Reads>,
        count_max: usize,
        bytes_max: u64,
    ) -> Self {
        Self {
            store,
            reads,
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
        first: First,
    ) -> Result<(Arc<Block>, u64), cairn_block::Error> {
        let name = (tenant.clone(), id);
        let opening = {
            let mut open = self.open.lock();
            if let Some(block) = open.blocks.touch(&name) {
                return Ok((Arc::clone(block), block.read_bytes()));
            }
            Arc::clone(open.opening.entry(name.clone()).or_default())
        };
        let waiting = Waiting {
            blocks: self,
            name: &name,
            opening: Some(opening),
        };
        // Who is first reads; if that fails or is given up, the next one tries.
        let mut is_first = false;
        let mut read = || {
            is_first = true;
            self.read(&name, size, first)
        };
        let block = match &waiting.opening {
            Some(opening) => Arc::clone(opening.get_or_try_init(read).await?),
            None => read().await?,
        };
        let before = if is_first { 0 } else { block.read_bytes() };
        Ok((block, before))
    }

    async fn read(
        &self,
        name: &Name,
        size: Option<u64>,
        first: First,
    ) -> Result<Arc<Block>, cairn_block::Error> {
        let (tenant, id) = (&name.0, name.1);
        let size = match size {
            Some(size) => size,
            None => {
                let size = self.store.size(Key::Block { tenant, id }).await;
                size.map_err(cairn_block::Error::store)?
            }
        };
        let opened = Block::open_from(Arc::clone(&self.reads), tenant, (id, size), first).await;
        let block = Arc::new(opened.inspect_err(|error| self.distrust(name, error))?);
        let mut open = self.open.lock();
        let bytes = block.memory_bytes() as u64;
        open.blocks.insert(name.clone(), Arc::clone(&block), bytes);
        open.shrink(self.count_max, self.bytes_max);
        Ok(block)
    }

    /// More was read of a block: goes on keeping it if there is room for all of it. One that is
    /// larger than all may be together goes alone, and not after all others.
    pub(crate) fn weigh(&self, name: &Name, block: &Arc<Block>) {
        let bytes = block.memory_bytes() as u64;
        let mut open = self.open.lock();
        if !open.keeps(name, block) {
            return;
        }
        match bytes > self.bytes_max {
            true => drop(open.blocks.remove(name)),
            false => open.blocks.weigh(name, bytes),
        }
        open.shrink(self.count_max, self.bytes_max);
    }

    /// A block that could not be scanned is read afresh next time.
    pub(crate) fn forget(&self, (name, block): (&Name, &Arc<Block>), error: &cairn_block::Error) {
        let mut open = self.open.lock();
        if open.keeps(name, block) {
            open.blocks.remove(name);
        }
        drop(open);
        self.distrust(name, error);
    }

    /// Damage may have been done on the way, and must not outlast that.
    fn distrust(&self, (tenant, id): &Name, error: &cairn_block::Error) {
        if error.code() == Code::Corrupt {
            self.reads.forget(Key::Block { tenant, id: *id });
        }
    }
}

impl Open {
    /// Whether it is this very copy that is kept, and not one that was opened later.
    fn keeps(&self, name: &Name, block: &Arc<Block>) -> bool {
        let kept = self.blocks.peek(name);
        kept.is_some_and(|kept| Arc::ptr_eq(kept, block))
    }

    fn shrink(&mut self, count_max: usize, bytes_max: u64) {
        while self.blocks.len() > count_max || self.blocks.bytes() > bytes_max {
            if self.blocks.pop().is_none() {
                return;
            }
        }
    }
}

/// Somebody who waits for a block to be open, also if they give up.
struct Waiting<'a> {
    blocks: &'a Blocks,
    name: &'a Name,
    /// Until dropped.
    opening: Option<Arc<OnceCell<Arc<Block>>>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut open = self.blocks.open.lock();
        let mine = self.opening.take();
        let Some((mine, theirs)) = mine.zip(open.opening.get(self.name)) else {
            return;
        };
        // Once it is open it is kept elsewhere; else its place goes with the last who waits.
        let is_last = mine.initialized() || Arc::strong_count(&mine) == 2;
        if Arc::ptr_eq(&mine, theirs) && is_last {
            open.opening.remove(self.name);
        }
        drop(mine);
        drop(open);
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::atomic::{AtomicU64, Ordering};

    use bytes::Bytes;
    use cairn_block::{Options, write};
    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::*;
    use crate::testing::head_at;

    async fn store(count: u64) -> (Store, Vec<BlockId>) {
        let store = Store::memory();
        let mut ids = Vec::new();
        for at in 0..count {
            let built = write(&head_at(at), Options::default()).expect("written");
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
            let (block, _) = blocks
                .open(&tenant, id, None, First::Contents)
                .await
                .expect("opened");
            block.index().await.expect("read");
            block.stacks().await.expect("read");
            blocks.weigh(&(tenant, id), &block);
            block
        };
        let kept = |blocks: &Blocks| {
            let open = blocks.open.lock();
            let kept = ids.iter().map(|id| open.blocks.peek(&key(*id)).is_some());
            kept.collect::<Vec<bool>>()
        };
        let blocks = |count_max, bytes_max| {
            let reads = Arc::new(store.clone());
            Blocks::new(store.clone(), reads, count_max, bytes_max)
        };
        let all = blocks(3, u64::MAX);
        let mut sizes = Vec::new();
        for id in &ids {
            sizes.push(read(&all, *id).await.memory_bytes() as u64);
        }
        let bytes: u64 = sizes.iter().sum();
        assert_eq!(all.open.lock().blocks.bytes(), bytes);

        let two = blocks(3, bytes - 1);
        for id in [ids[0], ids[1], ids[0], ids[2]] {
            read(&two, id).await;
        }
        assert!(two.open.lock().blocks.bytes() < bytes);
        assert_eq!(kept(&two), [true, false, true]);

        // One that is too large pushes nothing else out.
        let small = blocks(3, sizes[0] - 1);
        let (tenant, id) = key(ids[1]);
        small
            .open(&tenant, id, None, First::Contents)
            .await
            .expect("opened");
        read(&small, ids[0]).await;
        assert_eq!(kept(&small), [false, true, false]);
    }

    /// Takes a while to read, in which others may begin.
    #[derive(Debug)]
    struct Slow {
        store: Store,
        reads: AtomicU64,
    }

    impl Reads for Slow {
        fn read<'a>(
            &'a self,
            key: Key<'a>,
            ranges: &'a [Range<u64>],
        ) -> BoxFuture<'a, Result<Vec<Bytes>, cairn_store::Error>> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            async move {
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                self.store.get_ranges(key, ranges).await
            }
            .boxed()
        }
    }

    #[tokio::test]
    async fn whoever_opens_a_block_at_the_same_time_reads_it_once() {
        let (store, ids) = store(2).await;
        let slow = Arc::new(Slow {
            store: store.clone(),
            reads: AtomicU64::new(0),
        });
        let blocks = Blocks::new(store.clone(), slow.clone(), 3, u64::MAX);
        let tenant = TenantId::anonymous();
        let open = |id| blocks.open(&tenant, id, None, First::Contents);
        let reads = || slow.reads.swap(0, Ordering::Relaxed);
        let (a, b, other) = futures::join!(open(ids[0]), open(ids[0]), open(ids[1]));
        let [(a, of_a), (b, of_b), _] = [a, b, other].map(|opened| opened.expect("opened"));
        assert!(Arc::ptr_eq(&a, &b));
        assert_eq!((of_a, of_b), (0, a.read_bytes()));
        assert_eq!(reads(), 2);
        open(ids[0]).await.expect("opened");
        assert_eq!(reads(), 0);

        // Who gives up leaves it to the next, and a failure is not kept.
        let missing = BlockId::new(9, 0);
        let (a, b) = futures::join!(open(missing), open(missing));
        assert!(a.is_err() && b.is_err());
        let bytes = store
            .get(Key::Block {
                tenant: &tenant,
                id: ids[0],
            })
            .await;
        let key = Key::Block {
            tenant: &tenant,
            id: missing,
        };
        store
            .create(key, bytes.expect("read"))
            .await
            .expect("stored");
        let mut given_up = Box::pin(open(missing));
        assert!(futures::poll!(&mut given_up).is_pending());
        let mut next = Box::pin(open(missing));
        assert!(futures::poll!(&mut next).is_pending());
        drop(given_up);
        next.await.expect("opened");
        assert!(blocks.open.lock().opening.is_empty());
    }

    #[tokio::test]
    async fn only_the_copy_that_was_damaged_is_forgotten() {
        let (store, ids) = store(1).await;
        let blocks = Blocks::new(store.clone(), Arc::new(store), 3, u64::MAX);
        let key = (TenantId::anonymous(), ids[0]);
        let open = async || {
            blocks
                .open(&key.0, key.1, None, First::Contents)
                .await
                .expect("opened")
                .0
        };
        let damaged = open().await;
        let error = cairn_block::Error::TooLarge("a test");
        blocks.forget((&key, &damaged), &error);
        let fresh = open().await;
        assert!(!Arc::ptr_eq(&damaged, &fresh));
        blocks.forget((&key, &damaged), &error);
        blocks.weigh(&key, &damaged);
        assert!(Arc::ptr_eq(&open().await, &fresh));
    }
}
