//! Blocks written long ago stay readable.

use bytes::Bytes;
use cairn_block::{Block, Options, describe, write};

use crate::model::{Model, head, sample_sent};

const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1.cairn");

/// Written by the first build that wrote this version, and never again.
fn v1() -> Bytes {
    std::fs::read(V1)
        .expect("the golden file is in the repository")
        .into()
}

fn listing(model: &Model) -> String {
    let rows = model
        .rows
        .iter()
        .map(|(row, value)| format!("{row:?} = {value}\n"));
    let profiles = model
        .profiles
        .iter()
        .map(|(about, n)| format!("{n} x {about}\n"));
    rows.chain(profiles).collect()
}

#[test]
fn version_1_reads_as_ever() {
    let model = Model::of_bytes(v1()).expect("version 1 is readable");
    insta::assert_snapshot!("v1_content", listing(&model));
}

#[tokio::test]
async fn a_block_can_be_looked_at() {
    let block = Block::from_bytes(v1()).expect("version 1 is readable");
    let text = describe(&block).await.expect("described");
    insta::assert_snapshot!("v1_described", text);
}

/// Where the file is missing it is written: commit it with a new version of the format.
#[test]
fn a_block_of_today_reads_as_the_golden_file() {
    let built = write(&head(&sample_sent()), Options::default()).expect("written");
    if !std::path::Path::new(V1).exists() {
        std::fs::write(V1, &built.bytes).expect("the golden file is writable");
    }
    let today = Model::of_bytes(built.bytes).expect("read");
    assert_eq!(today, Model::of_bytes(v1()).expect("read"));
}
