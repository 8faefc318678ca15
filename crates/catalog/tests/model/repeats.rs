//! A row that was delivered several times, and compactors that look at different moments: in the end
//! it is there once, and no choice among the objects of the bucket ever lacks it.
//!
//! Deliveries are numbered in the order in which one counts before another.

use std::collections::{BTreeMap, BTreeSet};

use cairn_catalog::{BlockMeta, Command, Log, Reply, State, apply};
use cairn_model::{BlockId, TenantId, TimeRange, WriterId};
use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::{states, threads};

type Delivery = u64;

const DELIVERIES: u64 = 3;
const COMPACTORS: usize = 2;
const OBJECTS_MAX: u64 = 8;

/// What happens if somebody forgets something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// The catalog is not told with what a merge was compared.
    ComparedWithWhat,
    /// A repeat gives way to whatever another block holds.
    AnyOrder,
    /// A merged block keeps what came again, earlier in order.
    NoRewrite,
}

#[derive(Clone, Copy, Debug)]
struct Rules(Option<Bug>);

/// One block in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Object {
    /// What its stretches of logs held.
    delivered: BTreeSet<Delivery>,
    kept: BTreeSet<Delivery>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Compactor {
    Idle,
    /// It knows what was live at one moment, and what it wants to merge of that.
    Looked {
        inputs: Vec<u64>,
        live: Vec<BlockMeta>,
    },
    /// What it made is in the bucket, and these commands are on their way, one after the other.
    Made(Vec<Command>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    catalog: State,
    bucket: BTreeMap<u64, Object>,
    arrived: BTreeSet<Delivery>,
    compactors: [Compactor; COMPACTORS],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    Arrive(Delivery),
    Look(usize, Vec<u64>),
    Make(usize),
    Apply(usize),
}

fn tenant() -> TenantId {
    TenantId::anonymous()
}

fn id(number: u64) -> BlockId {
    BlockId::new(number, 0)
}

impl World {
    fn new() -> Self {
        Self {
            catalog: State::default(),
            bucket: BTreeMap::new(),
            arrived: BTreeSet::new(),
            compactors: [const { Compactor::Idle }; COMPACTORS],
        }
    }

    fn live(&self) -> Vec<BlockMeta> {
        self.catalog.snapshot(&tenant()).blocks
    }

    fn actions(&self, out: &mut Vec<Action>) {
        let missing = (0..DELIVERIES).filter(|delivery| !self.arrived.contains(delivery));
        out.extend(missing.map(Action::Arrive));
        let has_room = (self.bucket.len() as u64) < OBJECTS_MAX;
        for (at, compactor) in self.compactors.iter().enumerate() {
            match compactor {
                Compactor::Idle if has_room => {
                    let live = self.live();
                    for (n, block) in live.iter().enumerate() {
                        let number = block.id.unix_ms();
                        if block.level == 0 {
                            out.push(Action::Look(at, vec![number]));
                        }
                        let more = live[n + 1..].iter();
                        let pair = |other: &BlockMeta| vec![number, other.id.unix_ms()];
                        out.extend(more.map(|other| Action::Look(at, pair(other))));
                    }
                }
                Compactor::Idle => {}
                Compactor::Looked { .. } => out.push(Action::Make(at)),
                Compactor::Made(_) => out.push(Action::Apply(at)),
            }
        }
    }

    fn step(&mut self, rules: Rules, action: Action) {
        match action {
            Action::Arrive(delivery) => self.arrive(delivery),
            Action::Look(at, inputs) => {
                let live = self.live();
                self.compactors[at] = Compactor::Looked { inputs, live };
            }
            Action::Make(at) => {
                let looked = std::mem::replace(&mut self.compactors[at], Compactor::Idle);
                if let Compactor::Looked { inputs, live } = looked {
                    let commands = self.make(rules, inputs, &live);
                    self.compactors[at] = Compactor::Made(commands);
                }
            }
            Action::Apply(at) => {
                if let Compactor::Made(commands) = &mut self.compactors[at] {
                    let command = commands.remove(0);
                    let is_done = commands.is_empty();
                    let refused = apply(&mut self.catalog, command).is_err();
                    if is_done || refused {
                        self.compactors[at] = Compactor::Idle;
                    }
                }
            }
        }
    }

    /// Every delivery comes by a writer of its own.
    fn arrive(&mut self, delivery: Delivery) {
        let writer = WriterId::parse(&format!("w{delivery}")).expect("valid");
        let register = Command::RegisterWriter {
            writer: writer.clone(),
            address: String::new(),
            zone: String::new(),
            log: Log::OnePerIncarnation,
            lease_until_unix_ms: 1,
        };
        let registered = apply(&mut self.catalog, register);
        assert!(matches!(registered, Ok(Reply::Registered { .. })));
        let only = BTreeSet::from([delivery]);
        let block = self.create(0, only.clone(), only);
        let commit = Command::Commit {
            writer,
            incarnation: 1,
            lsn_from: 1,
            lsn_to: 1,
            blocks: block.into_iter().collect(),
            at_unix_ms: 0,
        };
        apply(&mut self.catalog, commit).expect("gapless");
        self.arrived.insert(delivery);
    }

    /// No block at all, if nothing is left for it.
    fn create(
        &mut self,
        level: u32,
        delivered: BTreeSet<Delivery>,
        kept: BTreeSet<Delivery>,
    ) -> Option<BlockMeta> {
        let number = self.bucket.len() as u64 + 1;
        let (rows, is_empty) = (kept.len() as u64, kept.is_empty());
        self.bucket.insert(number, Object { delivered, kept });
        let meta = BlockMeta {
            id: id(number),
            tenant: tenant(),
            level,
            range: TimeRange { start: 0, end: 0 },
            bytes: 0,
            rows,
            profiles: rows,
            created_unix_ms: 0,
        };
        (!is_empty).then_some(meta)
    }

    /// Merges the inputs. New ones are compared with all that was live; what is merged already has
    /// been, and gives up first what one of the new ones holds in a lesser delivery.
    fn make(&mut self, rules: Rules, inputs: Vec<u64>, live: &[BlockMeta]) -> Vec<Command> {
        let (of_inputs, outside): (Vec<&BlockMeta>, Vec<&BlockMeta>) = live
            .iter()
            .partition(|block| inputs.contains(&block.id.unix_ms()));
        if of_inputs.iter().all(|block| block.level > 0) {
            return vec![self.merge(rules, (&inputs, 2), &[], None)];
        }
        let new: Vec<&BlockMeta> = live.iter().filter(|block| block.level == 0).collect();
        let least = self.kept(of_inputs).first().copied();
        let mut commands = Vec::new();
        for other in outside.iter().filter(|other| other.level > 0) {
            let is_larger = self.kept([*other]).first().copied() > least;
            if is_larger && rules.0 != Some(Bug::NoRewrite) {
                let inputs = [other.id.unix_ms()];
                commands.push(self.merge(rules, (&inputs, other.level), &new, None));
            }
        }
        let compared = outside.iter().map(|block| block.id).collect();
        let compared = (rules.0 != Some(Bug::ComparedWithWhat)).then_some(compared);
        commands.push(self.merge(rules, (&inputs, 1), &outside, compared));
        commands
    }

    fn kept<'a>(&self, blocks: impl IntoIterator<Item = &'a BlockMeta>) -> BTreeSet<Delivery> {
        let blocks = blocks.into_iter();
        blocks
            .flat_map(|block| self.bucket[&block.id.unix_ms()].kept.clone())
            .collect()
    }

    fn merge(
        &mut self,
        rules: Rules,
        (inputs, level): (&[u64], u32),
        outside: &[&BlockMeta],
        compared: Option<Vec<BlockId>>,
    ) -> Command {
        let theirs = self.kept(outside.iter().copied()).first().copied();
        let (mut delivered, mut kept) = (BTreeSet::new(), BTreeSet::new());
        for input in inputs {
            delivered.extend(&self.bucket[input].delivered);
            kept.extend(&self.bucket[input].kept);
        }
        kept = kept.first().copied().into_iter().collect();
        kept.retain(|our| match rules.0 {
            Some(Bug::AnyOrder) => theirs.is_none(),
            _ => theirs.is_none_or(|their| *our < their),
        });
        Command::Replace {
            tenant: tenant(),
            inputs: inputs.iter().map(|input| id(*input)).collect(),
            outputs: self.create(level, delivered, kept).into_iter().collect(),
            at_unix_ms: 0,
            ticket: None,
            compared,
        }
    }

    /// Whichever blocks of the bucket a catalog made anew chooses, so that each delivery is in one
    /// of them, the one that counts is kept.
    fn is_never_lacking(&self) -> bool {
        let Some(least) = self.arrived.first() else {
            return true;
        };
        let mut with = self.bucket.values();
        with.all(|object| !object.delivered.contains(least) || object.kept.contains(least))
    }

    /// Blocks that were merged, and hold the row.
    fn merged_copies(&self) -> usize {
        let merged = self.live().into_iter().filter(|block| block.level > 0);
        merged.filter(|block| block.rows > 0).count()
    }
}

impl Model for Rules {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.step(*self, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(LACKING, |_, world: &World| world.is_never_lacking()),
            Property::always(LOST, |_, world: &World| {
                world.arrived.is_empty() || world.live().iter().any(|block| block.rows > 0)
            }),
            Property::always(TWICE, |_, world: &World| world.merged_copies() < 2),
            Property::sometimes(ONE, |_, world: &World| {
                let live = world.live();
                world.arrived.len() as u64 == DELIVERIES && live.len() == 1 && live[0].level > 0
            }),
        ]
    }
}

const ONE: &str = "all are one";
const LACKING: &str = "no choice of blocks lacks the row";
const LOST: &str = "the row is in a live block";
const TWICE: &str = "merged blocks don't hold it twice";

fn check(bug: Option<Bug>) -> impl Checker<Rules> {
    Rules(bug)
        .checker()
        .threads(threads())
        .target_state_count(states())
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join()
}

#[test]
fn a_row_that_came_several_times_is_there_once_when_all_is_merged() {
    let checker = check(None);
    println!(
        "{} states, {} different, {} deep",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    for never in [LACKING, LOST, TWICE] {
        checker.assert_no_discovery(never);
    }
    checker.assert_any_discovery(ONE);
}

#[test]
fn every_bug_around_repeats_is_found() {
    for (bug, broken) in [
        (Bug::ComparedWithWhat, TWICE),
        (Bug::AnyOrder, LACKING),
        (Bug::NoRewrite, TWICE),
    ] {
        let found = check(Some(bug)).discoveries();
        assert!(found.contains_key(broken), "{bug:?}: {:?}", found.keys());
    }
}
