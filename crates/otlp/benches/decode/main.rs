//! Speed of decoding: requests as an agent sends them, with a dictionary of ten thousand stacks.
//!
//! `cargo bench -p cairn-otlp`.

mod request;

use std::sync::LazyLock;

use cairn_model::Limits;
use cairn_otlp::decode;
use divan::counter::{BytesCount, ItemsCount};

use request::{SAMPLES, request};

static SAMPLED: LazyLock<Vec<u8>> = LazyLock::new(|| request(1, false));
static WITH_VALUES: LazyLock<Vec<u8>> = LazyLock::new(|| request(1, true));
static IN_PROFILES: LazyLock<Vec<u8>> = LazyLock::new(|| request(200, false));

fn main() {
    divan::main();
}

/// Samples with a time and two attributes; with a value and a link besides; in many profiles.
#[divan::bench(args = ["sampled", "values", "profiles"])]
fn samples(bencher: divan::Bencher<'_, '_>, name: &str) {
    let raw: &[u8] = match name {
        "values" => &WITH_VALUES,
        "profiles" => &IN_PROFILES,
        _ => &SAMPLED,
    };
    let limits = Limits {
        profile_bytes_max: 1 << 30,
        ..Limits::default()
    };
    let request = decode(raw, &limits).expect("the request decodes");
    let samples = request.profiles.iter().map(|profile| {
        let decoded = profile.as_ref().expect("the profile decodes");
        decoded.described.profile.samples.len()
    });
    assert_eq!(samples.sum::<usize>(), SAMPLES);
    bencher
        .counter(BytesCount::new(raw.len()))
        .counter(ItemsCount::new(SAMPLES))
        .bench_local(|| decode(divan::black_box(raw), &limits));
}
