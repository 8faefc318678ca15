use cairn_block::{First, Options, write};
use cairn_engine::repeats::{Ask, SourceId};
use cairn_engine::{Alone, GroupBy, Query, Question, Source, scan_block};
use cairn_model::{BlockId, TenantId, TimeRange};
use cairn_store::Store;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

use super::*;
use crate::blocks::Blocks;
use crate::testing::head_at;

#[derive(Clone, Copy, Debug)]
enum Half {
    First,
    Second,
}

/// Notes what is read of the store.
#[derive(Debug)]
struct Noted {
    store: Store,
    ranges: Mutex<Vec<Range<u64>>>,
    /// Half of whatever is read arrives wrong.
    damages: Mutex<Option<Half>>,
}

impl Reads for Noted {
    fn read<'a>(
        &'a self,
        key: Key<'a>,
        ranges: &'a [Range<u64>],
    ) -> BoxFuture<'a, Result<Vec<Bytes>, Error>> {
        self.ranges.lock().extend_from_slice(ranges);
        async move {
            let mut parts = self.store.get_ranges(key, ranges).await?;
            let half = *self.damages.lock();
            for part in &mut parts {
                let mut bytes = part.to_vec();
                let middle = bytes.len() / 2;
                match half {
                    None => {}
                    Some(Half::First) => bytes[..middle].fill(0xa5),
                    Some(Half::Second) => bytes[middle..].fill(0xa5),
                }
                *part = bytes.into();
            }
            Ok(parts)
        }
        .boxed()
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
        damages: Mutex::default(),
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

#[tokio::test]
async fn what_was_damaged_on_its_way_does_not_stay() {
    let folder = tempfile::tempdir().expect("made");
    let (store, tenant, id) = (Store::memory(), TenantId::anonymous(), BlockId::new(1, 1));
    let key = Key::Block {
        tenant: &tenant,
        id,
    };
    let built = write(&head_at(0), Options::default()).expect("written");
    store.create(key, built.bytes).await.expect("stored");
    let noted = Arc::new(Noted {
        store: store.clone(),
        ranges: Mutex::default(),
        damages: Mutex::new(Some(Half::Second)),
    });
    let disk = Disk::open(folder.path(), 1 << 30).expect("opened");
    let clock = cairn_chassis::FakeClock::at(0).clock();
    let metrics = Metrics::register(&mut Registry::default());
    let (tier, keeper) = Tier::new(disk, noted.clone(), clock, metrics);
    let tier = Arc::new(tier);
    let is_written = async || {
        while tier.queued.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
    };
    let stopping = CancellationToken::new();
    let asked = async {
        let blocks = Blocks::new(store, tier.clone(), 1, u64::MAX);
        let name = (tenant.clone(), id);
        let query = Query {
            profile_type: None,
            matchers: Vec::new(),
            range: TimeRange::ALL,
            weights: None,
            question: Question::Stacks(GroupBy::Nothing),
        };
        let ask = Ask::default();
        let source = Source {
            id: SourceId::block(&id),
            ask: &ask,
        };
        let open = async || blocks.open(&tenant, id, None, First::Contents).await;
        for _ in 0..2 {
            assert!(open().await.is_err());
            is_written().await;
        }
        // What is not looked at when it is opened is found damaged later.
        *noted.damages.lock() = Some(Half::First);
        let (block, _) = open().await.expect("the end of the block is right by now");
        let read = scan_block(&block, &query, source, &Alone).await;
        is_written().await;
        blocks.forget((&name, &block), &read.expect_err("damaged"));
        *noted.damages.lock() = None;
        let (block, _) = open().await.expect("opened");
        let read = scan_block(&block, &query, source, &Alone).await;
        assert!(read.expect("right by now").stats.profiles > 0);
        stopping.cancel();
    };
    futures::join!(asked, keeper.run(stopping.clone()));
}

#[tokio::test]
async fn what_waits_to_be_written_holds_nothing_else() {
    let folder = tempfile::tempdir().expect("made");
    let disk = Disk::open(folder.path(), 1 << 30).expect("opened");
    let clock = cairn_chassis::FakeClock::at(0).clock();
    let metrics = Metrics::register(&mut Registry::default());
    let (tier, _keeper) = Tier::new(disk, Arc::new(Store::memory()), clock, metrics);
    let whole = Bytes::from(vec![7; 1 << 20]);
    let name = Name::new(&TenantId::anonymous(), BlockId::new(1, 1), &(0..10));
    tier.keep(name, &whole.slice(..10), tier.disk.age());
    assert_eq!(tier.queued.load(Ordering::Relaxed), 10);
    assert!(whole.is_unique());
}
