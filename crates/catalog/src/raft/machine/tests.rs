use std::time::{Duration, Instant};

use cairn_model::BlockId;
use openraft::CommittedLeaderId;

use super::*;
use crate::raft::Batch;
use crate::state::tests::{block, commit, register, tenant};
use crate::{BlockMeta, Command};

fn entry(index: u64, commands: Vec<Command>) -> Entry {
    Entry {
        log_id: LogId::new(CommittedLeaderId::new(1, 1), index),
        payload: EntryPayload::Normal(Batch(commands)),
    }
}

async fn opened(dir: &tempfile::TempDir) -> Machine {
    Machine::open(dir.path(), Offload::Threads)
        .await
        .expect("well")
}

async fn applied(machine: &mut Machine, index: u64, commands: Vec<Command>) {
    let outcomes = machine
        .apply([entry(index, commands)])
        .await
        .expect("applied");
    assert!(outcomes[0].0.iter().all(Result::is_ok), "{outcomes:?}");
}

#[tokio::test]
async fn a_snapshot_is_of_its_moment_and_survives_a_restart_and_a_journey() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut machine = opened(&dir).await;
    let first = commit(1, (1, 1), vec![block(&tenant("t"), 1, 1)]);
    applied(&mut machine, 1, vec![register(), first]).await;
    let before = machine.current().read(State::clone);
    let mut builder = machine.get_snapshot_builder().await;
    let second = commit(1, (2, 2), vec![block(&tenant("t"), 2, 1)]);
    applied(&mut machine, 2, vec![second]).await;
    let snapshot = builder.build_snapshot().await.expect("written");
    assert_eq!(snapshot.meta.last_log_id.map(|last| last.index), Some(1));
    assert_ne!(machine.current().read(State::clone), before);
    drop(machine);

    let mut machine = opened(&dir).await;
    assert_eq!(machine.current().read(State::clone), before);
    let current = machine.get_current_snapshot().await.expect("read");
    let current = current.expect("there is one");
    assert_eq!(current.meta, snapshot.meta);
    assert_eq!(current.snapshot.get_ref(), snapshot.snapshot.get_ref());

    let elsewhere = tempfile::tempdir().expect("a folder");
    let mut other = opened(&elsewhere).await;
    let (meta, snapshot) = (current.meta, current.snapshot);
    other
        .install_snapshot(&meta, snapshot)
        .await
        .expect("installed");
    other.current().applied(1).await;
    assert_eq!(other.current().read(State::clone), before);
    drop(other);
    assert_eq!(
        opened(&elsewhere).await.current().read(State::clone),
        before
    );
}

#[tokio::test]
async fn a_snapshot_that_says_nothing_is_not_installed() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut machine = opened(&dir).await;
    applied(&mut machine, 1, vec![register()]).await;
    let meta = SnapshotMeta::default();
    let junk = Box::new(Cursor::new(b"\x01{".to_vec()));
    machine
        .install_snapshot(&meta, junk)
        .await
        .expect_err("junk");
    assert!(
        machine
            .get_current_snapshot()
            .await
            .expect("read")
            .is_none()
    );
    assert_eq!(machine.current().read(State::version), 1);
}

fn many(blocks: u64, tenants: u64) -> Vec<Command> {
    let names: Vec<_> = (0..tenants)
        .map(|number| tenant(&format!("tenant-{number}")))
        .collect();
    // Two days of blocks.
    let made = |number: u64| 1_800_000_000_000 + number * 172_800_000 / blocks;
    let meta = |number: u64| BlockMeta {
        id: BlockId::new(made(number), u128::from(number)),
        ..block(&names[(number % tenants) as usize], number, 1_000)
    };
    let per_commit = 5_000;
    let commits = (0..blocks / per_commit).map(|at| {
        let first = at * per_commit;
        let blocks = (first..first + per_commit).map(meta).collect();
        commit(1, (at + 1, at + 1), blocks)
    });
    std::iter::once(register()).chain(commits).collect()
}

/// How long commands wait because of a snapshot, with as many blocks as a large catalog has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn snapshots_do_not_hold_commands_up() {
    const BLOCKS: u64 = 300_000;
    for tenants in [1, 1_000] {
        let dir = tempfile::tempdir().expect("a folder");
        let mut machine = opened(&dir).await;
        let mut index = 1;
        applied(&mut machine, index, many(BLOCKS, tenants)).await;
        let mut lsn = BLOCKS / 5_000;
        let mut commit_one = async |machine: &mut Machine| {
            (index, lsn) = (index + 1, lsn + 1);
            let mut meta = block(&tenant("tenant-0"), lsn, 1);
            meta.id = BlockId::new(1_800_000_000_000 + 172_000_000, u128::from(lsn) << 40);
            let start = Instant::now();
            applied(machine, index, vec![commit(1, (lsn, lsn), vec![meta])]).await;
            start.elapsed()
        };
        let usual = commit_one(&mut machine).await;
        let start = Instant::now();
        let mut builder = machine.get_snapshot_builder().await;
        let cloned = start.elapsed();
        let first = commit_one(&mut machine).await;
        let start = Instant::now();
        let build = tokio::runtime::Handle::current().spawn(async move {
            let snapshot = builder.build_snapshot().await.expect("written");
            snapshot.snapshot.get_ref().len()
        });
        let mut worst = Duration::ZERO;
        let mut count = 0;
        while !build.is_finished() {
            worst = worst.max(commit_one(&mut machine).await);
            count += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let bytes = build.await.expect("no panic");
        let took = start.elapsed();
        println!(
            "{BLOCKS} blocks of {tenants} tenants: a commit takes {usual:?}; taking the clone \
             {cloned:?}, the first commit after it {first:?}; the snapshot of {bytes} bytes took \
             {took:?}, and the slowest of {count} commits meanwhile {worst:?}"
        );
        assert!(
            cloned + first < Duration::from_millis(250),
            "{cloned:?} {first:?}"
        );
        drop(machine);
        let start = Instant::now();
        let restored = opened(&dir).await;
        println!("restored in {:?}", start.elapsed());
        let live = restored.current().read(State::tenants);
        assert_eq!(live.len() as u64, tenants);
    }
}
