//! A bucket and a catalog, with writers, recoveries and merges that work on both, die, and come
//! back late. The catalog is the real one.

mod check;
mod merges;
mod writers;

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::{BlockId, Stretch, TenantId, TimeRange, WriterId};

use self::merges::Merge;
use self::writers::{Process, Recovery};
use crate::{BlockMeta, Log, State};

/// A log by its writer's number and its incarnation, 0 if it goes on.
pub(super) type LogKey = (u8, u64);
/// One entry of one log.
pub(super) type Entry = (LogKey, u64);

const TENANTS: u8 = 3;
/// The first has its log on its own disk, the others in the bucket.
const WRITERS: u8 = 3;

/// An object of the bucket.
#[derive(Clone, Debug)]
struct Object {
    meta: BlockMeta,
    origins: Vec<Stretch>,
    siblings: u32,
    /// What is really in it.
    entries: Vec<Entry>,
}

/// A log as it lies on a disk or in the bucket.
#[derive(Clone, Debug, Default)]
struct Segments {
    /// First position to number of entries.
    segments: BTreeMap<u64, u64>,
    /// Behind the last entry.
    end: u64,
    is_fenced: bool,
    /// Nothing is left, not even the fence.
    is_deleted: bool,
}

/// An entry as it was pushed.
#[derive(Clone, Copy, Debug)]
struct Pushed {
    /// Entries whose profiles were all refused have none.
    tenant: Option<u8>,
    is_acknowledged: bool,
    is_retired: bool,
}

/// How often what happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) checks: usize,
    pub(super) conflicts: usize,
    pub(super) commits: usize,
    pub(super) refused_commits: usize,
    pub(super) recovered_parts: usize,
    pub(super) recovered_logs: usize,
    pub(super) merges: usize,
    pub(super) refused_merges: usize,
    pub(super) deleted: usize,
    pub(super) truncated: usize,
    pub(super) retired: usize,
    pub(super) rebuilt: usize,
    pub(super) taken_as_committed: usize,
}

/// What may happen besides.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// Old blocks are deleted.
    pub(super) is_retiring: bool,
    /// Processes work on for a catalog that was lost.
    pub(super) has_survivors: bool,
}

pub(super) struct World {
    random: u64,
    rules: Rules,
    state: State,
    bucket: BTreeMap<BlockId, Object>,
    logs: BTreeMap<LogKey, Segments>,
    pushed: BTreeMap<Entry, Pushed>,
    processes: Vec<Process>,
    recoveries: Vec<Recovery>,
    merges: Vec<Merge>,
    next_block: u64,
    pub(super) seen: Seen,
}

impl World {
    pub(super) fn new(seed: u64, rules: Rules) -> Self {
        let mut world = Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            rules,
            state: State::default(),
            bucket: BTreeMap::new(),
            logs: BTreeMap::new(),
            pushed: BTreeMap::new(),
            processes: Vec::new(),
            recoveries: Vec::new(),
            merges: Vec::new(),
            next_block: 0,
            seen: Seen::default(),
        };
        (0..WRITERS).for_each(|writer| world.start(writer));
        world
    }

    pub(super) fn step(&mut self) {
        match self.draw(100) {
            0..20 => self.push(),
            20..50 => self.flush(),
            50..52 => {
                let writer = self.draw(u64::from(WRITERS)) as u8;
                self.start(writer);
            }
            52..54 => self.seal(),
            54..57 => self.claim(),
            57..67 => self.recover(),
            67..72 => self.plan_merge(),
            72..82 => self.merge(),
            82..86 => self.delete(),
            86..90 => self.truncate(),
            90..92 => self.sweep(),
            92..94 => self.retire(),
            94..95 => self.lose_catalog(),
            _ => {}
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % below
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.draw(n) == 0
    }

    fn pick(&mut self, len: usize) -> Option<usize> {
        (len > 0).then(|| self.draw(len as u64) as usize)
    }

    /// Puts a block with these entries into the bucket.
    fn store(&mut self, (tenant, level): (u8, u32), mut object: Object) -> BlockMeta {
        self.next_block += 1;
        object.meta = BlockMeta {
            id: BlockId::new(self.next_block, 1),
            tenant: tenant_id(tenant),
            level,
            ..object.meta
        };
        let meta = object.meta.clone();
        self.bucket.insert(meta.id, object);
        meta
    }

    /// The catalog is gone. A new one is made of the bucket, and every process begins anew.
    fn lose_catalog(&mut self) {
        let plan = self.plan();
        let floor = self.state.version() + 1_000;
        self.state = plan.state(floor);
        if !self.rules.has_survivors {
            self.processes.clear();
            self.recoveries.clear();
            self.merges.clear();
        }
        (0..WRITERS).for_each(|writer| self.start(writer));
        self.seen.rebuilt += 1;
    }

    /// Deletes an object that neither the catalog nor anyone at work knows.
    fn sweep(&mut self) {
        let mut known: BTreeSet<BlockId> = BTreeSet::new();
        for tenant in (0..TENANTS).map(tenant_id) {
            known.extend(self.state.snapshot(&tenant).blocks.iter().map(|b| b.id));
        }
        known.extend(self.state.expired(i64::MAX).iter().map(|t| t.block.id));
        known.extend(self.processes.iter().flat_map(Process::blocks));
        known.extend(self.recoveries.iter().flat_map(Recovery::blocks));
        known.extend(self.merges.iter().flat_map(Merge::blocks));
        let orphans = self.bucket.keys().filter(|id| !known.contains(*id));
        let orphans: Vec<BlockId> = orphans.copied().collect();
        if let Some(at) = self.pick(orphans.len()) {
            self.bucket.remove(&orphans[at]);
        }
    }
}

impl Object {
    /// Of no tenant and without a name yet.
    fn new(origins: Vec<Stretch>, siblings: u32, entries: Vec<Entry>) -> Self {
        Self {
            meta: BlockMeta {
                id: BlockId::new(0, 0),
                tenant: TenantId::anonymous(),
                level: 0,
                range: TimeRange { start: 0, end: 0 },
                bytes: 1,
                rows: entries.len() as u64,
                profiles: entries.len() as u64,
                created_unix_ms: 0,
            },
            origins,
            siblings,
            entries,
        }
    }
}

impl Seen {
    pub(super) fn add(&mut self, other: &Self) {
        self.checks += other.checks;
        self.conflicts += other.conflicts;
        self.commits += other.commits;
        self.refused_commits += other.refused_commits;
        self.recovered_parts += other.recovered_parts;
        self.recovered_logs += other.recovered_logs;
        self.merges += other.merges;
        self.refused_merges += other.refused_merges;
        self.deleted += other.deleted;
        self.truncated += other.truncated;
        self.retired += other.retired;
        self.rebuilt += other.rebuilt;
        self.taken_as_committed += other.taken_as_committed;
    }
}

fn tenant_id(tenant: u8) -> TenantId {
    TenantId::parse(&format!("t{tenant}")).expect("valid")
}

fn writer_id(writer: u8) -> WriterId {
    WriterId::parse(&format!("w{writer}")).expect("valid")
}

fn log_of(writer: u8) -> Log {
    match writer {
        0 => Log::Continued,
        _ => Log::OnePerIncarnation,
    }
}

fn log_key(writer: u8, incarnation: u64) -> LogKey {
    match log_of(writer) {
        Log::Continued => (writer, 0),
        Log::OnePerIncarnation => (writer, incarnation),
    }
}
