//! Speed of reading folded stacks: sorted as tools write them, and in no order.
//!
//! `cargo bench -p cairn-formats`

use std::fmt::Write;
use std::sync::LazyLock;

use cairn_formats::{Format, Unit, decode};
use cairn_model::Limits;
use cairn_testkit::generator::{Generator, Rng, Spec};
use divan::counter::{BytesCount, ItemsCount};

static SORTED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let spec = Spec {
        samples: 50_000,
        stacks: 1_000_000,
        tail: 0.8,
        ..Spec::default()
    };
    let profile = Generator::new(spec).profile(0, 0, 0);
    let mut lines: Vec<String> = (0..profile.samples.len())
        .map(|sample| {
            let mut line = String::new();
            for location in profile.stack(sample).iter().rev() {
                for call in profile.lines(*location).iter().rev() {
                    let name = profile.tables.functions[call.function as usize].name;
                    line.push_str(profile.str(name));
                    line.push(';');
                }
            }
            line.pop();
            write!(line, " {}", profile.values(sample)[0].unsigned_abs() + 1)
                .expect("texts take all");
            line
        })
        .collect();
    lines.sort();
    lines
});

fn main() {
    divan::main();
}

fn run(bencher: divan::Bencher<'_, '_>, lines: &[String]) {
    let text = lines.join("\n");
    let (limits, unit) = (Limits::default(), Unit::default());
    bencher
        .counter(BytesCount::new(text.len()))
        .counter(ItemsCount::new(lines.len()))
        .bench_local(|| {
            let text = divan::black_box(text.as_bytes());
            decode(Format::Folded, text, &unit, &limits).expect("it is folded")
        });
}

#[divan::bench]
fn sorted(bencher: divan::Bencher<'_, '_>) {
    run(bencher, &SORTED);
}

#[divan::bench]
fn shuffled(bencher: divan::Bencher<'_, '_>) {
    let mut lines = SORTED.clone();
    let mut rng = Rng::new(7);
    for at in (1..lines.len()).rev() {
        lines.swap(at, rng.below(at as u64 + 1) as usize);
    }
    run(bencher, &lines);
}
