//! What every plan keeps to, whatever it starts from.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const ALL: usize = SHARDS as usize;

fn id(number: usize) -> WriterId {
    WriterId::parse(&format!("ingester-{number}")).expect("valid")
}

fn candidates(zones: &[u8]) -> Vec<Candidate> {
    let candidate = |(number, zone): (usize, &u8)| Candidate {
        id: id(number),
        zone: format!("zone-{zone}"),
    };
    zones.iter().enumerate().map(candidate).collect()
}

/// Owners by number; 255 is nobody.
fn owned(numbers: &[u8]) -> Vec<Option<WriterId>> {
    let owner = |number: &u8| (*number < 255).then(|| id(usize::from(*number)));
    numbers.iter().map(owner).collect()
}

fn planned(owners: &[Option<WriterId>], writers: &[Candidate]) -> Vec<(u16, WriterId)> {
    let owners: Vec<_> = owners.iter().map(Option::as_ref).collect();
    plan(&owners, writers)
}

fn moved(mut owners: Vec<Option<WriterId>>, writers: &[Candidate]) -> Vec<Option<WriterId>> {
    for (shard, writer) in planned(&owners, writers) {
        owners[usize::from(shard)] = Some(writer);
    }
    owners
}

fn counts(owners: &[Option<WriterId>]) -> BTreeMap<&WriterId, usize> {
    let mut counts = BTreeMap::new();
    for owner in owners.iter().flatten() {
        *counts.entry(owner).or_default() += 1;
    }
    counts
}

/// Writers, how many shards and how many of them one more than the others.
fn by_zone<'a>(
    owners: &[Option<WriterId>],
    writers: &'a [Candidate],
) -> BTreeMap<&'a str, (usize, usize, usize)> {
    let counts = counts(owners);
    let each = owners.len() / writers.len();
    let mut zones: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
    for writer in writers {
        let count = counts.get(&writer.id).copied().unwrap_or(0);
        let zone = zones.entry(&writer.zone).or_default();
        zone.0 += 1;
        zone.1 += count;
        zone.2 += count - each;
    }
    zones
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_shard_has_an_open_owner_and_all_have_as_many(
        numbers in vec(prop_oneof![0u8..12, Just(255)], ALL),
        zones in vec(0u8..4, 1..10),
    ) {
        let writers = candidates(&zones);
        let after = moved(owned(&numbers), &writers);
        let counts = counts(&after);
        prop_assert_eq!(counts.values().sum::<usize>(), ALL);
        for writer in &writers {
            let count = counts.get(&writer.id).copied().unwrap_or(0);
            prop_assert!(count == ALL / zones.len() || count == ALL.div_ceil(zones.len()));
        }
        // No zone has two more than another that could take one from it.
        let zones = by_zone(&after, &writers);
        for (_, rich, extras) in zones.values() {
            for (members, poor, taken) in zones.values() {
                prop_assert!(rich <= &(poor + 1) || *extras == 0 || taken == members);
            }
        }
    }

    #[test]
    fn nothing_moves_when_nothing_changed(
        numbers in vec(prop_oneof![0u8..12, Just(255)], ALL),
        zones in vec(0u8..4, 1..10),
    ) {
        let writers = candidates(&zones);
        let after = moved(owned(&numbers), &writers);
        prop_assert_eq!(planned(&after, &writers), []);
        let reversed: Vec<_> = writers.into_iter().rev().collect();
        prop_assert_eq!(planned(&after, &reversed), []);
    }

    #[test]
    fn what_moves_had_no_open_owner_or_was_too_much(
        numbers in vec(prop_oneof![0u8..12, Just(255)], ALL),
        zones in vec(0u8..4, 1..10),
    ) {
        let writers = candidates(&zones);
        let before = owned(&numbers);
        let open = |owner: &WriterId| writers.iter().any(|writer| writer.id == *owner);
        let orphans = before.iter().filter(|o| !o.as_ref().is_some_and(open)).count();
        let held = counts(&before);
        // At the least that any plan moves, if all of those who have too much may have one more.
        let surplus = |each: usize| -> usize {
            let open = held.iter().filter(|(owner, _)| open(owner));
            open.map(|(_, count)| count.saturating_sub(each)).sum()
        };
        let moves = planned(&before, &writers).len();
        prop_assert!(moves >= orphans + surplus(ALL.div_ceil(zones.len())));
        prop_assert!(moves <= orphans + surplus(ALL / zones.len()));
    }

    #[test]
    fn one_more_writer_takes_its_share_and_nobody_else_gains(
        zones in vec(0u8..4, 2..40),
    ) {
        let writers = candidates(&zones);
        let before = moved(vec![None; ALL], &writers[1..]);
        let moves = planned(&before, &writers);
        let share = ALL / zones.len();
        prop_assert!((share..=share + 1).contains(&moves.len()), "{} moved", moves.len());
        prop_assert!(moves.iter().all(|(_, writer)| *writer == id(0)));
    }

    #[test]
    fn one_writer_less_moves_its_own_shards_only(
        zones in vec(0u8..4, 2..40),
        gone in any::<prop::sample::Index>(),
    ) {
        let mut writers = candidates(&zones);
        let before = moved(vec![None; ALL], &writers);
        let gone = writers.remove(gone.index(zones.len())).id;
        for (shard, _) in planned(&before, &writers) {
            prop_assert_eq!(before[usize::from(shard)].as_ref(), Some(&gone));
        }
    }
}

#[test]
fn equal_zones_have_equal_parts() {
    for (members, zones) in [(1, 3), (2, 3), (3, 3), (5, 2), (7, 5)] {
        let zones: Vec<u8> = (0..members * zones).map(|n| n % zones).collect();
        let writers = candidates(&zones);
        let after = moved(vec![None; ALL], &writers);
        let parts = by_zone(&after, &writers);
        let parts = parts.values().map(|(_, shards, _)| *shards);
        assert!(parts.clone().max().unwrap() - parts.min().unwrap() <= 1);
    }
}

#[test]
fn shards_are_dealt_in_turns_and_nobody_is_no_owner() {
    assert_eq!(planned(&[None, None], &[]), []);
    let writers = candidates(&[0, 1]);
    let dealt = planned(&[None, None, None], &writers);
    assert_eq!(dealt, [(0, id(0)), (1, id(1)), (2, id(0))]);
    let twice = [writers.clone(), writers].concat();
    assert_eq!(planned(&[None, None, None], &twice), dealt);
}

#[test]
fn a_map_is_read_shard_by_shard() {
    let writers = candidates(&[0, 0, 1]);
    let moves = assign(&ShardMap::default(), &writers);
    let shards: Vec<u16> = moves.iter().map(|(shard, _)| *shard).collect();
    assert_eq!(shards, (0..SHARDS).collect::<Vec<_>>());
}
