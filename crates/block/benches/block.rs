//! Writing, opening and scanning blocks of the shape of real profiles, and how large they are.

use std::sync::LazyLock;

use cairn_block::{Block, Head, Loaded, Lsn, Options, Origin, SampleColumns, merge, write};
use cairn_testkit::generator::{Generator, Rng, Spec};
use divan::Bencher;
use divan::counter::ItemsCount;
use futures::executor::block_on;

#[expect(clippy::print_stderr, reason = "sizes are results too")]
fn main() {
    for (name, fleet) in FLEETS.iter() {
        for level in [0, 1] {
            let built = write(fleet, at(level)).expect("written");
            let (bytes, rows) = (built.info.bytes, built.info.rows);
            let per_row = bytes as f64 / rows as f64;
            eprintln!("{name}, level {level}: {rows} rows, {bytes} bytes, {per_row:.2} per row");
            let block = Block::from_bytes(built.bytes).expect("opened");
            if std::env::args().any(|arg| arg == "--describe") {
                eprintln!(
                    "{}",
                    block_on(cairn_block::describe(&block)).expect("described")
                );
            }
        }
    }
    if std::env::args().all(|arg| arg != "--describe") {
        divan::main();
    }
}

type Fleet = (&'static str, Head);

static FLEETS: LazyLock<[Fleet; 4]> = LazyLock::new(|| {
    let large = |tail| Spec {
        pods: 40,
        tail,
        ..Spec::default()
    };
    let small = Spec {
        services: 40,
        samples: 50,
        stacks: 3_000,
        ..Spec::default()
    };
    [
        ("large service, d=0.7", fleet(large(0.7), 180)),
        ("large service, d=0.8", fleet(large(0.8), 180)),
        ("40 small services, 15 minutes", fleet(small.clone(), 90)),
        ("40 small services, 1 minute", fleet(small, 6)),
    ]
});

fn fleet(spec: Spec, steps: u32) -> Head {
    let generator = Generator::new(spec);
    let mut head = Head::default();
    let mut hash = Rng::new(1);
    for step in 0..steps {
        for service in 0..generator.spec().services {
            for pod in 0..generator.spec().pods {
                let profile = generator.profile(service, pod, step);
                let origin = Origin {
                    name: "process_cpu".into(),
                    labels: generator.labels(service, pod),
                    // Clocks and agents are never quite in time.
                    time: profile.time + hash.below(50_000_000) as i64,
                    lsn: Lsn::from(step) + 1,
                    // Batches are known by hashes, which don't pack.
                    batch: u128::from(hash.next()) << 64 | u128::from(hash.next()),
                };
                head.append(&profile, &origin).expect("it fits");
            }
        }
    }
    head
}

fn at(level: u8) -> Options {
    Options {
        level,
        ..Options::default()
    }
}

fn large() -> &'static Head {
    &FLEETS[0].1
}

#[divan::bench(args = [0, 1])]
fn write_rows(bencher: Bencher<'_, '_>, level: u8) {
    let rows = ItemsCount::new(large().samples().len());
    bencher
        .counter(rows)
        .bench(|| write(large(), at(level)).expect("written"));
}

#[divan::bench]
fn merge_two(bencher: Bencher<'_, '_>) {
    let built = write(large(), Options::default()).expect("written");
    let block = Block::from_bytes(built.bytes).expect("opened");
    let loaded: Loaded = block_on(block.load()).expect("read");
    let inputs = [loaded.clone(), loaded];
    bencher
        .counter(ItemsCount::new(built.info.rows * 2))
        .bench(|| merge(&inputs, 1, usize::MAX).expect("merged"));
}

#[divan::bench]
fn open_and_read_index(bencher: Bencher<'_, '_>) {
    let built = write(large(), at(1)).expect("written");
    bencher.bench(|| {
        let block = Block::from_bytes(built.bytes.clone()).expect("opened");
        block_on(block.index()).expect("read")
    });
}

#[divan::bench]
fn read_stacks(bencher: Bencher<'_, '_>) {
    let built = write(large(), at(1)).expect("written");
    bencher.bench(|| {
        let block = Block::from_bytes(built.bytes.clone()).expect("opened");
        block_on(block.stacks()).expect("read")
    });
}

/// Decoding alone: what a query adds is one addition per row.
#[divan::bench(args = [0, 1])]
fn scan_rows(bencher: Bencher<'_, '_>, level: u8) {
    let built = write(large(), at(level)).expect("written");
    let block = Block::from_bytes(built.bytes).expect("opened");
    let loaded = block_on(block.load()).expect("read");
    bencher.counter(ItemsCount::new(built.info.rows)).bench(|| {
        let mut sum = 0i64;
        let mut visit = |_: u64, rows: &SampleColumns| {
            sum = rows
                .values
                .iter()
                .fold(sum, |sum, value| sum.wrapping_add(*value));
        };
        for rows in &loaded.rows {
            rows.visit(&mut visit).expect("decoded");
        }
        sum
    });
}
