//! What was acknowledged survives, and is counted once, whatever happens in between.

use std::time::Duration;

use cairn_block::Block;
use cairn_engine::{Alone, Answer, GroupBy, Query, Question, Source, scan_block};
use cairn_model::{TenantId, TimeRange};
use cairn_store::Store;
use cairn_testkit::corpus;
use cairn_wire::cairn::query::v1::Stacks;
use cairn_wire::cairn::query::v1::scan_ticket::Question as WireQuestion;

use crate::harness::{Running, config, copy_folder, folder, total};

/// Pushes distinct profiles and returns the sum of their values.
async fn push(running: &Running, requests: std::ops::Range<usize>) -> i64 {
    let captured = corpus::captured();
    let pprofs = captured
        .iter()
        .filter(|c| c.client.starts_with("pyroscope-go"));
    let pprofs: Vec<_> = pprofs.flat_map(|c| c.pprofs()).collect();
    let mut sum = 0i64;
    for pprof in &pprofs[requests] {
        let answer = running
            .post("/ingest?name=a&format=pprof", &[], &pprof.bytes)
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        sum = sum.wrapping_add(total(&pprof.bytes));
    }
    sum
}

/// Sum of all values of all blocks.
async fn stored(folder: &std::path::Path) -> i64 {
    let path = folder.join("store");
    let store = Store::open(&cairn_store::Config::folder(path), 1).await;
    let store = store.expect("opened");
    let tenant = TenantId::anonymous();
    let query = Query {
        profile_type: None,
        matchers: Vec::new(),
        range: TimeRange::ALL,
        weights: None,
        question: Question::Stacks(GroupBy::Nothing),
    };
    let mut sum = 0i64;
    for found in store.list_blocks(&tenant).await.expect("listed") {
        let block = Block::open(&store, &tenant, found.id, None)
            .await
            .expect("a block");
        let scanned = scan_block(&block, &query, Source::ALONE, &Alone)
            .await
            .expect("scanned");
        let Answer::Stacks(partial) = scanned.answer else {
            panic!("not stacks");
        };
        sum = sum.wrapping_add(partial.total());
    }
    sum
}

#[tokio::test]
async fn a_crash_at_any_moment_keeps_what_was_acknowledged() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let mut sum = 0;
    for at in 0..3 {
        sum += push(&running, at..at + 1).await;
        // What a kill at this moment would leave behind.
        let crashed = crate::harness::folder();
        copy_folder(folder.path(), crashed.path());
        let again = Running::start(config(crashed.path())).await;
        assert_eq!(again.total("{}").await, sum);
        // The window of repeats is rebuilt from the log.
        push(&again, 0..at + 1).await;
        assert_eq!(again.total("{}").await, sum);
        again.stop().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn stopping_moves_every_row_into_blocks_and_no_row_twice() {
    let folder = folder();
    let mut sum = 0;
    for round in 0..3 {
        let running = Running::start(config(folder.path())).await;
        sum += push(&running, round * 2..round * 2 + 2).await;
        running.stop().await;
        assert_eq!(stored(folder.path()).await, sum);
    }
    let running = Running::start(config(folder.path())).await;
    assert_eq!(running.total("{}").await, 0, "everything is in blocks");
    push(&running, 0..6).await;
    assert_eq!(
        running.total("{}").await,
        0,
        "repeats are told after a restart too"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_flush_commits_and_keeps_the_tail_for_queries_that_planned_before() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    let sum = push(&running, 0..2).await;
    running.clock.advance(Duration::from_secs(30));
    let snapshot = loop {
        let snapshot = running.snapshot().await;
        if snapshot.writers[0].flushed_lsn == 2 {
            break snapshot;
        }
    };
    assert_eq!(snapshot.blocks.len(), 1);
    assert_eq!(stored(folder.path()).await, sum);
    assert_eq!(
        running.total("{}").await,
        0,
        "the tail goes on after the blocks"
    );
    let early = running.scan("{}", WireQuestion::Stacks(Stacks::default()), Some(0));
    let Answer::Stacks(partial) = early.await.expect("kept for a while").answer else {
        panic!("not stacks");
    };
    assert_eq!(partial.total(), sum);

    // Rounds of flushing, until the rows are gone from memory.
    let status = loop {
        running.clock.advance(Duration::from_secs(31));
        let late = running.scan("{}", WireQuestion::Stacks(Stacks::default()), Some(0));
        match late.await {
            Ok(_) => tokio::task::yield_now().await,
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), tonic::Code::Aborted, "{status:?}");
    assert!(
        status.message().contains("take a new snapshot"),
        "{status:?}"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_damaged_log_stops_the_start_and_names_the_place() {
    let folder = folder();
    let running = Running::start(config(folder.path())).await;
    push(&running, 0..3).await;
    let crashed = crate::harness::folder();
    copy_folder(folder.path(), crashed.path());
    running.stop().await;
    let log = crashed.path().join("ingester/log/00000000000000000001.log");
    let mut bytes = std::fs::read(&log).expect("the segment");
    bytes[100] ^= 1;
    std::fs::write(&log, bytes).expect("written");
    let process = cairn_chassis::Process::bind(cairn_chassis::Options::for_tests(), &["ingester"]);
    let process = process.await.expect("bound");
    let config = config(crashed.path());
    process.run("ingester", |cx| cairn_ingester::run(config, cx));
    let error = process.finished().await.expect_err("it must not start");
    let text = format!("{error:#}");
    assert!(
        text.contains("00000000000000000001.log at byte 8"),
        "{text}"
    );
}
