//! Every order of events, as far as a machine can look: writers that acknowledge, crash and come
//! back from the dead, a recovery of their logs, compaction, deletion, queries, messages that are
//! late, doubled or lost. The catalog in it is the real one.
//!
//! `CAIRN_MODEL_STATES` says how many states to look at, and `make model` looks at all. With a bug
//! put in on purpose the model must find a way to lose or double a row.

mod query;
mod repeats;
mod store;
mod world;

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::world::{Action, Bug, World};

/// How far one run goes.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    rows: u8,
    incarnations: u64,
    /// Blocks that are ever written.
    blocks: u64,
    queries: u8,
    bug: Option<Bug>,
}

const SMALL: Bounds = Bounds {
    rows: 2,
    incarnations: 2,
    blocks: 3,
    queries: 1,
    bug: None,
};

const STATES: usize = 400_000;

impl Model for Bounds {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(*self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(*self, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.step(*self, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no acknowledged row is lost", |_, world: &World| {
                world.lost().is_empty()
            }),
            Property::always("no row is there twice", |_, world: &World| {
                world.doubled().is_empty()
            }),
            Property::always(
                "a query sees what was acknowledged, once",
                |_, world: &World| !world.is_query_wrong,
            ),
            Property::sometimes("a log is recovered into blocks", |_, world: &World| {
                world.is_recovered()
            }),
            Property::sometimes("blocks are merged and deleted", |_, world: &World| {
                world.is_compacted
            }),
            Property::sometimes("a query sees every row", |_, world: &World| {
                world.is_query_full
            }),
            Property::sometimes("a zombie is refused", |_, world: &World| world.is_fenced),
        ]
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how far to look is no setting of a service"
)]
fn states() -> usize {
    let states = std::env::var("CAIRN_MODEL_STATES");
    states.map_or(STATES, |states| states.parse().expect("a number"))
}

#[test]
fn no_order_of_events_loses_or_doubles_what_was_acknowledged() {
    let checker = SMALL
        .checker()
        .threads(threads())
        .target_state_count(states())
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    println!(
        "{} states, {} different, {} deep",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    checker.assert_no_discovery("no acknowledged row is lost");
    checker.assert_no_discovery("no row is there twice");
    checker.assert_no_discovery("a query sees what was acknowledged, once");
}

/// Long histories, drawn by chance, reach what a bounded search in breadth does not.
#[test]
fn no_long_history_loses_or_doubles_what_was_acknowledged() {
    let bounds = Bounds {
        rows: 4,
        incarnations: 3,
        blocks: 8,
        queries: 3,
        bug: None,
    };
    let seen = world::wander(bounds, 4_000, 120);
    assert_eq!(seen.violation, None);
    for (what, happened) in [
        ("a recovery", seen.recovered),
        ("a deletion after a merge", seen.compacted),
        ("a query of everything", seen.queried),
        ("a fenced zombie", seen.fenced),
    ] {
        assert!(happened > 0, "{what} never happened");
    }
}

#[test]
fn every_bug_put_in_on_purpose_is_found() {
    for bug in Bug::ALL {
        let bounds = Bounds {
            rows: 3,
            incarnations: 2,
            blocks: 6,
            queries: 2,
            bug: Some(bug),
        };
        let seen = world::wander(bounds, 40_000, 80);
        let found = seen.violation.unwrap_or_default();
        println!("{bug:?}: {found}");
        assert!(!found.is_empty(), "{bug:?} was not found");
    }
}
