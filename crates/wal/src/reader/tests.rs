use std::time::Duration;

use super::*;
use crate::testing::{World, id_of, payload, writer};
use crate::{DurableLog as _, Lease, ObjectLog};

/// A log of the groups `1 2 | 3 | 4 5 6`.
fn log() -> (World, Store, ObjectLog) {
    let world = World::new(1);
    let store = Store::memory();
    let lease = Lease::new(world.instant() + Duration::from_secs(60));
    let mut log = ObjectLog::new(store.clone(), (writer(), 7), lease, world.outside());
    for group in [&[1, 2][..], &[3], &[4, 5, 6]] {
        let payloads = group.iter().map(|id| payload(*id)).collect();
        world.run(log.append(payloads, 100)).expect("stored");
    }
    (world, store, log)
}

fn reader(store: &Store) -> LogReader {
    LogReader::new(store.clone(), writer(), 7)
}

fn firsts(listing: &Listing) -> Vec<Lsn> {
    listing
        .segments
        .iter()
        .map(|segment| segment.first)
        .collect()
}

fn delete(world: &World, store: &Store, first: Lsn) {
    world
        .run(store.delete(reader(store).key(first)))
        .expect("deleted");
}

fn put(world: &World, store: &Store, first: Lsn, bytes: Bytes) {
    world
        .run(store.create(reader(store).key(first), bytes))
        .expect("the name is free");
}

fn place(first: Lsn) -> Place {
    Place {
        writer: writer(),
        incarnation: 7,
        first,
        nonce: 1,
        made: 0,
    }
}

/// Reads all that is listed, or says which object is bad.
fn read_all(world: &World, store: &Store, after: Lsn) -> Result<Vec<u64>, Error> {
    let reader = reader(store);
    world.run(async {
        let mut found = Vec::new();
        for segment in &reader.segments(after).await?.segments {
            let read = reader.read(segment).await?;
            assert_eq!(reader.header(segment).await?, read.header);
            found.extend(read.entries().map(|(_, bytes)| id_of(bytes)));
        }
        Ok(found)
    })
}

#[track_caller]
fn assert_corrupt(error: Error, key: &str, reason: &str) {
    assert_eq!(error.code(), cairn_model::Code::Corrupt);
    let text = error.to_string();
    assert!(text.contains(key) && text.contains(reason), "{text}");
}

#[test]
fn segments_are_those_with_entries_in_question() {
    let (world, store, _log) = log();
    for (after, listed, end) in [
        (0, &[1, 3, 4][..], 7),
        (1, &[1, 3, 4], 7),
        (2, &[3, 4], 7),
        (3, &[4], 7),
        (5, &[4], 7),
        (6, &[], 7),
    ] {
        let listing = world.run(reader(&store).segments(after)).expect("listed");
        assert_eq!(firsts(&listing), listed, "after {after}");
        assert_eq!((listing.end, listing.is_fenced), (end, false));
    }
    assert_eq!(
        read_all(&world, &store, 0).expect("read"),
        [1, 2, 3, 4, 5, 6]
    );
}

#[test]
fn a_log_without_objects_ends_where_blocks_do() {
    let world = World::new(1);
    let store = Store::memory();
    let listing = world.run(reader(&store).segments(9)).expect("listed");
    assert_eq!((firsts(&listing), listing.end), (vec![], 10));
    let outside = world.outside();
    let fenced = world.run(reader(&store).fence(9, 0, &outside));
    assert_eq!(fenced.expect("fenced"), 10);
    let listing = world.run(reader(&store).segments(9)).expect("listed");
    assert_eq!((firsts(&listing), listing.end), (vec![], 10));
    assert!(listing.is_fenced);
}

#[test]
fn a_deleted_segment_that_comes_back_changes_nothing() {
    let (world, store, _log) = log();
    let first = world.run(store.get(reader(&store).key(1))).expect("there");
    for gone in [1, 3, 4] {
        delete(&world, &store, gone);
    }
    put(&world, &store, 1, first);
    let listing = world.run(reader(&store).segments(6)).expect("listed");
    assert_eq!((firsts(&listing), listing.end), (vec![], 7));
    let fenced = world.run(reader(&store).fence(6, 0, &world.outside()));
    assert_eq!(fenced.expect("fenced"), 7, "where its writer would go on");
}

#[test]
fn headers_tell_hashes_and_when() {
    let (world, store, _log) = log();
    let reader = reader(&store);
    let listing = world.run(reader.segments(0)).expect("listed");
    let header = world
        .run(reader.header(&listing.segments[2]))
        .expect("read");
    assert_eq!(header.place.made, 100);
    let hashes: Vec<_> = header
        .entries()
        .map(|(lsn, listed)| (lsn, listed.hashes.clone()))
        .collect();
    assert_eq!(hashes, [(4, vec![5]), (5, vec![6, 6]), (6, vec![])]);
}

#[test]
fn a_missing_segment_is_damage_and_both_sides_are_named() {
    let (world, store, _log) = log();
    delete(&world, &store, 3);
    let error = read_all(&world, &store, 0).expect_err("a gap");
    assert_corrupt(
        error,
        "00000000000000000001",
        "next object is log/ingester-0/00000000000000000007/00000000000000000004",
    );
    let error = read_all(&world, &store, 2).expect_err("a gap");
    assert_corrupt(error, "00000000000000000001", "00000000000000000004");
    delete(&world, &store, 1);
    let error = read_all(&world, &store, 1).expect_err("a gap");
    assert_corrupt(error, "00000000000000000004", "2 is missing");
    assert_eq!(read_all(&world, &store, 3).expect("all there"), [4, 5, 6]);
}

#[test]
fn what_lies_behind_a_fence_is_damage() {
    let (world, store, _log) = log();
    put(&world, &store, 7, format::fence(&place(7)));
    assert_eq!(read_all(&world, &store, 0).expect("fenced").len(), 6);
    let late = format::segment(&place(8), &[payload(1)]).expect("small");
    put(&world, &store, 8, late);
    let error = read_all(&world, &store, 6).expect_err("it follows a fence");
    assert_corrupt(error, "00000000000000000007", "it is a fence");
}

#[test]
fn a_fence_before_the_end_of_blocks_is_damage() {
    let (world, store, _log) = log();
    put(&world, &store, 7, format::fence(&place(7)));
    let error = world
        .run(reader(&store).segments(9))
        .expect_err("9 is in blocks");
    assert_corrupt(error, "00000000000000000007", "fence");
}

#[test]
fn objects_in_the_wrong_place_or_cut_are_damage() {
    let (world, store, _log) = log();
    let other = format::segment(&place(9), &[payload(1)]).expect("small");
    put(&world, &store, 7, other);
    let error = read_all(&world, &store, 0).expect_err("misplaced");
    assert_corrupt(
        error,
        "00000000000000000007",
        "it says that it is ingester-0/7/9",
    );
    delete(&world, &store, 7);
    let whole = format::segment(&place(7), &[payload(1)]).expect("small");
    for cut in [0, 10, 50, whole.len() - 1] {
        put(&world, &store, 7, whole.slice(..cut));
        let error = read_all(&world, &store, 0).expect_err("cut");
        assert_corrupt(error, "00000000000000000007", "");
        delete(&world, &store, 7);
    }
}

#[test]
fn a_header_larger_than_the_first_read_is_read() {
    let world = World::new(1);
    let store = Store::memory();
    let large = crate::Payload {
        bytes: b"12345678".to_vec(),
        hashes: (0..5_000).collect(),
    };
    put(
        &world,
        &store,
        1,
        format::segment(&place(1), &[large]).expect("small"),
    );
    let reader = reader(&store);
    let listing = world.run(reader.segments(0)).expect("listed");
    let header = world
        .run(reader.header(&listing.segments[0]))
        .expect("read");
    assert_eq!(
        header.entries().map(|(_, l)| l.hashes.len()).sum::<usize>(),
        5_000
    );
}

#[test]
fn segments_read_ahead_come_in_order_and_end_with_the_first_error() {
    let (world, store, mut log) = log();
    for id in 7..60 {
        world.run(log.append(vec![payload(id)], 0)).expect("stored");
    }
    let read = |store: &Store| {
        let reader = reader(store);
        world.run(async {
            let listing = reader.segments(0).await.expect("listed");
            let mut segments = reader.read_all(listing.segments);
            let mut found = Vec::new();
            while let Some(segment) = segments.next().await {
                let Ok(segment) = segment else {
                    assert!(segments.next().await.is_none());
                    found.push(0);
                    break;
                };
                found.extend(segment.entries().map(|(_, bytes)| id_of(bytes)));
            }
            found
        })
    };
    assert_eq!(read(&store), Vec::from_iter(1..60));
    delete(&world, &store, 9);
    assert_eq!(
        read(&store),
        [1, 2, 3, 4, 5, 6, 7, 0],
        "9 is missing behind 8"
    );
}
