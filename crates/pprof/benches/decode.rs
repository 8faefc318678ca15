//! Speed of decoding and encoding: a small real profile and a large generated one.
//!
//! `cargo bench -p cairn-pprof`; bytes are plain bytes, for gzip too.

use std::sync::LazyLock;

use cairn_model::{Limits, Profile};
use cairn_pprof::{Decoder, Options, decode, encode, encode_gzip};
use cairn_testkit::generator::{Generator, Spec};
use divan::counter::{BytesCount, ItemsCount};

static LARGE: LazyLock<Profile> = LazyLock::new(|| {
    let spec = Spec {
        samples: 150_000,
        stacks: 2_000_000,
        tail: 0.8,
        endpoints: 20,
        ..Spec::default()
    };
    Generator::new(spec).profile(0, 0, 0)
});

static SMALL: LazyLock<Profile> = LazyLock::new(|| {
    let raw = cairn_testkit::corpus::read("generated/go/go1.27-compiler-cpu.pb.gz");
    decode(&raw, &Limits::default(), &Options::default())
        .expect("the corpus decodes")
        .profile
});

const PROFILES: [&str; 2] = ["compiler-cpu", "generated"];

fn profile(name: &str) -> &'static Profile {
    match name {
        "generated" => &LARGE,
        _ => &SMALL,
    }
}

fn main() {
    divan::main();
}

fn run(bencher: divan::Bencher<'_, '_>, raw: &[u8]) {
    let limits = Limits::default();
    let mut decoder = Decoder::default();
    let decoded = decoder.decode(raw, &limits, &Options::default());
    let decoded = decoded.expect("the profile decodes");
    bencher
        .counter(BytesCount::new(decoded.plain_bytes))
        .counter(ItemsCount::new(decoded.profile.samples.len()))
        .bench_local(|| decoder.decode(divan::black_box(raw), &limits, &Options::default()));
}

#[divan::bench(args = PROFILES)]
fn decode_plain(bencher: divan::Bencher<'_, '_>, name: &str) {
    run(bencher, &encode(profile(name)));
}

#[divan::bench(args = PROFILES)]
fn decode_gzip(bencher: divan::Bencher<'_, '_>, name: &str) {
    run(bencher, &encode_gzip(profile(name)));
}

#[divan::bench(args = PROFILES)]
fn encode_plain(bencher: divan::Bencher<'_, '_>, name: &str) {
    let profile = profile(name);
    bencher
        .counter(BytesCount::new(encode(profile).len()))
        .bench_local(|| encode(divan::black_box(profile)));
}
