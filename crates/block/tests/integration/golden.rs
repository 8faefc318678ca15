//! Blocks written long ago stay readable.

use bytes::Bytes;
use cairn_block::{Block, describe, write};
use cairn_model::{BlockId, TenantId};
use cairn_store::{Key, Store};

use crate::model::{Model, head, options, sample_sent, stretch};

const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1.cairn");
const V2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v2.cairn");

/// Written by the first build that wrote this version, and never again.
fn golden(path: &str) -> Bytes {
    std::fs::read(path)
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

async fn described(path: &str) -> String {
    let block = Block::from_bytes(golden(path)).expect("readable");
    describe(&block).await.expect("described")
}

#[test]
fn version_1_reads_as_ever() {
    let model = Model::of_bytes(golden(V1)).expect("version 1 is readable");
    insta::assert_snapshot!("v1_content", listing(&model));
}

#[tokio::test]
async fn version_1_does_not_say_where_its_rows_came_from() {
    let (store, tenant) = (Store::memory(), TenantId::anonymous());
    let id = BlockId::new(1, 1);
    let key = Key::Block {
        tenant: &tenant,
        id,
    };
    store.create(key, golden(V1)).await.expect("stored");
    let block = Block::open(&store, &tenant, id, None)
        .await
        .expect("opened");
    assert_eq!(block.origins().stretches, []);
    assert_eq!(block.origins().unknown, [id]);
}

#[test]
fn version_2_reads_as_ever() {
    let model = Model::of_bytes(golden(V2)).expect("version 2 is readable");
    assert_eq!(model, Model::of_bytes(golden(V1)).expect("readable"));
    let origins = Block::from_bytes(golden(V2)).expect("readable").origins();
    assert_eq!(origins.stretches, [stretch(3, 1, 40)]);
    assert_eq!((origins.unknown.len(), origins.siblings), (0, 2));
}

#[tokio::test]
async fn a_block_can_be_looked_at() {
    insta::assert_snapshot!("v1_described", described(V1).await);
    insta::assert_snapshot!("v2_described", described(V2).await);
}

/// Where the file is missing it is written: commit it with a new version of the format.
#[test]
fn a_block_of_today_reads_as_the_golden_file() {
    let built = write(&head(&sample_sent()), options(0)).expect("written");
    if !std::path::Path::new(V2).exists() {
        std::fs::write(V2, &built.bytes).expect("the golden file is writable");
    }
    let today = Model::of_bytes(built.bytes).expect("read");
    assert_eq!(today, Model::of_bytes(golden(V2)).expect("read"));
}
