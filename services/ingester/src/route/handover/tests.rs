//! Shards wait for what those before had stored, and for nothing else.

use super::super::view::Shards;
use super::*;

fn id(name: &str) -> WriterId {
    WriterId::parse(name).expect("valid")
}

fn left(name: &str, incarnation: u64) -> Predecessor {
    Predecessor {
        writer: id(name),
        incarnation,
        epoch: 0,
    }
}

/// Of one that is open.
fn lost(name: &str, incarnation: u64, epoch: u64) -> Predecessor {
    Predecessor {
        epoch,
        ..left(name, incarnation)
    }
}

/// Owners of the first shards, and who is open.
fn view(epoch: u64, owners: &[&str], open: &[(&str, u64)]) -> View {
    with_sealed(epoch, owners, open, &[])
}

fn with_sealed(epoch: u64, owners: &[&str], open: &[(&str, u64)], sealed: &[(&str, u64)]) -> View {
    let peer = |(name, incarnation): &(&str, u64)| Peer {
        id: id(name),
        incarnation: *incarnation,
        log: match name.starts_with("local") {
            true => Log::Continued,
            false => Log::OnePerIncarnation,
        },
        address: String::new(),
        zone: String::new(),
    };
    View::new(Shards {
        epoch,
        owners: (0..).zip(owners.iter().map(|owner| id(owner))).collect(),
        writers: open.iter().map(peer).collect(),
        sealed: sealed.iter().map(|(name, at)| left(name, *at)).collect(),
    })
}

fn standings(handover: &Handover, count: u16) -> Vec<Standing> {
    (0..count).map(|shard| handover.standing(shard)).collect()
}

use Standing::{Foreign, Owned, Pending};

#[test]
fn shards_of_a_crashed_writer_wait_until_its_log_is_read() {
    let mut handover = Handover::new(id("a"));
    let both = [("a", 1), ("b", 7)];
    let first = view(1, &["a", "b", "b"], &both);
    // Who had the shards before nobody knows.
    assert_eq!(handover.follow(&first), [lost("b", 7, 1)]);
    handover.admit(&lost("b", 7, 1));
    assert_eq!(standings(&handover, 4), [Owned, Foreign, Foreign, Foreign]);
    let after = view(2, &["a", "a", "b"], &[("a", 1)]);
    assert_eq!(handover.follow(&after), [left("b", 7)]);
    assert_eq!(standings(&handover, 3), [Owned, Pending, Foreign]);
    assert_eq!(handover.counts(), (1, 1));
    handover.admit(&left("b", 6));
    assert_eq!(handover.standing(1), Pending, "another incarnation");
    handover.admit(&left("b", 7));
    assert_eq!(handover.standing(1), Owned);
    // What comes later from the same log waits no more.
    let last = view(3, &["a", "a", "a"], &[("a", 1)]);
    assert_eq!(handover.follow(&last), []);
    assert_eq!(standings(&handover, 3), [Owned; 3]);
    assert_eq!(handover.epoch(), 3);
}

#[test]
fn a_map_between_crash_and_reassignment_is_no_loss_of_memory() {
    let mut handover = Handover::new(id("a"));
    handover.follow(&view(1, &["a", "b"], &[("a", 1), ("b", 7)]));
    assert_eq!(handover.follow(&view(1, &["a", "b"], &[("a", 1)])), []);
    assert_eq!(handover.standing(1), Foreign);
    let after = view(2, &["a", "a"], &[("a", 1)]);
    assert_eq!(handover.follow(&after), [left("b", 7)]);
    // The same map again asks nobody to read anything twice.
    assert_eq!(handover.follow(&after), []);
    assert_eq!(handover.standing(1), Pending);
}

#[test]
fn a_writer_that_came_back_left_its_former_log() {
    let mut handover = Handover::new(id("a"));
    handover.follow(&view(1, &["b"], &[("a", 1), ("b", 7)]));
    let after = view(2, &["a"], &[("a", 1), ("b", 8)]);
    assert_eq!(handover.follow(&after), [left("b", 7)]);
}

#[test]
fn living_writers_are_asked_whenever_they_lose_shards() {
    let mut handover = Handover::new(id("a"));
    let all = [("a", 1), ("b", 7), ("local", 3)];
    let begin = view(1, &["b", "local", "b"], &all);
    assert_eq!(handover.follow(&begin), []);
    let after = view(2, &["a", "a", "b"], &[("a", 1), ("b", 7), ("local", 4)]);
    assert_eq!(handover.follow(&after), [lost("b", 7, 2)]);
    // What only its writer can read is not waited for.
    assert_eq!(standings(&handover, 3), [Pending, Owned, Foreign]);
    let again = view(3, &["a", "a", "a"], &[("a", 1), ("b", 7)]);
    assert_eq!(handover.follow(&again), [lost("b", 7, 3)]);
    handover.admit(&lost("b", 7, 2));
    assert_eq!(standings(&handover, 3), [Owned, Owned, Pending]);
    handover.admit(&lost("b", 7, 3));
    assert_eq!(standings(&handover, 3), [Owned; 3]);
}

#[test]
fn whoever_starts_waits_for_all_who_may_have_owned_before() {
    let mut handover = Handover::new(id("a"));
    let sealed = [("a", 1), ("b", 7)];
    let first = with_sealed(5, &["a", "b", "c"], &[("a", 2), ("c", 1)], &sealed);
    let awaited = [left("a", 1), left("b", 7), lost("c", 1, 5)];
    assert_eq!(handover.follow(&first), awaited);
    assert_eq!(standings(&handover, 3), [Pending, Foreign, Foreign]);
    handover.admit(&left("a", 1));
    handover.admit(&lost("c", 1, 5));
    assert_eq!(handover.standing(0), Pending);
    handover.admit(&left("b", 7));
    assert_eq!(handover.standing(0), Owned);
    // The owner of the second was gone before the first map: it may have been anybody.
    let second = with_sealed(6, &["a", "a", "a"], &[("a", 2)], &sealed);
    assert_eq!(handover.follow(&second), [left("c", 1)]);
    assert_eq!(standings(&handover, 3), [Owned, Pending, Pending]);
}

#[test]
fn shards_that_leave_take_their_waiting_along() {
    let mut handover = Handover::new(id("a"));
    handover.follow(&view(1, &["b"], &[("a", 1), ("b", 7), ("c", 2)]));
    handover.follow(&view(2, &["a"], &[("a", 1), ("c", 2)]));
    assert_eq!(handover.standing(0), Pending);
    handover.follow(&view(3, &["c"], &[("a", 1), ("c", 2)]));
    assert_eq!(handover.counts(), (0, 0));
    // The next owner that crashes is the one to wait for.
    let after = view(4, &["a"], &[("a", 1)]);
    assert_eq!(handover.follow(&after), [left("c", 2)]);
    handover.admit(&left("c", 2));
    assert_eq!(handover.standing(0), Owned);
    assert_eq!(handover.standing(4096), Foreign);
}

mod whatever_happens {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 3] = ["a", "b", "c"];
    const COUNT: usize = 6;

    /// A map: owners of the first shards, how often each writer has started, and who is open.
    type Step = (Vec<usize>, Vec<u64>, Vec<bool>, bool);

    fn step() -> impl Strategy<Value = Step> {
        let owners = vec(0usize..3, COUNT);
        let starts = vec(0u64..2, 3);
        let open = vec(any::<bool>(), 3);
        (owners, starts, open, any::<bool>())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn standings_follow_the_map_and_end_once_all_is_read(steps in vec(step(), 1..12)) {
            let mut handover = Handover::new(id("a"));
            let mut incarnations = [1u64; 3];
            let mut unread: BTreeSet<Predecessor> = BTreeSet::new();
            let mut was_open = [true; 3];
            for (epoch, (owners, starts, open, reads)) in (1..).zip(steps) {
                // We are open and stay who we are.
                let is_open = |at: usize| at == 0 || open[at];
                for at in 1..3 {
                    // Whoever comes back has started again.
                    let is_back = is_open(at) && !was_open[at];
                    incarnations[at] += starts[at].max(u64::from(is_back));
                    was_open[at] = is_open(at);
                }
                let open = (0..3).filter(|at| is_open(*at));
                let open: Vec<_> = open.map(|at| (NAMES[at], incarnations[at])).collect();
                let names: Vec<_> = owners.iter().map(|at| NAMES[*at]).collect();
                unread.extend(handover.follow(&view(epoch, &names, &open)));
                for (shard, owner) in (0..).zip(&owners) {
                    let standing = handover.standing(shard);
                    prop_assert_eq!(standing == Foreign, *owner != 0);
                    prop_assert!(standing != Pending || !unread.is_empty());
                }
                for left in unread.iter().filter(|left| left.epoch == 0) {
                    prop_assert!(!open.contains(&(left.writer.as_str(), left.incarnation)));
                }
                if reads {
                    unread.iter().for_each(|left| handover.admit(left));
                    unread.clear();
                    prop_assert_eq!(handover.counts().1, 0);
                }
            }
        }
    }
}
