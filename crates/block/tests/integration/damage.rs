//! A damaged block is refused or gives the right answer, never a wrong one, never a panic.

use bytes::Bytes;
use cairn_block::{Block, Error, write};
use cairn_model::{BlockId, Code, TenantId};
use cairn_store::{Key, Store};

use crate::model::{Model, head, options, sample_sent};

fn sample_block() -> (Bytes, Model) {
    let built = write(&head(&sample_sent()), options(0)).expect("written");
    let model = Model::of_bytes(built.bytes.clone()).expect("read");
    (built.bytes, model)
}

fn check(damaged: Vec<u8>, model: &Model, what: &str) {
    match Model::of_bytes(damaged.into()) {
        Ok(read) => assert_eq!(&read, model, "{what} gave a wrong answer"),
        Err(error) => assert_eq!(error.code(), Code::Corrupt, "{what}: {error:?}"),
    }
}

#[test]
fn no_flipped_bit_gives_a_wrong_answer() {
    let (bytes, model) = sample_block();
    for at in 0..bytes.len() {
        for mask in [1 << (at % 8), 0xff] {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= mask;
            check(damaged, &model, &format!("byte {at} flipped by {mask:#x}"));
        }
    }
}

#[test]
fn no_cut_gives_a_wrong_answer() {
    let (bytes, model) = sample_block();
    for at in 0..bytes.len() {
        check(bytes[..at].to_vec(), &model, &format!("cut to {at} bytes"));
        check(bytes[at..].to_vec(), &model, &format!("begun at byte {at}"));
    }
    for (from, to) in [(10, 20), (100, 700), (bytes.len() - 300, bytes.len() - 200)] {
        let kept = [&bytes[..from], &bytes[to..]].concat();
        check(kept, &model, &format!("bytes {from}..{to} lost"));
    }
}

#[test]
fn no_random_damage_gives_a_wrong_answer() {
    let (bytes, model) = sample_block();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % below
    };
    for round in 0..2_000 {
        let mut damaged = bytes.to_vec();
        for _ in 0..1 + draw(8) {
            let at = draw(damaged.len());
            match draw(3) {
                0 => damaged[at] = draw(256) as u8,
                1 => drop(damaged.drain(at..(at + draw(64)).min(damaged.len()))),
                _ => damaged.insert(at, draw(256) as u8),
            }
            if damaged.is_empty() {
                break;
            }
        }
        check(damaged, &model, &format!("round {round}"));
    }
}

/// Where the filter of traces is: between the sections and their checksums.
fn filter(bytes: &Bytes) -> std::ops::Range<usize> {
    let end = bytes.len() - 24;
    let word = |at: usize| {
        let bytes = bytes[end + at..end + at + 4].try_into();
        u32::from_le_bytes(bytes.expect("four bytes")) as usize
    };
    let (sums, text) = (word(0), word(4));
    let toc: serde_json::Value = serde_json::from_slice(&bytes[end - text..end]).expect("JSON");
    let length = toc["traces"]["bytes"].as_u64().expect("a number") as usize;
    end - text - sums - length..end - text - sums
}

#[tokio::test]
async fn a_damaged_filter_of_traces_is_no_answer() {
    let (bytes, _) = sample_block();
    let filter = filter(&bytes);
    assert!(!filter.is_empty());
    for at in filter {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << (at % 8);
        let block = Block::from_bytes(damaged.into()).expect("opened");
        let found = block.may_have_trace(&"09".repeat(16)).await;
        assert_eq!(found.expect_err("damaged").code(), Code::Corrupt);
    }
}

/// Damage that the writer of the checksums did, or someone who forged them.
#[test]
fn no_forged_section_panics() {
    let (bytes, _) = sample_block();
    let end = bytes.len() - 24;
    let word = |at: usize| {
        u32::from_le_bytes(
            bytes[end + at..end + at + 4]
                .try_into()
                .expect("four bytes"),
        ) as usize
    };
    let (sums, text) = (word(0), word(4));
    let sections = end - sums - text;
    let mut state = 1u64;
    let mut panics = 0;
    for at in (0..sections).chain(end - text..end).step_by(3) {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let mut forged = bytes.to_vec();
        forged[at] ^= 1 << (state >> 61);
        reseal(&mut forged, (sums, text));
        // Whatever it says now was written so: only that it is read calmly is asked for.
        let outcome = std::panic::catch_unwind(|| Model::of_bytes(forged.into()).map(drop));
        panics += usize::from(outcome.is_err());
    }
    assert_eq!(panics, 0);
}

/// Makes all checksums fit again.
fn reseal(object: &mut [u8], (sums, text): (usize, usize)) {
    let end = object.len() - 24;
    let toc: Result<serde_json::Value, _> = serde_json::from_slice(&object[end - text..end]);
    if let Some(sections) = toc.ok().as_ref().and_then(|toc| toc["sections"].as_array()) {
        let mut at = end - text - sums;
        for section in sections {
            let number = |name: &str| section[name].as_u64().unwrap_or(0) as usize;
            let bytes = object.get(number("offset")..number("offset") + number("bytes"));
            let chunks = bytes.unwrap_or_default().chunks(64 << 10);
            for checksum in chunks.map(crc32fast::hash).collect::<Vec<u32>>() {
                if at + 4 <= end - text {
                    object[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
                    at += 4;
                }
            }
        }
    }
    let checksum = crc32fast::hash(&object[end - text - sums..end + 12]);
    object[end + 12..end + 16].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn another_version_is_named() {
    let (bytes, _) = sample_block();
    let end = bytes.len() - 24;
    let mut newer = bytes.to_vec();
    let word = |at: usize| {
        u32::from_le_bytes(
            bytes[end + at..end + at + 4]
                .try_into()
                .expect("four bytes"),
        ) as usize
    };
    newer[end + 8] = 4;
    reseal(&mut newer, (word(0), word(4)));
    let error = Block::from_bytes(newer.into()).expect_err("version 4 is unknown");
    assert!(matches!(error, Error::UnsupportedVersion(4)), "{error:?}");
}

#[tokio::test]
async fn blocks_in_a_store_are_read_in_part_and_checked() {
    let (bytes, model) = sample_block();
    let store = Store::memory();
    let tenant = TenantId::anonymous();
    let size = bytes.len() as u64;
    let id = |n| BlockId::new(n, 1);
    let key = |n| Key::Block {
        tenant: &tenant,
        id: id(n),
    };
    store.create(key(1), bytes.clone()).await.expect("stored");
    store
        .create(key(2), bytes.slice(..bytes.len() / 2))
        .await
        .expect("stored");
    for hint in [None, Some(size)] {
        let block = Block::open(&store, &tenant, id(1), hint)
            .await
            .expect("opened");
        assert_eq!(Model::of_block(&block).await.expect("read"), model);
        let cut = Block::open(&store, &tenant, id(2), hint).await;
        assert_eq!(cut.expect_err("half is missing").code(), Code::Corrupt);
        let missing = Block::open(&store, &tenant, id(3), hint).await;
        let missing = missing.expect_err("there is none");
        assert!(matches!(missing, Error::NotFound(_)), "{missing:?}");
    }
    for wrong in [0, 1, size - 1, size + 1, u64::MAX] {
        let opened = Block::open(&store, &tenant, id(1), Some(wrong)).await;
        assert_eq!(opened.expect_err("another size").code(), Code::Corrupt);
    }
}
