//! Same inputs, same shard; tenants apart; zones even; growth moves little.

use std::collections::{BTreeMap, BTreeSet};

use super::super::view::{Peer, Shards};
use super::*;

/// Shard numbers modulo writers; writers modulo zones.
fn view(writers: u16, zones: u16) -> View {
    let peer = |number: u16| Peer {
        id: cairn_model::WriterId::parse(&format!("w{number}")).expect("valid"),
        incarnation: 1,
        log: cairn_catalog::Log::OnePerIncarnation,
        address: String::new(),
        zone: format!("z{}", number % zones),
    };
    let writers: Vec<Peer> = (0..writers).map(peer).collect();
    let owner = |shard: u16| {
        let writer = &writers[usize::from(shard) % writers.len()];
        (shard, writer.id.clone())
    };
    View::new(Shards {
        epoch: 1,
        owners: (0..SHARDS).map(owner).collect(),
        writers,
        sealed: Vec::new(),
    })
}

fn tenant(number: usize) -> TenantId {
    TenantId::parse(&format!("tenant-{number}")).expect("valid")
}

fn series(service: usize, pod: usize) -> Vec<(String, String)> {
    let label = |name: &str, value: String| (name.to_owned(), value);
    vec![
        label("__name__", "process_cpu".to_owned()),
        label("pod", format!("pod-{pod}")),
        label("service_name", format!("service-{service}")),
    ]
}

/// Of `count` things, those that two ways of placing put elsewhere, in percent.
fn moved<T: PartialEq>(count: usize, a: impl Fn(usize) -> T, b: impl Fn(usize) -> T) -> usize {
    let differ = (0..count).filter(|number| a(*number) != b(*number)).count();
    differ * 100 / count
}

#[test]
fn every_order_has_every_shard_once() {
    for seed in 0..20 {
        let all: BTreeSet<u16> = (0..SHARDS).map(|index| permuted(seed, index)).collect();
        assert_eq!(all.len(), usize::from(SHARDS));
    }
}

/// Ingesters of different versions speak to each other: these numbers never change.
#[test]
fn shards_stay_what_they_are() {
    let subset = Subset::new(&view(6, 3), &TenantId::anonymous(), 8);
    let shards = [3919, 1138, 400, 1782, 74, 3461, 2627, 3177];
    assert_eq!(subset.shards(), shards);
    assert_eq!(subset.shard(&series(1, 2), 1), 1782);
    assert_eq!(subset.shard(&series(1, 2), 4), 3919);
}

#[test]
fn the_order_of_writers_and_labels_changes_nothing() {
    let one = view(6, 3);
    let mut shards = one.shards().clone();
    shards.writers.reverse();
    shards.owners.reverse();
    let other = View::new(shards);
    for number in 0..50 {
        let one = Subset::new(&one, &tenant(number), 8);
        let other = Subset::new(&other, &tenant(number), 8);
        assert_eq!(one, other);
        let mut reversed = series(number, 7);
        reversed.reverse();
        assert_eq!(one.shard(&series(number, 7), 4), other.shard(&reversed, 4));
    }
}

#[test]
fn two_tenants_share_few_shards() {
    let view = view(6, 3);
    let subset = |number| -> BTreeSet<u16> {
        let subset = Subset::new(&view, &tenant(number), 16);
        subset.shards().iter().copied().collect()
    };
    let subsets: Vec<_> = (0..100).map(subset).collect();
    let mut shared = 0;
    for (at, one) in subsets.iter().enumerate() {
        for other in &subsets[at + 1..] {
            let both = one.intersection(other).count();
            assert!(both <= 4, "{both} of 16 are the same");
            shared += both;
        }
    }
    // 16 of 4096 meet 16 of 4096: a sixteenth of a shard for each of 4950 pairs.
    assert!((200..450).contains(&shared), "{shared}");
}

#[test]
fn zones_give_evenly() {
    let view = view(7, 3);
    for number in 0..20 {
        for size in 1..=64u16 {
            let subset = Subset::new(&view, &tenant(number), size);
            let mut zones: BTreeMap<usize, u16> = BTreeMap::new();
            for shard in subset.shards() {
                *zones.entry(view.zone(*shard).expect("owned")).or_default() += 1;
            }
            assert_eq!(zones.values().sum::<u16>(), size);
            assert!(zones.values().all(|count| *count <= size.div_ceil(3)));
        }
    }
}

#[test]
fn a_tenant_that_grows_keeps_what_it_has() {
    let view = view(7, 3);
    for number in 0..300 {
        for size in [4, 8, 16, 32] {
            let small = Subset::new(&view, &tenant(number), size);
            let large = Subset::new(&view, &tenant(number), size * 2);
            let keeps = |shard| large.shards().contains(shard);
            assert!(small.shards().iter().all(keeps), "{size}");
        }
    }
}

#[test]
fn a_writer_that_is_gone_changes_few_subsets() {
    let before = view(9, 3);
    let mut shards = before.shards().clone();
    // Its shards are dealt to the others.
    let gone = shards.writers.remove(4).id;
    let orphans = shards.owners.iter_mut();
    let orphans = orphans.filter(|(_, owner)| *owner == gone);
    for (turn, (_, owner)) in orphans.enumerate() {
        owner.clone_from(&shards.writers[turn % 8].id);
    }
    let after = View::new(shards);
    let mut differ = 0;
    for number in 0..500 {
        let before = Subset::new(&before, &tenant(number), 4);
        let after = Subset::new(&after, &tenant(number), 4);
        let lost = |shard: &&u16| !after.shards().contains(shard);
        differ += before.shards().iter().filter(lost).count();
    }
    // Of the ninth of all shards that have moved, less than half are no longer chosen.
    assert!(differ < 2_000 / 9 / 2, "{differ}");
}

#[test]
fn a_zone_that_has_too_few_gives_what_it_has() {
    let mut shards = view(2, 2).shards().clone();
    let rare = shards.writers[1].id.clone();
    let common = shards.writers[0].id.clone();
    for (shard, owner) in &mut shards.owners {
        *owner = match *shard {
            0..3 => rare.clone(),
            _ => common.clone(),
        };
    }
    let view = View::new(shards);
    let subset = Subset::new(&view, &tenant(0), 16);
    assert_eq!(subset.shards().len(), 16);
    let rare = subset.shards().iter().filter(|shard| **shard < 3);
    assert_eq!(rare.count(), 3);
    let all = Subset::new(&view, &tenant(0), SHARDS);
    assert_eq!(all.shards().len(), usize::from(SHARDS));
}

#[test]
fn a_service_uses_as_many_shards_as_it_may_and_all_alike() {
    let view = view(6, 3);
    let subset = Subset::new(&view, &tenant(0), 16);
    for size in [1u16, 2, 4, 16, 99] {
        let mut used: BTreeMap<u16, usize> = BTreeMap::new();
        for pod in 0..1_600 {
            *used.entry(subset.shard(&series(3, pod), size)).or_default() += 1;
        }
        assert_eq!(used.len(), usize::from(size.min(16)));
        let fair = 1_600 / used.len();
        assert!(
            used.values()
                .all(|count| *count > fair / 2 && *count < fair * 2)
        );
    }
}

#[test]
fn growth_moves_few() {
    let view = view(6, 3);
    let of = |size| Subset::new(&view, &tenant(0), size);
    for size in [1u16, 2, 4, 7] {
        let subset = of(16);
        let share = 100 / (usize::from(size) + 1);
        let at = |size| move |pod| of(16).shard(&series(3, pod), size);
        let percent = moved(500, at(size), at(size + 1));
        assert!(percent <= share + 8, "{size} to {}: {percent} %", size + 1);
        // What moves goes to the shard that is new.
        let before: BTreeSet<u16> = (0..500)
            .map(|pod| subset.shard(&series(3, pod), size))
            .collect();
        let to = (0..500).map(|pod| subset.shard(&series(3, pod), size + 1));
        let new: BTreeSet<u16> = to.filter(|shard| !before.contains(shard)).collect();
        assert_eq!(new.len(), 1);
    }
    for size in [4u16, 8, 16] {
        let share = 50;
        let (before, after) = (of(size), of(size * 2));
        let percent = moved(
            1_000,
            |service| before.shard(&series(service, 0), 1),
            |service| after.shard(&series(service, 0), 1),
        );
        assert!(percent <= share + 5, "{size} to {}: {percent} %", size * 2);
    }
}
