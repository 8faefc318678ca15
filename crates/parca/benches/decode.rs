//! Speed of decoding what an agent sends in a few seconds: ten thousand rows of two thousand
//! stacks, thirty deep, of five hundred processes.
//!
//! `cargo bench -p cairn-parca`; items are rows, bytes are as sent.

use std::sync::Arc;

use cairn_model::Limits;
use cairn_parca::write::{self, Call, Frame, Sample};
use cairn_parca::{Known, Stacks};
use divan::counter::{BytesCount, ItemsCount};

const ROWS: usize = 10_000;
const STACKS: usize = 2_000;
const DEPTH: usize = 30;
const PROCESSES: usize = 500;
const FRAMES: usize = 6_000;

/// Whether a process has stacks of its own, any process has any stack, or there is one process.
const SHAPES: [&str; 3] = ["own", "any", "one"];

fn main() {
    divan::main();
}

/// A fixed sequence that looks random.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Seven of ten frames are native and unnamed, the others have names.
fn frame(at: usize) -> Frame {
    let named = |frame_type: &str, file: &str| Frame {
        address: at as u64,
        frame_type: frame_type.to_owned(),
        file: file.to_owned(),
        calls: vec![Call {
            name: format!("module.submodule.function_{at}"),
            system_name: format!("module.submodule.function_{at}"),
            file: format!("/usr/lib/application/module_{}.py", at % 300),
            start_line: 10,
            line: 12,
            column: 0,
        }],
        ..Frame::default()
    };
    match at % 10 {
        0..7 => Frame {
            address: 0x40_0000 + 64 * at as u64,
            frame_type: "native".to_owned(),
            file: format!("/usr/lib/x86_64-linux-gnu/library_{}.so", at % 40),
            build_id: format!("{:040x}", at % 40),
            ..Frame::default()
        },
        7 | 8 => named("kernel", "[kernel.kallsyms]"),
        _ => named("python", ""),
    }
}

fn samples(shape: &str) -> Vec<Sample> {
    let mut random = Sequence(1);
    let frames: Vec<Frame> = (0..FRAMES).map(frame).collect();
    let stacks: Vec<Arc<[Frame]>> = (0..STACKS)
        .map(|_| {
            // Roots are shared.
            let depths = (0..DEPTH).map(|depth| FRAMES >> (depth / 6));
            depths
                .map(|bound| frames[random.below(bound)].clone())
                .collect()
        })
        .collect();
    let one = |row| {
        let stack = random.below(STACKS);
        let process = match shape {
            "own" => stack % PROCESSES,
            "one" => 0,
            _ => random.below(PROCESSES),
        };
        let label = |name: &str, value: usize| (name.to_owned(), format!("{name}-{value}"));
        Sample {
            labels: vec![
                label("node", 0),
                label("comm", process % 60),
                label("namespace", process % 20),
                label("pod", process),
                label("container", process % 90),
                label("thread_name", process / 2),
            ],
            stack: Arc::clone(&stacks[stack]),
            stack_id: (stack as u128).to_be_bytes(),
            value: 1,
            producer: "parca_agent".to_owned(),
            sample_type: "samples".to_owned(),
            sample_unit: "count".to_owned(),
            period_type: "cpu".to_owned(),
            period_unit: "nanoseconds".to_owned(),
            temporality: "delta".to_owned(),
            period: 52_631_578,
            duration: 1_000_000_000,
            time: 1_700_000_000_000_000_000 + 1_000_003 * row as i64,
        }
    };
    (0..ROWS).map(one).collect()
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
