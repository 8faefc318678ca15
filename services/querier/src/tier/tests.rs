use cairn_model::{BlockId, TenantId};
use cairn_store::Store;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

use super::*;

/// Notes what is read of the store.
#[derive(Debug)]
struct Noted {
    store: Store,
    ranges: Mutex<Vec<Range<u64>>>,
}

impl Reads for Noted {
    fn read<'a>(
        &'a self,
        key: Key<'a>,
        ranges: &'a [Range<u64>],
    ) -> BoxFuture<'a, Result<Vec<Bytes>, Error>> {
        self.ranges.lock().extend_from_slice(ranges);
        self.store.get_ranges(key, ranges).boxed()
    }
}

#[tokio::test]
async fn what_was_read_once_is_read_of_files_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("made");
    let (store, tenant, id) = (Store::memory(), TenantId::anonymous(), BlockId::new(1, 1));
    let key = Key::Block {
        tenant: &tenant,
        id,
    };
    let object: Bytes = (0..100_000u32)
        .map(|at| at as u8)
        .collect::<Vec<u8>>()
        .into();
    store.create(key, object.clone()).await.expect("stored");
    let noted = Arc::new(Noted {
        store,
        ranges: Mutex::default(),
    });
    let open = || {
        let disk = Disk::open(folder.path(), 1 << 20).expect("opened");
        let clock = cairn_chassis::FakeClock::at(0).clock();
        let metrics = Metrics::register(&mut Registry::default());
        Tier::new(disk, noted.clone(), clock, metrics)
    };
    let read = async |tier: &Tier, ranges: &[Range<u64>]| {
        let parts = Reads::read(tier, key, ranges).await.expect("read");
        for (part, range) in parts.iter().zip(ranges) {
            assert_eq!(
                part,
                &object.slice(range.start as usize..range.end as usize)
            );
        }
        assert_eq!(parts.len(), ranges.len());
        std::mem::take(&mut *noted.ranges.lock())
    };
    let stopping = CancellationToken::new();
    let (tier, keeper) = open();
    let ranges = [50_000..60_000, 0..0, 0..30_000];
    let read_first = read(&tier, &ranges).await;
    assert_eq!(read_first, [50_000..60_000, 0..30_000]);
    let written = async {
        // The queue is empty once all of it is written.
        while tier.queued.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        assert!(read(&tier, &ranges).await.is_empty());
        let more = [90_000..100_000, 50_000..60_000];
        assert_eq!(read(&tier, &more).await, &more[..1]);
        while tier.queued.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        stopping.cancel();
    };
    futures::join!(written, keeper.run(stopping.clone()));
    let (again, _keeper) = open();
    let all = [0..30_000, 90_000..100_000, 50_000..60_000, 0..29_999];
    assert_eq!(read(&again, &all).await, &all[3..]);
    assert_eq!(again.metrics.reads.hits.get(), 3);
    // Nobody writes: answers come all the same, and what is too much to wait is dropped.
    let ranges: Vec<Range<u64>> = (0..300).map(|start| start..start + 1_000).collect();
    assert_eq!(read(&again, &ranges).await, ranges);
    assert_eq!(again.metrics.reads.dropped.get(), 300 - (QUEUE as u64 - 1));
}
