//! Speed of decoding what an agent sends in a few seconds: ten thousand rows of two thousand
//! stacks, thirty deep, of five hundred processes.
//!
//! `cargo bench -p cairn-parca`; items are rows, bytes are as sent.

mod load;

use std::sync::Arc;

use cairn_model::Limits;
use cairn_parca::write;
use cairn_parca::{Known, Stacks};
use divan::counter::{BytesCount, ItemsCount};
use load::{ROWS, samples};

/// Whether a process has stacks of its own, any process has any stack, or there is one process.
const SHAPES: [&str; 3] = ["own", "any", "one"];

fn main() {
    divan::main();
}

#[divan::bench(args = SHAPES)]
fn one_way(bencher: divan::Bencher<'_, '_>, shape: &str) {
    let buffer = write::v2(&samples(shape));
    bencher
        .counter(ItemsCount::new(ROWS))
        .counter(BytesCount::new(buffer.len()))
        .bench_local(|| cairn_parca::decode(divan::black_box(&buffer), &Limits::default()));
}

/// Both records of a two-way write.
fn conversation(shape: &str) -> (Vec<u8>, Vec<u8>) {
    let samples = samples(shape);
    let mut stacks: Vec<_> = samples
        .iter()
        .map(|sample| (sample.stack_id, Arc::clone(&sample.stack)))
        .collect();
    stacks.sort_by_key(|stack| stack.0);
    stacks.dedup_by_key(|stack| stack.0);
    (write::v1_samples(&samples), write::v1_stacks(&stacks))
}

#[divan::bench(args = SHAPES)]
fn two_way(bencher: divan::Bencher<'_, '_>, shape: &str) {
    let (record, stacks) = conversation(shape);
    let limits = Limits::default();
    bencher
        .counter(ItemsCount::new(ROWS))
        .counter(BytesCount::new(record.len() + stacks.len()))
        .bench_local(|| {
            let samples = cairn_parca::samples(divan::black_box(&record), &limits)?;
            let stacks = cairn_parca::stacks(divan::black_box(&stacks), &limits)?;
            samples.join(&stacks, &limits)
        });
}

/// The same once all stacks are known.
#[divan::bench(args = SHAPES)]
fn two_way_known(bencher: divan::Bencher<'_, '_>, shape: &str) {
    let (record, stacks) = conversation(shape);
    let limits = Limits::default();
    let mut known = Known::new(64 << 20);
    let samples = cairn_parca::samples(&record, &limits).expect("it is sound");
    let first = known.ask(samples, &limits);
    let stacks = cairn_parca::stacks(&stacks, &limits).expect("it is sound");
    known.add(&first, &stacks);
    let nothing = Stacks::default();
    bencher
        .counter(ItemsCount::new(ROWS))
        .counter(BytesCount::new(record.len()))
        .bench_local(|| {
            let samples = cairn_parca::samples(divan::black_box(&record), &limits)?;
            known.ask(samples, &limits).join(&nothing, &limits)
        });
}
