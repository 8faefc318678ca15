//! What is read of records while they change, and how much at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cairn_store::InProcess;
use cairn_store::faulty::{Faults, Server as Objects};
use cairn_wire::cairn::symbols::v1::{Addressing, Binary};
use tokio::sync::Notify;

use crate::server::{Server, Upload, config};
use crate::{IN_MIX, WORK_PIE, chain, objcopy};

/// How a store's requests go by.
#[derive(Default)]
struct Gate {
    /// The request with this number waits until the gate opens; with 0 none does.
    waits: AtomicU32,
    is_reached: Notify,
    opens: Notify,
    running: AtomicU32,
    /// Requests at a time.
    most: AtomicU32,
}

impl Gate {
    async fn pass(&self) {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        let next = |left: u32| left.checked_sub(1);
        let left = self
            .waits
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        match left {
            Ok(1) => {
                self.is_reached.notify_one();
                self.opens.notified().await;
            }
            // So that all who may begin do.
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn start(gate: &Arc<Gate>) -> Server {
    let gate = Arc::clone(gate);
    let sleep = move |_| {
        let gate = Arc::clone(&gate);
        Box::pin(async move { gate.pass().await }) as _
    };
    let objects = Objects::new(1, Arc::new(sleep), Arc::new(|| 0));
    let some = Duration::from_millis(1);
    objects.set_faults(Faults {
        latency: some..some,
        ..Faults::default()
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(&folder);
    config.store.in_process = Some(InProcess(objects.connect()));
    // What is known of a build is believed for the whole test.
    config.absence_ttl = Duration::from_secs(3600);
    Server::start_with(config, folder).await
}

#[tokio::test]
async fn what_changes_while_records_are_read_is_read_anew() {
    let gate = Arc::new(Gate::default());
    let server = start(&gate).await;
    let bare = objcopy("work_pie", "--strip-all");
    let debug = objcopy("work_pie", "--only-keep-debug");
    server.upload(Upload::of("a", &bare)).await.expect("stored");
    let ask = || server.symbolize("a", WORK_PIE, Addressing::Virtual, &[IN_MIX]);

    // It knows which files there are, and is about to read the record of one.
    gate.waits.store(2, Ordering::SeqCst);
    let change = async {
        gate.is_reached.notified().await;
        let stored = server.upload(Upload::of("a", &debug)).await;
        stored.expect("stored");
        gate.opens.notify_one();
    };
    let (early, ()) = tokio::join!(ask(), change);
    assert!(early[0].frames.is_empty(), "{early:?}");
    let later = ask().await;
    assert_eq!(chain(&later[0])[0].0, "mix");
    server.stop().await;
}

#[tokio::test]
async fn the_records_of_few_builds_are_read_at_a_time() {
    let gate = Arc::new(Gate::default());
    let server = start(&gate).await;
    gate.most.store(0, Ordering::SeqCst);
    let binary = |at: u32| Binary {
        build_id: format!("{at:08x}"),
        addressing: Addressing::Virtual.into(),
        addresses: vec![IN_MIX],
    };
    let binaries: Vec<_> = (0x1000..0x1064).map(binary).collect();
    let known = server.symbolize_all("a", binaries).await;
    assert_eq!(known.len(), 100);
    let most = gate.most.load(Ordering::SeqCst);
    assert!((2..=16).contains(&most), "{most} at a time");
    server.stop().await;
}
