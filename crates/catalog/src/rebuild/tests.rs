//! Catalogs that are thrown away at random moments of random histories, and single decisions.

mod cases;
mod world;

use self::world::{Rules, Seen, World};

/// Steps of one history; after each the catalog could be lost, and at some it is.
const STEPS: usize = 150;

fn wander(seeds: std::ops::Range<u64>, rules: Rules) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds {
        let mut world = World::new(seed, rules);
        for step in 0..STEPS {
            world.step();
            if !step.is_multiple_of(4) {
                continue;
            }
            if let Err(wrong) = world.check() {
                panic!("seed {seed}, step {step}: {wrong}");
            }
        }
        seen.add(&world.seen);
    }
    seen
}

#[test]
fn every_acknowledged_entry_is_there_once_whenever_the_catalog_is_lost() {
    let seen = wander(0..3_000, Rules::default());
    println!("{seen:?}");
    // Commits without any row look like commits whose blocks are missing.
    assert!(seen.conflicts * 1_000 < seen.checks, "conflicts are rare");
    for (what, happened) in [
        ("a commit", seen.commits),
        ("a recovery of a part of a log", seen.recovered_parts),
        ("a recovery to the end of a log", seen.recovered_logs),
        ("a merge", seen.merges),
        ("a refused merge", seen.refused_merges),
        ("a refused commit", seen.refused_commits),
        ("a lost catalog", seen.rebuilt),
        ("a deleted block", seen.deleted),
        ("a log that is shorter at its beginning", seen.truncated),
        ("a commit that nobody knew of", seen.taken_as_committed),
    ] {
        assert!(happened > 50, "{what} happened {happened} times");
    }
}

/// What was deleted for its age may come back, and what overlaps it may be a conflict.
#[test]
fn deletions_lose_nothing_else_unless_it_is_said() {
    let seen = wander(
        10_000..11_000,
        Rules {
            is_retiring: true,
            ..Rules::default()
        },
    );
    println!("{seen:?}");
    assert!(seen.retired > 50);
    assert!(seen.conflicts * 100 < seen.checks, "conflicts are rare");
}

/// Nobody should; but if somebody does, it is no worse than a conflict.
#[test]
fn processes_that_work_on_for_a_lost_catalog_lose_nothing_unless_it_is_said() {
    let seen = wander(
        20_000..21_000,
        Rules {
            has_survivors: true,
            ..Rules::default()
        },
    );
    println!("{seen:?}");
    assert!(seen.rebuilt > 50);
    assert!(seen.conflicts * 100 < seen.checks, "conflicts are rare");
}
