//! Speed of group commits: payloads to durable, in a folder with a sync each, and as objects.
//!
//! `cargo bench -p cairn-wal`; items are group commits. An object in a folder is synced like a file; a
//! real object store is bound by its own latency, which `memory` leaves out: it shows what is ours.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark measures real time, and stops when it fails"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_model::WriterId;
use cairn_store::Store;
use cairn_wal::{DurableLog, Lease, LocalLog, ObjectLog, OnThread, Outside, Payload};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

/// Bytes of a payload; sixteen share a commit.
const SIZES: [usize; 2] = [4 << 10, 256 << 10];
const SHARING: usize = 16;

fn object(store: Store) -> ObjectLog {
    let outside = Outside {
        instant: Arc::new(Instant::now),
        sleep: Arc::new(|duration| Box::pin(tokio::time::sleep(duration))),
        random: Arc::new(|| 7),
    };
    let lease = Lease::new(Instant::now() + Duration::from_secs(3600));
    let name = (WriterId::parse("bench").unwrap(), 1);
    ObjectLog::new(store, name, lease, outside)
}

fn run(bencher: Bencher<'_, '_>, size: usize, open: impl FnOnce(&Runtime) -> Box<dyn DurableLog>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut log = open(&runtime);
    let group = || {
        let payload = |at: usize| Payload {
            bytes: vec![at as u8; size],
            hashes: vec![at as u128],
        };
        (0..SHARING).map(payload).collect::<Vec<_>>()
    };
    bencher
        .counter(BytesCount::new(size * SHARING))
        .counter(ItemsCount::new(1_usize))
        .with_inputs(group)
        .bench_local_values(|group| runtime.block_on(log.append(group, 0)).unwrap());
    runtime.block_on(log.close());
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[divan::bench(args = SIZES)]
fn local(bencher: Bencher<'_, '_>, size: usize) {
    let folder = folder();
    run(bencher, size, |_| {
        let unread = LocalLog::open(folder.path(), 64 << 20).unwrap();
        let log = unread.replay(|_, _| Ok(0)).unwrap();
        Box::new(OnThread::start(log).unwrap())
    });
}

#[divan::bench(args = SIZES)]
fn objects_in_a_folder(bencher: Bencher<'_, '_>, size: usize) {
    let folder = folder();
    run(bencher, size, |runtime| {
        let config = cairn_store::Config::folder(folder.path());
        Box::new(object(runtime.block_on(Store::open(&config, 1)).unwrap()))
    });
}

#[divan::bench(args = SIZES)]
fn objects_in_memory(bencher: Bencher<'_, '_>, size: usize) {
    run(bencher, size, |_| Box::new(object(Store::memory())));
}
