//! Two rows that were delivered several times, and compactors that look at different moments: in the
//! end each is there once, and no choice among the objects of the bucket ever lacks one.
//!
//! Deliveries are numbered in the order in which one counts before another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cairn_catalog::{BlockMeta, Command, Log, Reply, State, apply};
use cairn_model::{BlockId, TenantId, TimeRange, WriterId};
use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::{states, threads};

type Row = u8;
type Delivery = u64;

/// The rows that come with each delivery.
const DELIVERED: [&[Row]; 3] = [&[0], &[0, 1], &[1]];
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

/// Rows by delivery.
type Rows = BTreeSet<(Row, Delivery)>;

/// One block in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Object {
    /// What its stretches of logs held.
    delivered: Rows,
    kept: Rows,
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
    Made(VecDeque<Command>),
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
        let all = 0..DELIVERED.len() as Delivery;
        let missing = all.filter(|delivery| !self.arrived.contains(delivery));
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
                    let command = commands.pop_front();
                    let command = command.expect("a compactor has something to say");
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
        let rows = DELIVERED[delivery as usize].iter();
        let rows: Rows = rows.map(|row| (*row, delivery)).collect();
        let block = self.create(0, rows.clone(), rows);
        let commit = Command::Commit {
            writer,
            incarnation: 1,
            lsn_from: 1,
            lsn_to: 1,
            blocks: vec![block],
            at_unix_ms: 0,
        };
        apply(&mut self.catalog, commit).expect("gapless");
        self.arrived.insert(delivery);
    }

    fn create(&mut self, level: u32, delivered: Rows, kept: Rows) -> BlockMeta {
        let number = self.bucket.len() as u64 + 1;
        let rows = kept.len() as u64;
        self.bucket.insert(number, Object { delivered, kept });
        BlockMeta {
            id: id(number),
            tenant: tenant(),
            level,
            range: TimeRange { start: 0, end: 0 },
            bytes: 0,
            rows,
            profiles: rows,
            created_unix_ms: 0,
        }
    }

    /// Merges the inputs. New ones are compared with all that was live; what is merged already has
    /// been, and gives up first what one of the new ones holds in a lesser delivery.
    fn make(&mut self, rules: Rules, inputs: Vec<u64>, live: &[BlockMeta]) -> VecDeque<Command> {
        let (of_inputs, mut outside): (Vec<BlockMeta>, Vec<BlockMeta>) = live
            .iter()
            .cloned()
            .partition(|block| inputs.contains(&block.id.unix_ms()));
        if of_inputs.iter().all(|block| block.level > 0) {
            let (_, command) = self.merge(rules, (&inputs, 2), &[], None);
            return VecDeque::from([command]);
        }
        let new = of_inputs.iter().filter(|block| block.level == 0);
        let ours = self.kept(new);
        let mut commands = VecDeque::new();
        for at in 0..outside.len() {
            let other = outside[at].clone();
            let theirs = self.kept([&other]);
            let is_greater = |(row, their): &(Row, Delivery)| {
                ours.iter().any(|(of, our)| of == row && our < their)
            };
            let is_merged = other.level > 0 && rules.0 != Some(Bug::NoRewrite);
            if is_merged && theirs.iter().any(is_greater) {
                let others: Vec<BlockMeta> = of_inputs.iter().chain(&outside).cloned().collect();
                let others: Vec<BlockMeta> =
                    others.into_iter().filter(|b| b.id != other.id).collect();
                let inputs = [other.id.unix_ms()];
                let (anew, command) = self.merge(rules, (&inputs, other.level), &others, None);
                outside[at] = anew;
                commands.push_back(command);
            }
        }
        let compared = outside.iter().map(|block| block.id).collect();
        let compared = (rules.0 != Some(Bug::ComparedWithWhat)).then_some(compared);
        let (_, command) = self.merge(rules, (&inputs, 1), &outside, compared);
        commands.push_back(command);
        commands
    }

    fn kept<'a>(&self, blocks: impl IntoIterator<Item = &'a BlockMeta>) -> Rows {
        let blocks = blocks.into_iter();
        blocks
            .flat_map(|block| self.bucket[&block.id.unix_ms()].kept.clone())
            .collect()
    }

    fn merge(
        &mut self,
        rules: Rules,
        (inputs, level): (&[u64], u32),
        outside: &[BlockMeta],
        compared: Option<Vec<BlockId>>,
    ) -> (BlockMeta, Command) {
        let theirs = self.kept(outside);
        let (mut delivered, mut ours) = (Rows::new(), Rows::new());
        for input in inputs {
            delivered.extend(&self.bucket[input].delivered);
            ours.extend(&self.bucket[input].kept);
        }
        let is_kept = |(row, our): &(Row, Delivery)| {
            let is_least = |rows: &Rows| !rows.iter().any(|(of, other)| of == row && other < our);
            let is_outside = theirs.iter().any(|(of, _)| of == row);
            is_least(&ours)
                && match rules.0 {
                    Some(Bug::AnyOrder) => !is_outside,
                    _ => is_least(&theirs),
                }
        };
        let kept = ours.iter().filter(|row| is_kept(row)).copied().collect();
        let output = self.create(level, delivered, kept);
        let command = Command::Replace {
            tenant: tenant(),
            inputs: inputs.iter().map(|input| id(*input)).collect(),
            outputs: vec![output.clone()],
            at_unix_ms: 0,
            ticket: None,
            compared,
        };
        (output, command)
    }

    /// The delivery that counts, of those that arrived.
    fn least(&self) -> Vec<(Row, Delivery)> {
        let least = |row: &Row| {
            let mut with = self.arrived.iter();
            with.find(|delivery| DELIVERED[**delivery as usize].contains(row))
                .map(|delivery| (*row, *delivery))
        };
        [0, 1].iter().filter_map(least).collect()
    }

    /// Whichever blocks of the bucket a catalog made anew chooses, so that each delivery is in one
    /// of them, the one that counts is kept.
    fn is_never_lacking(&self) -> bool {
        let least = self.least();
        let keeps = |object: &Object| {
            let mut covered = least.iter().filter(|row| object.delivered.contains(row));
            covered.all(|row| object.kept.contains(row))
        };
        self.bucket.values().all(keeps)
    }

    fn is_there(&self) -> bool {
        let rows = self.kept(&self.live());
        let least = self.least();
        least.iter().all(|row| rows.contains(row))
    }

    /// Whether merged blocks hold a row more than once.
    fn is_doubled(&self) -> bool {
        let mut seen = BTreeSet::new();
        let merged = self.live().into_iter().filter(|block| block.level > 0);
        let mut rows = merged.flat_map(|block| self.kept([&block]));
        rows.any(|(row, _)| !seen.insert(row))
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
            Property::always(LOST, |_, world: &World| world.is_there()),
            Property::always(TWICE, |_, world: &World| !world.is_doubled()),
            Property::sometimes(ONE, |_, world: &World| {
                let live = world.live();
                world.arrived.len() == DELIVERED.len() && live.len() == 1 && live[0].level > 0
            }),
        ]
    }
}

const ONE: &str = "all are one";
const LACKING: &str = "no choice of blocks lacks a row";
const LOST: &str = "every row is in a live block";
const TWICE: &str = "merged blocks don't hold a row twice";

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
fn what_came_several_times_is_there_once_when_all_is_merged() {
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
