//! A node's log and snapshots against power cuts: an XFS is shut down under a node that is driven
//! as openraft drives it.
//!
//! `CAIRN_POWER_CUTS` says how many cuts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use cairn_testkit::disk::{Disk, Journal, cuts};
use cairn_testkit::generator::Rng;
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _, RaftStateMachine as _};
use openraft::{CommittedLeaderId, EntryPayload, RaftLogReader as _, RaftSnapshotBuilder as _};

use super::log::{Log, Owner, Running};
use super::machine::Machine;
use super::offload::Offload;
use super::{Batch, Entry, LogId, NodeId, Vote};
use crate::encoding;
use crate::state::tests::{block, commit, register, tenant};

const ITSELF: NodeId = 1;
/// Votes for others come back just as they were given.
const LEADER: NodeId = 2;

/// A node's storage, open.
struct Node {
    log: Log,
    running: Running,
    machine: Machine,
}

/// What a node has to find after a restart.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    vote: Option<Vote>,
    /// By index, with the bytes of the entry.
    entries: BTreeMap<u64, (LogId, Vec<u8>)>,
    /// The newest entry in the snapshot, and the state's bytes there.
    snapshot: Option<(LogId, Vec<u8>)>,
    /// Everything up to here may be gone from the log, but need not.
    purged: Option<LogId>,
}

/// One thing that openraft asks for.
#[derive(Clone, Copy, Debug)]
enum Step {
    Append { count: u64, blocks: u64 },
    Vote,
    Truncate { from: u64 },
    Snapshot,
    Purge { to: LogId },
}

impl Known {
    fn term(&self) -> u64 {
        self.vote.map_or(0, |vote| vote.leader_id().term)
    }

    fn next(&self) -> u64 {
        let next = |log_id: LogId| log_id.index + 1;
        let last = self.entries.last_key_value().map(|(index, _)| index + 1);
        last.or(self.purged.map(next)).unwrap_or(0)
    }

    /// Of what the log holds, what the snapshot doesn't.
    fn unapplied(&self) -> Range<u64> {
        let applied = self.snapshot.as_ref().map_or(0, |(last, _)| last.index + 1);
        applied..self.next()
    }

    fn any_step(&self, rng: &mut Rng) -> Step {
        let unapplied = self.unapplied();
        let count = unapplied.end.saturating_sub(unapplied.start);
        let snapshot = self.snapshot.as_ref().map(|(last, _)| *last);
        match (rng.below(20), snapshot) {
            (0..3, _) => Step::Vote,
            (3, _) if count > 0 => Step::Truncate {
                from: unapplied.start + rng.below(count),
            },
            (4, _) if count > 20 => Step::Snapshot,
            (5, Some(to)) if self.purged < Some(to) => Step::Purge { to },
            _ => Step::Append {
                count: 1 + rng.below(4),
                blocks: [1, 30][usize::from(rng.below(20) == 0)],
            },
        }
    }

    fn new_entries(&self, count: u64, blocks: u64) -> Vec<Entry> {
        let next = self.next();
        let indexes = next..next + count;
        let entry = |index| {
            let block = |number| block(&tenant("t"), index * 1_000 + number, self.term());
            let command = match index {
                0 => register(),
                _ => commit(1, (index, index), (0..blocks).map(block).collect()),
            };
            Entry {
                log_id: LogId::new(CommittedLeaderId::new(self.term(), LEADER), index),
                payload: EntryPayload::Normal(Batch(vec![command])),
            }
        };
        indexes.map(entry).collect()
    }

    /// Whether a node that found `found` lost or made up nothing.
    fn is(&self, found: &Self) -> bool {
        let purged = found.purged.map_or(0, |purged| purged.index + 1);
        let mut entries = self.entries.clone();
        let snapshot = |known: &Self| known.snapshot.as_ref().map(|(last, _)| *last);
        entries.retain(|index, _| *index >= purged);
        self.vote == found.vote
            && self.snapshot == found.snapshot
            && found.purged <= self.purged
            && found.purged <= snapshot(found)
            && entries == found.entries
    }
}

impl Node {
    async fn open(folder: &Path) -> Self {
        let owner = Owner {
            cluster: "test".to_owned(),
            node: ITSELF,
        };
        let log = Log::open(folder, owner, Offload::Threads).await;
        let (log, running) = log.expect("a power cut is no damage");
        let machine = Machine::open(folder, Offload::Threads).await;
        let machine = machine.expect("a power cut is no damage");
        Self {
            log,
            running,
            machine,
        }
    }

    async fn close(self) {
        drop(self.log);
        self.running.ended().await;
    }

    async fn found(&mut self) -> Known {
        let read = self.log.try_get_log_entries(..).await.expect("read");
        let entry = |entry: Entry| (entry.log_id.index, (entry.log_id, encoding::encode(&entry)));
        let (last, _) = self.machine.applied_state().await.expect("known");
        Known {
            vote: self.log.read_vote().await.expect("known"),
            entries: read.into_iter().map(entry).collect(),
            snapshot: last.map(|last| (last, self.state())),
            purged: self.log.purged(),
        }
    }

    fn state(&self) -> Vec<u8> {
        self.machine.current().read(encoding::encode)
    }

    /// Takes a step; what is known once it is done, and whether it was.
    async fn take(&mut self, step: Step, known: &Known) -> (Known, bool) {
        let mut after = known.clone();
        let done = match step {
            Step::Append { count, blocks } => {
                let entries = known.new_entries(count, blocks);
                for entry in &entries {
                    let bytes = encoding::encode(entry);
                    let index = entry.log_id.index;
                    after.entries.insert(index, (entry.log_id, bytes));
                }
                self.log.blocking_append(entries).await.is_ok()
            }
            Step::Vote => {
                let vote = Vote::new_committed(known.term() + 1, LEADER);
                after.vote = Some(vote);
                self.log.save_vote(&vote).await.is_ok()
            }
            Step::Truncate { from } => {
                let (log_id, _) = known.entries[&from];
                after.entries.retain(|index, _| *index < from);
                self.log.truncate(log_id).await.is_ok()
            }
            Step::Snapshot => {
                let unapplied = known.unapplied();
                let read = self.log.try_get_log_entries(unapplied).await;
                let read = read.expect("from memory");
                let last = read.last().map(|entry| entry.log_id);
                self.machine.apply(read).await.expect("in memory");
                after.snapshot = last.map(|last| (last, self.state()));
                let mut builder = self.machine.get_snapshot_builder().await;
                builder.build_snapshot().await.is_ok()
            }
            Step::Purge { to } => {
                // Nobody waits for it: until a later step is durable it may be undone.
                after.purged = Some(to);
                self.log.purge(to).await.is_ok()
            }
        };
        (after, done)
    }
}

/// What one life of a node left behind.
struct Life {
    known: Known,
    /// What is known if the last step, of which nobody knows, was done.
    doubtful: Known,
    steps: u64,
}

/// Takes steps until there is no power any more.
async fn live(
    folder: &Path,
    known: Known,
    mut rng: Rng,
    is_cut: &AtomicBool,
    done: mpsc::Sender<()>,
) -> Life {
    let mut node = Node::open(folder).await;
    let (mut known, mut steps) = (known, 0);
    let doubtful = loop {
        let step = known.any_step(&mut rng);
        let (after, is_done) = node.take(step, &known).await;
        if !is_done || !Disk::has_power(folder) {
            assert!(is_cut.load(Ordering::SeqCst), "refused before: {step:?}");
            break after;
        }
        known = after;
        steps += 1;
        let _ = done.send(());
    };
    // Nothing is acknowledged any more.
    let vote = Vote::new(known.term() + 9, LEADER);
    assert!(node.log.save_vote(&vote).await.is_err(), "there is no disk");
    node.close().await;
    Life {
        known,
        doubtful,
        steps,
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the report says how long it took"
)]
fn power_cuts_lose_nothing_that_a_node_has_promised() {
    let Some(disk) = Disk::format_or_skip("power_cut of a catalog node") else {
        return;
    };
    let folder: PathBuf = disk.mounted().join("catalog");
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("started");
    let (start, mut known, mut steps, mut survived) = (Instant::now(), Known::default(), 0, 0);
    for cut in 0..cuts() {
        let mut rng = Rng::new(cut);
        let (is_cut, (done, dones)) = (AtomicBool::new(false), mpsc::channel());
        let life = std::thread::scope(|scope| {
            let (own_rng, before) = (Rng::new(rng.next()), known.clone());
            let life = live(&folder, before, own_rng, &is_cut, done);
            let life = scope.spawn(|| runtime.block_on(life));
            for _ in 0..=rng.below(60) {
                dones.recv().expect("steps go on until the cut");
            }
            is_cut.store(true, Ordering::SeqCst);
            disk.cut([Journal::Lost, Journal::Flushed][rng.below(2) as usize]);
            life.join().expect("no assertion failed")
        });
        disk.restart();
        let found = runtime.block_on(async {
            let mut node = Node::open(&folder).await;
            let found = node.found().await;
            node.close().await;
            found
        });
        let is_undone = life.known.is(&found);
        assert!(
            is_undone || life.doubtful.is(&found),
            "cut {cut}: {}",
            difference(&life.known, &found)
        );
        (steps, survived) = (steps + life.steps, survived + u64::from(!is_undone));
        known = found;
    }
    println!(
        "power_cut of a catalog node: {} cuts, {steps} steps acknowledged, 0 lost, {survived} came \
         back unacknowledged, {} entries in the end, {:.1} s",
        cuts(),
        known.next(),
        start.elapsed().as_secs_f64()
    );
}

/// Where the two differ, without the bytes.
fn difference(known: &Known, found: &Known) -> String {
    let shown = |known: &Known| {
        let ends = [
            known.entries.first_key_value(),
            known.entries.last_key_value(),
        ];
        let ends = ends.map(|end| end.map(|(_, (log_id, _))| log_id.to_string()));
        let snapshot = known.snapshot.as_ref().map(|(last, _)| last.to_string());
        let (vote, purged) = (known.vote, known.purged);
        format!("vote {vote:?}, entries {ends:?}, snapshot {snapshot:?}, purged {purged:?}")
    };
    format!("known: {}; found: {}", shown(known), shown(found))
}
