//! Uploads over a store that fails.

use std::sync::atomic::{AtomicU32, Ordering};

use cairn_chassis::{Options, Process};
use cairn_model::{BuildId, FileKind, TenantId};
use cairn_store::Store;
use cairn_store::faulty::{Faults, Server};
use tokio::sync::Notify;

use super::*;
use crate::config::Config;
use crate::convert::Converter;
use crate::record::Stored;

pub(super) async fn uploads(store: Store, process: &Process) -> Uploads {
    let cx = process.context("symbolizer");
    let config = Config::default();
    let metrics = cx.metrics(Metrics::register);
    let converter = Converter::new(&config.conversion, metrics.clone()).expect("prepared");
    let files = Files::new(
        (store, None),
        converter,
        &config,
        metrics.clone(),
        cx.clone(),
    );
    let upstream = Upstream::new(&config.upstream, metrics.clone(), cx.clock());
    let upstream = Arc::new(upstream.expect("prepared"));
    Uploads::new((Arc::new(files), upstream), config.upload, metrics, cx)
}

/// A process that is killed at one of its requests to the store.
#[derive(Default)]
struct Killed {
    /// Requests until then; without any, it is not.
    left: AtomicU32,
    now: Notify,
}

impl Killed {
    fn store(self: &Arc<Self>) -> Store {
        let this = Arc::clone(self);
        let sleep = move |_| -> futures::future::BoxFuture<'static, ()> {
            match this.left.fetch_sub(1, Ordering::Relaxed) {
                1 => {
                    this.now.notify_one();
                    Box::pin(std::future::pending())
                }
                0 => {
                    this.left.store(0, Ordering::Relaxed);
                    Box::pin(std::future::ready(()))
                }
                _ => Box::pin(std::future::ready(())),
            }
        };
        let server = Server::new(1, Arc::new(sleep), Arc::new(|| 0));
        let some = Duration::from_micros(1);
        server.set_faults(Faults {
            latency: some..some,
            ..Faults::default()
        });
        Store::over(server.connect())
    }
}

async fn received(uploads: &Uploads, bytes: &Bytes) -> Received {
    let parts = futures::stream::iter([Ok(bytes.clone())]);
    let taken = uploads.take(parts, Claim::default()).await;
    taken.expect("it has the right size")
}

/// Whatever a process did before it was killed, other bytes are taken, or those that it stored whole
/// are; and what the record says is what the store has.
#[tokio::test]
async fn after_a_crash_other_bytes_may_come_with_an_upload() {
    let process = Process::bind(Options::for_tests(), &["symbolizer"]).await;
    let process = process.expect("free ports");
    let killed = Arc::new(Killed::default());
    let uploads = uploads(killed.store(), &process).await;
    let records = uploads.files.records();
    // In one part, and in several.
    let mut others = 0;
    for bytes in [100, 9 << 20] {
        let files = [1, 2].map(|byte| Bytes::from(vec![byte; bytes]));
        let [first, second] = [
            received(&uploads, &files[0]).await,
            received(&uploads, &files[1]).await,
        ];
        for requests in 1.. {
            let place = Place {
                tenant: TenantId::anonymous(),
                build_id: BuildId::parse(&format!("{bytes:x}/{requests}")).expect("valid"),
                kind: FileKind::Debuginfo,
            };
            let begun = uploads.begin(&place, Announced::default()).await;
            let id = begun.expect("wanted").id;
            killed.left.store(requests, Ordering::Relaxed);
            let is_killed = tokio::select! {
                biased;
                () = killed.now.notified() => true,
                kept = uploads.keep(&place, id, &first) => {
                    kept.expect("nobody killed it");
                    false
                }
            };
            killed.left.store(0, Ordering::Relaxed);
            let holds = match uploads.keep(&place, id, &second).await {
                Ok(()) => 1,
                Err(_) => 0,
            };
            let (_, record) = records.read(&place).await.expect("read");
            let came = record.and_then(|record| record.upload?.came);
            let content = [&first, &second][holds].content;
            assert_eq!(came, Some(content), "{bytes} bytes, {requests} requests");
            let name = place.file(id, came);
            let stored = records.store().get(place.key(&name)).await;
            assert_eq!(stored.expect("it is whole"), files[holds]);
            if !is_killed {
                break;
            }
            others += holds;
        }
    }
    assert!(others > 5, "{others}");
    process.stop().await.expect("it stops in order");
}

/// A package, or sources, may lie under a name that the one which was said does not lead to.
#[tokio::test]
async fn what_is_deleted_of_a_build_is_all_that_any_of_its_names_leads_to() {
    let process = Process::bind(Options::for_tests(), &["symbolizer"]).await;
    let process = process.expect("free ports");
    let uploads = uploads(Store::memory(), &process).await;
    let records = uploads.files.records();
    let id = |text: &str| BuildId::parse(text).expect("valid");
    let place = |build_id, kind| Place {
        tenant: TenantId::anonymous(),
        build_id: id(build_id),
        kind,
    };
    let program = place("aa", FileKind::Executable);
    let package = place("bb", FileKind::Package);
    let other = place("dd", FileKind::Executable);
    for place in [&program, &package, &other, &place("aa", FileKind::Sources)] {
        let stored = |_: Option<&Record>| {
            let file = Stored {
                upload: UploadId(1),
                content: None,
                finished_unix_ms: 0,
                bytes: 1,
                hash: String::new(),
                is_fetched: false,
                refusal: None,
            };
            let record = Record {
                file: Some(file),
                ..Record::default()
            };
            Ok(Change::Write(Box::new(record), ()))
        };
        records.change(place, stored).await.expect("stored");
    }
    for (place, also) in [(&program, "bb"), (&program, "cc"), (&package, "aa")] {
        records.also(place, &id(also)).await.expect("noted");
    }
    let deleted = uploads.delete(&program.tenant, &id("cc")).await;
    assert_eq!(deleted.expect("there are some").files, 3);
    let (_, record) = records.read(&other).await.expect("read");
    assert!(record.is_some_and(|record| record.readable().is_some()));
    process.stop().await.expect("it stops in order");
}
