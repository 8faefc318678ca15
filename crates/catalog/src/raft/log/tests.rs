use std::path::PathBuf;

use openraft::CommittedLeaderId;
use openraft::storage::RaftLogStorageExt;
use openraft::testing::{StoreBuilder, Suite};
use proptest::prelude::*;

use super::*;
use crate::raft::Batch;
use crate::raft::machine::Machine;
use crate::state::tests::{block, commit, tenant};

fn owner() -> Owner {
    Owner {
        cluster: "test".to_owned(),
        node: 1,
    }
}

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, 1), index)
}

fn entry(index: u64, blocks: u64) -> Entry {
    let blocks = (0..blocks).map(|number| block(&tenant("t"), number, 1));
    let commands = vec![commit(1, (index, index), blocks.collect())];
    Entry {
        log_id: log_id(1, index),
        payload: openraft::EntryPayload::Normal(Batch(commands)),
    }
}

async fn opened(dir: &Path) -> (Log, Running) {
    Log::open(dir, owner(), Offload::Threads)
        .await
        .expect("well")
}

async fn closed((log, running): (Log, Running)) {
    drop(log);
    running.ended().await;
}

fn shown(entries: &[Entry]) -> Vec<Vec<u8>> {
    entries.iter().map(disk::encoded).collect()
}

struct Stores(Offload);

impl StoreBuilder<Types, Log, Machine, tempfile::TempDir> for Stores {
    async fn build(&self) -> Result<(tempfile::TempDir, Log, Machine), StorageError<NodeId>> {
        let dir = tempfile::tempdir().expect("a folder");
        let (log, _) = Log::open(dir.path(), owner(), self.0).await.expect("fresh");
        let machine = Machine::open(dir.path(), self.0).await.expect("fresh");
        Ok((dir, log, machine))
    }
}

#[test]
fn openraft_finds_nothing_wrong_with_the_storage() {
    for offload in [Offload::Threads, Offload::Inline] {
        let result = Suite::test_all(Stores(offload));
        result.unwrap_or_else(|error| panic!("{offload:?}: {error}"));
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut open = opened(dir.path()).await;
    let log = &mut open.0;
    assert!(log.is_pristine());
    log.save_vote(&Vote::new_committed(3, 2))
        .await
        .expect("saved");
    let entries: Vec<Entry> = (0..9).map(|index| entry(index, 2)).collect();
    log.blocking_append(entries.clone()).await.expect("durable");
    log.save_committed(Some(log_id(1, 5))).await.expect("noted");
    log.purge(log_id(1, 2)).await.expect("purged");
    log.truncate(log_id(1, 7)).await.expect("truncated");
    for _ in 0..2 {
        let log = &mut open.0;
        let state = log.get_log_state().await.expect("known");
        assert_eq!(state.last_purged_log_id, Some(log_id(1, 2)));
        assert_eq!(state.last_log_id, Some(log_id(1, 6)));
        let read = log.try_get_log_entries(..).await.expect("read");
        assert_eq!(shown(&read), shown(&entries[3..7]));
        let vote = log.read_vote().await.expect("known");
        assert_eq!(vote, Some(Vote::new_committed(3, 2)));
        assert_eq!(
            log.read_committed().await.expect("known"),
            Some(log_id(1, 5))
        );
        assert!(!log.is_pristine());
        closed(open).await;
        open = opened(dir.path()).await;
    }
    closed(open).await;
}

#[tokio::test]
async fn a_leader_that_restarts_does_not_lead_any_more() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut open = opened(dir.path()).await;
    open.0
        .save_vote(&Vote::new_committed(3, 1))
        .await
        .expect("saved");
    closed(open).await;
    let mut open = opened(dir.path()).await;
    assert_eq!(
        open.0.read_vote().await.expect("known"),
        Some(Vote::new(3, 1))
    );
    closed(open).await;
}

#[tokio::test]
async fn old_entries_leave_the_memory_and_are_read_from_the_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut open = opened(dir.path()).await;
    let log = &mut open.0;
    let entries: Vec<Entry> = (0..40).map(|index| entry(index, 8_000)).collect();
    for few in entries.chunks(5) {
        log.blocking_append(few.to_vec()).await.expect("durable");
    }
    let cached = log.shared.memory.read().entries.len();
    assert!((1..40).contains(&cached), "{cached}");
    let read = log.try_get_log_entries(..).await.expect("read");
    assert!(shown(&read) == shown(&entries));
    // One message to a follower is not too large.
    for from in [0, 39, 30] {
        let read = log.limited_get_log_entries(from, 40).await.expect("read");
        assert_eq!(read[0].log_id.index, from);
        let bytes: usize = shown(&read).iter().map(Vec::len).sum();
        assert!(bytes <= 16 << 20, "{bytes}");
    }
    closed(open).await;
}

#[tokio::test]
async fn a_folder_belongs_to_one_node_of_one_catalog() {
    let dir = tempfile::tempdir().expect("a folder");
    closed(opened(dir.path()).await).await;
    for (cluster, node) in [("test", 2), ("other", 1)] {
        let cluster = cluster.to_owned();
        let other = Owner { cluster, node };
        let error = Log::open(dir.path(), other, Offload::Inline).await;
        let error = error.expect_err("somebody else's");
        assert_eq!(error.code(), cairn_model::Code::Invalid);
    }
}

fn written(dir: &tempfile::TempDir) -> (PathBuf, Vec<u8>) {
    let (owner, entries) = (owner(), (0..20).map(|index| entry(index, 3)));
    let (disk, _, _) = Disk::open(dir.path(), &owner).expect("fresh");
    let encoded = entries.map(|entry| (entry.log_id.index, disk::encoded(&entry)));
    let changes = [
        Change::Vote(Vote::new(1, 2)),
        Change::Append(encoded.collect()),
    ];
    disk.write(&changes).expect("durable");
    drop(disk);
    let path = dir.path().join("log.redb");
    let bytes = std::fs::read(&path).expect("there");
    (path, bytes)
}

/// What opening gives: all entries as they were, or an error.
fn reopened(dir: &tempfile::TempDir) -> Option<bool> {
    match Disk::open(dir.path(), &owner()) {
        Err(error) => {
            let code = error.code();
            assert_eq!(code, cairn_model::Code::Corrupt, "{error}");
            None
        }
        Ok((_, facts, entries)) => {
            let expected: Vec<Entry> = (0..20).map(|index| entry(index, 3)).collect();
            let is_whole = shown(&entries) == shown(&expected);
            Some(is_whole && facts.vote == Some(Vote::new(1, 2)))
        }
    }
}

#[test]
fn a_damaged_entry_stops_the_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, bytes) = written(&dir);
    let name = b"http".len();
    assert_eq!(reopened(&dir), Some(true));
    let needle = b"\"lsn_from\":13";
    let found = bytes
        .windows(needle.len())
        .rposition(|window| window == needle);
    let at = found.expect("entries are JSON") + needle.len() - name + 3;
    let mut bad = bytes;
    bad[at] = b'4';
    std::fs::write(path, bad).expect("written");
    assert_eq!(reopened(&dir), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn damage_anywhere_is_an_error_or_harmless(at in any::<prop::sample::Index>(), bit in 0..8u32) {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, mut bytes) = written(&dir);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        std::fs::write(path, bytes).expect("written");
        prop_assert!(reopened(&dir) != Some(false), "something else was read");
    }
}
