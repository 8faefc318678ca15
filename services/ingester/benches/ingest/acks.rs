//! How long agents wait for the acknowledgement of a push, and how much gets through meanwhile, by
//! where the log is and how many agents push without a pause.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cairn_ingester::bench::Pushes;
use cairn_ingester::{Config, LogConfig, LogKind};
use cairn_model::Secret;
use cairn_store::S3;
use cairn_testkit::servers::SeaweedFs;

use crate::load::AGENTS;
use crate::{config, cpu};

const AGENTS_AT_ONCE: [usize; 3] = [1, 10, 100];
const LENGTH: Duration = Duration::from_secs(8);
const BUCKET: &str = "acks";

/// Ten profiles of some hundred samples a push.
pub(crate) fn print() {
    println!("acknowledgements, for pushes of ten profiles each:");
    println!(
        "log                     agents  p50 ms  p99 ms  pushes/s  MB gzip/s  MB gzip/s of CPU"
    );
    let store = SeaweedFs::start();
    store.create_bucket(BUCKET);
    let on_disk = |folder: &Path| config(folder);
    let in_store = |folder: &Path| in_bucket(config(folder), &store, None);
    let without_delay = |folder: &Path| in_bucket(config(folder), &store, Some(Duration::ZERO));
    measure("disk", on_disk);
    measure("bucket", in_store);
    measure("bucket, not waiting", without_delay);
}

fn in_bucket(config: Config, store: &SeaweedFs, commit_delay: Option<Duration>) -> Config {
    let bucket = S3 {
        bucket: BUCKET.to_owned(),
        endpoint: store.endpoint(),
        allow_http: true,
        access_key_id: cairn_testkit::servers::ACCESS_KEY_ID.to_owned(),
        secret_access_key: Secret::new(cairn_testkit::servers::SECRET_ACCESS_KEY),
        ..S3::default()
    };
    Config {
        store: cairn_store::Config {
            s3: Some(bucket),
            ..config.store
        },
        log: LogConfig {
            kind: LogKind::Object,
            commit_delay,
            ..config.log
        },
        // Every run begins a log of its own.
        writer: format!("bench-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        ..config
    }
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

fn measure(log: &str, settings: impl Fn(&Path) -> Config) {
    for agents in AGENTS_AT_ONCE {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let config = Config {
            // The same is sent over and over.
            dedup_window: Duration::ZERO,
            ..settings(folder.path())
        };
        let (start, began) = (cpu(), Instant::now());
        let (mut waits, bytes) = runtime.block_on(push(config, agents));
        let (spent, took) = (cpu() - start, began.elapsed().as_secs_f64());
        waits.sort_unstable();
        let at = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        let megabytes = bytes as f64 / 1e6;
        println!(
            "{log:<22} {agents:>7} {:>7.1} {:>7.1} {:>9.0} {:>10.1} {:>17.1}",
            at(50),
            at(99),
            waits.len() as f64 / took,
            megabytes / took,
            megabytes / spent,
        );
    }
}

/// How long each push waited, and the gzip bytes of all.
async fn push(config: Config, agents: usize) -> (Vec<Duration>, usize) {
    let pushes = Pushes::open(config).await.unwrap();
    let deadline = Instant::now() + LENGTH;
    let agent = async |at: usize| {
        let (mut waits, mut bytes) = (Vec::new(), 0);
        let mine = AGENTS.requests.iter().cycle().skip(at * 7);
        for request in mine {
            let start = Instant::now();
            if start >= deadline {
                break;
            }
            pushes.push(request).await.unwrap();
            waits.push(start.elapsed());
            bytes += request.iter().map(|(_, raw)| raw.len()).sum::<usize>();
        }
        (waits, bytes)
    };
    let all = futures::future::join_all((0..agents).map(agent)).await;
    let bytes = all.iter().map(|(_, bytes)| bytes).sum();
    let waits = all.into_iter().flat_map(|(waits, _)| waits).collect();
    pushes.close().await.unwrap();
    (waits, bytes)
}
