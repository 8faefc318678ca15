//! Scans, flame graphs and codecs at the size of a large service: ten million rows of which the
//! number of distinct stacks grows with the power 0.7.

use std::sync::{Arc, LazyLock};

use cairn_block::{Head, Origin};
use cairn_engine::{
    Answer, Flame, GroupBy, KeyBy, Merge, Query, Question, Scanned, Source, Trim, codec, scan_head,
    top,
};
use cairn_model::{
    Function, Labels, Line, Location, NONE, Profile, Stacks, Tables, TimeRange, ValueType,
};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

const ROWS: usize = 10_000_000;
const PROFILES: usize = 20_000;
const POWER: f64 = 0.7;

/// Deterministic and good enough to draw shapes with.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * bound as u128) >> 64) as usize
    }

    fn unit(&mut self) -> f64 {
        self.below(1 << 40) as f64 / (1u64 << 40) as f64
    }

    /// A rank drawn so that the number of distinct ones grows with the power of the draws.
    fn rank(&mut self) -> usize {
        let rank = self.unit().max(1e-12).powf(-POWER / (1.0 - POWER)) - 1.0;
        rank.min(1e15) as usize
    }
}

const FUNCTIONS: usize = 3_500;

/// One profile's tables: every location is a named call.
fn tables() -> Tables {
    let mut tables = Tables::default();
    for at in 0..FUNCTIONS {
        let name = tables
            .strings
            .push(&format!("service::module_{}::function_{at}", at % 97));
        tables.functions.push(Function {
            name,
            system_name: name,
            ..Function::default()
        });
        for line in 0..4u32 {
            tables.locations.push(Location {
                mapping: NONE,
                address: u64::from(line),
                lines: (at as u32 * 4 + line, at as u32 * 4 + line + 1),
            });
            tables.lines.push(Line {
                function: at as u32,
                line: i64::from(line),
                column: 0,
            });
        }
    }
    tables
}

/// Leaf first: 12 to 25 frames that a number decides, neighbours sharing most of their callers.
fn stack(rank: usize, out: &mut Vec<u32>) {
    let depth = 12 + rank % 14;
    for level in (0..depth).rev() {
        let shared = rank >> (2 * (depth - level)).min(40);
        let mut random =
            Random((shared as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ level as u64 | 1);
        random.below(2);
        out.push(random.below(FUNCTIONS * 4) as u32);
    }
}

fn build(rows: usize, profiles: usize) -> Head {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut head = Head::default();
    let mut profile = Profile {
        duration: 10_000_000_000,
        period: 1,
        types: vec![ValueType::default()],
        tables: Arc::new(tables()),
        ..Profile::default()
    };
    for at in 0..profiles {
        let tables = Arc::get_mut(&mut profile.tables).expect("no other profile has them");
        tables.stacks = Stacks::default();
        profile.samples = Default::default();
        for _ in 0..rows / profiles {
            stack(random.rank(), &mut tables.stacks.locations);
            profile.samples.stacks.push(tables.stacks.end());
            profile.samples.values.push(1 + random.below(3) as i64);
        }
        let pod = format!("cart-{}", at % 100);
        let origin = Origin {
            name: "process_cpu".into(),
            labels: Labels::from_pairs([("pod", pod.as_str()), ("app", "cart")]).expect("valid"),
            time: (at / 100) as i64 * 10_000_000_000,
            lsn: at as u64 + 1,
            batch: 0,
        };
        head.append(&profile, &origin).expect("there is room");
    }
    head
}

static HEAD: LazyLock<Head> = LazyLock::new(|| build(ROWS, PROFILES));

fn query(question: Question) -> Query {
    Query {
        profile_type: None,
        matchers: Vec::new(),
        range: TimeRange::ALL,
        weights: None,
        question,
    }
}

fn scan(bencher: Bencher, question: Question) {
    let query = query(question);
    let rows = HEAD.samples().len();
    bencher
        .counter(ItemsCount::new(rows))
        .bench(|| scan_head(&HEAD, 0, &query, Source::ALONE));
}

#[divan::bench(sample_count = 15)]
fn scan_stacks(bencher: Bencher) {
    scan(bencher, Question::Stacks(GroupBy::Nothing));
}

#[divan::bench(sample_count = 10)]
fn scan_stacks_by_pod(bencher: Bencher) {
    scan(
        bencher,
        Question::Stacks(GroupBy::Labels(vec!["pod".into()])),
    );
}

#[divan::bench(sample_count = 15)]
fn scan_series_by_pod(bencher: Bencher) {
    let step = 60_000_000_000;
    let sum_by = Some(vec!["pod".into()]);
    scan(bencher, Question::Series { step, sum_by });
}

static MERGED: LazyLock<Scanned> = LazyLock::new(|| {
    let query = query(Question::Stacks(GroupBy::Nothing));
    let mut merge = Merge::new(&query.question);
    let scanned = scan_head(&HEAD, 0, &query, Source::ALONE);
    merge.add(scanned).expect("stacks were asked for");
    merge.finish()
});

fn nodes() -> ItemsCount {
    let Answer::Stacks(partial) = &MERGED.answer else {
        panic!("stacks were asked for")
    };
    ItemsCount::new(partial.trie.len())
}

fn flame() -> Flame {
    let Answer::Stacks(partial) = &MERGED.answer else {
        panic!("stacks were asked for")
    };
    Flame::build(partial, KeyBy::default())
}

#[divan::bench(sample_count = 15)]
fn flame_build(bencher: Bencher) {
    bencher.counter(nodes()).bench(flame);
}

#[divan::bench(sample_count = 15)]
fn flame_trim(bencher: Bencher) {
    let flame = flame();
    let trim = Trim {
        fraction: 1.0 / 1920.0,
        nodes_max: 10_000,
    };
    bencher
        .counter(ItemsCount::new(flame.nodes.len()))
        .with_inputs(|| flame.clone())
        .bench_values(|flame| flame.trim(&trim));
}

#[divan::bench(sample_count = 15)]
fn top_table(bencher: Bencher) {
    let flame = flame();
    bencher
        .counter(ItemsCount::new(flame.nodes.len()))
        .bench(|| top(&flame));
}

#[divan::bench(sample_count = 15)]
fn codec_encode(bencher: Bencher) {
    bencher.counter(nodes()).bench(|| codec::encode(&MERGED));
}

#[divan::bench(sample_count = 15)]
fn codec_decode(bencher: Bencher) {
    let batches = codec::encode(&MERGED);
    bencher
        .counter(nodes())
        .bench(|| codec::decode(&batches, codec::DecodeLimits::default()));
}
