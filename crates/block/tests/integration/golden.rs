//! Blocks written long ago stay readable.

use bytes::Bytes;
use cairn_block::{Block, describe, merge, write};
use cairn_model::{BlockId, TenantId};
use cairn_store::{Key, Store};

use crate::model::{Model, head, options, sample_sent, stretch};

const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1.cairn");
const V2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v2.cairn");
const V3: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v3.cairn");

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
async fn version_3_says_which_profiles_are_of_a_link() {
    assert_eq!(
        Model::of_bytes(golden(V3)).expect("version 3 is readable"),
        Model::of_bytes(golden(V2)).expect("readable")
    );
    let block = Block::from_bytes(golden(V3)).expect("readable");
    let links = block.links().await.expect("read");
    let profiles: Vec<&[u32]> = (0..links.list.len()).map(|at| links.profiles(at)).collect();
    insta::assert_debug_snapshot!("v3_profiles_of_links", profiles);
    let earlier = Block::from_bytes(golden(V2)).expect("readable");
    assert!(!earlier.links().await.expect("read").has_profiles());
}

#[tokio::test]
async fn earlier_versions_do_not_say_which_traces_they_have() {
    let has = async |path, trace: &str| {
        let block = Block::from_bytes(golden(path)).expect("readable");
        block.may_have_trace(trace).await.expect("read")
    };
    let [held, other] = ["02", "09"].map(|byte| byte.repeat(16));
    for path in [V1, V2] {
        assert!(has(path, &held).await && has(path, &other).await);
    }
    assert!(has(V3, &held).await && !has(V3, &other).await);
}

#[test]
fn blocks_of_all_versions_merge() {
    let loaded = [V1, V2, V3].map(|path| {
        let block = Block::from_bytes(golden(path)).expect("readable");
        futures::executor::block_on(block.load()).expect("read")
    });
    let merged = merge(&loaded, 1, usize::MAX).expect("merged");
    let block = Block::from_bytes(merged.bytes.clone()).expect("readable");
    let links = futures::executor::block_on(block.links()).expect("read");
    assert!(links.has_profiles());
    // The last two are parts of one delivery to all appearances, and both count. Of the first nobody
    // knows where its batches came from, so it repeats them.
    let mut expected = Model::of_bytes(golden(V3)).expect("read").rows;
    expected
        .values_mut()
        .for_each(|value| *value = value.wrapping_mul(2));
    let merged = Model::of_bytes(merged.bytes).expect("read");
    assert!(merged.rows == expected, "a merge of versions differs");
}

#[tokio::test]
async fn a_block_can_be_looked_at() {
    insta::assert_snapshot!("v1_described", described(V1).await);
    insta::assert_snapshot!("v2_described", described(V2).await);
    insta::assert_snapshot!("v3_described", described(V3).await);
}

/// Where the file is missing it is written: commit it with a new version of the format.
#[test]
fn a_block_of_today_reads_as_the_golden_file() {
    let built = write(&head(&sample_sent()), options(0)).expect("written");
    if !std::path::Path::new(V3).exists() {
        std::fs::write(V3, &built.bytes).expect("the golden file is writable");
    }
    let today = Model::of_bytes(built.bytes).expect("read");
    assert_eq!(today, Model::of_bytes(golden(V3)).expect("read"));
}
