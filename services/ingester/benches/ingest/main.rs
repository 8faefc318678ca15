//! Speed of taking pushes in: from the bytes of a request's body to the acknowledgement.
//!
//! `cargo bench -p cairn-ingester`; bytes are gzip bytes. Pushes are in work side by side, so that
//! they share syncs, and every pass begins with an empty tail, which is dearer than a warm one.
//! The async runtime has one thread; decoding and the log have theirs. So divan's wall time spans
//! several cores, and the table at the end divides by CPU time of the whole process instead. There
//! the log is on a real disk, with a sync before every answer.
//!
//! [`doors`] come after that, or alone with `-- doors`: other formats than pprof, from the door on;
//! `-- doors otlp` those of one format.
//! [`acks`] come last, or alone with `-- acks`: how long agents wait for an answer, with the log on
//! the disk and in a real object store.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures real time, prints, and stops when it fails"
)]

mod acks;
mod doors;
mod load;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use bytesize::ByteSize;
use cairn_ingester::bench::Pushes;
use cairn_ingester::{AdmissionConfig, Config, TailConfig};
use divan::counter::{BytesCount, ItemsCount};
use futures::StreamExt;
use load::{AGENTS, CORPUS, LARGE, Load, SDKS};

/// Requests in work at the same time.
const CONCURRENCY: usize = 16;

fn main() {
    let only = |name: &str| std::env::args().any(|arg| arg == name);
    if !only("acks") && !only("doors") {
        divan::main();
        print_spent();
    }
    if !only("acks") {
        doors::print();
    }
    if !only("doors") {
        acks::print();
    }
}

fn print_spent() {
    println!("per core, that is per second of CPU time, all threads:");
    for (name, (load, spent)) in SPENT.lock().unwrap().iter() {
        let per_second = |count: usize| count as f64 * spent.passes / spent.cpu;
        println!(
            "{name:<10} {:6.1} MB gzip/s  {:6.1} MB plain/s  {:5.2} M samples/s  ({:.2} of {:.2} cores busy)",
            per_second(load.gzip_bytes) / 1e6,
            per_second(load.plain_bytes) / 1e6,
            per_second(load.samples) / 1e6,
            spent.cpu / spent.wall,
            std::thread::available_parallelism().unwrap().get(),
        );
    }
}

#[derive(Default)]
struct Spent {
    passes: f64,
    cpu: f64,
    wall: f64,
}

static SPENT: Mutex<BTreeMap<&str, (&Load, Spent)>> = Mutex::new(BTreeMap::new());

/// CPU seconds of this process, all threads.
fn cpu() -> f64 {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks = fields.skip(11).take(2).map(|f| f.parse::<f64>().unwrap());
    ticks.sum::<f64>() / TICKS
}

/// An ingester that has all the memory it wants.
fn config(folder: &std::path::Path) -> Config {
    Config {
        data: folder.join("data"),
        store: cairn_store::Config::folder(folder.join("store")),
        admission: AdmissionConfig {
            wait_max: Duration::from_secs(60),
            ..AdmissionConfig::default()
        },
        tail: TailConfig {
            head_bytes_max: ByteSize::gib(4),
            memory_bytes_max: ByteSize::gib(4),
            ..TailConfig::default()
        },
        ..Config::default()
    }
}

fn run(bencher: divan::Bencher<'_, '_>, name: &'static str, load: &'static Load) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let open = || {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let config = config(folder.path());
        (runtime.block_on(Pushes::open(config)).unwrap(), folder)
    };
    bencher
        .counter(BytesCount::new(load.gzip_bytes))
        .counter(ItemsCount::new(load.samples))
        .with_inputs(open)
        .bench_local_values(|(pushes, folder)| {
            let (start, began) = (cpu(), std::time::Instant::now());
            runtime.block_on(async {
                let sent = load.requests.iter().map(|request| pushes.push(request));
                let mut sent = futures::stream::iter(sent).buffer_unordered(CONCURRENCY);
                while let Some(answer) = sent.next().await {
                    answer.unwrap();
                }
            });
            let mut spent = SPENT.lock().unwrap();
            let (_, spent) = spent.entry(name).or_insert((load, Spent::default()));
            spent.passes += 1.0;
            spent.cpu += cpu() - start;
            spent.wall += began.elapsed().as_secs_f64();
            Closing {
                pushes: Some(pushes),
                runtime: &runtime,
                _folder: folder,
            }
        });
}

/// Ends an ingester outside of what is measured.
struct Closing<'a> {
    pushes: Option<Pushes>,
    runtime: &'a tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if let Some(pushes) = self.pushes.take() {
            self.runtime.block_on(pushes.close()).unwrap();
        }
    }
}

#[divan::bench(sample_count = 5)]
fn agents(bencher: divan::Bencher<'_, '_>) {
    run(bencher, "agents", &AGENTS);
}

#[divan::bench(sample_count = 5)]
fn sdks(bencher: divan::Bencher<'_, '_>) {
    run(bencher, "sdks", &SDKS);
}

#[divan::bench(sample_count = 5)]
fn large(bencher: divan::Bencher<'_, '_>) {
    run(bencher, "large", &LARGE);
}

#[divan::bench(sample_count = 5)]
fn corpus_files(bencher: divan::Bencher<'_, '_>) {
    run(bencher, "corpus", &CORPUS);
}
