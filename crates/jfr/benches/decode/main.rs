//! Speed of decoding recordings: a real one, which is half metadata, and a large one of a
//! profiler that writes many events on few stacks.
//!
//! `cargo bench -p cairn-jfr`; bytes are plain bytes.

#![expect(dead_code, reason = "the tests use more of the writer")]

use std::io::Read;

use cairn_jfr::{Options, decode};
use cairn_model::Limits;
use divan::counter::{BytesCount, ItemsCount};

#[path = "../../tests/jfr/writer.rs"]
mod writer;

mod large;

use large::{EVENTS, large};

fn main() {
    divan::main();
}

fn real() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/jdk17.jfr.gz");
    let packed = std::fs::read(path).expect("the recording is there");
    let mut plain = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(&*packed);
    reader.read_to_end(&mut plain).expect("it is gzip");
    plain
}

#[divan::bench(args = ["jdk17", "large"])]
fn decode_recording(bencher: divan::Bencher<'_, '_>, name: &str) {
    let (bytes, events) = match name {
        "large" => (large(), EVENTS as usize),
        _ => (real(), 4_000),
    };
    let (options, limits) = (Options::default(), Limits::default());
    decode(&bytes, None, &options, &limits).expect("the recording decodes");
    bencher
        .counter(BytesCount::new(bytes.len()))
        .counter(ItemsCount::new(events))
        .bench_local(|| decode(divan::black_box(&bytes), None, &options, &limits));
}
