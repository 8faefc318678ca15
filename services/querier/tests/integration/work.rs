//! What queries take: nothing twice, nothing that nobody waits for, and no more time than they have.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use cairn_model::BlockId;

use crate::fixture::{Fixture, SECOND, START, Sent, encoded, head};

fn asking(path: &str) -> String {
    format!(
        "{path}?type={}&from={}&until={}",
        encoded("process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta"),
        START / SECOND,
        START / SECOND + 60
    )
}

/// A block whose reading does not end before [`Stuck::release`].
struct Stuck {
    id: BlockId,
    pipe: PathBuf,
}

impl Stuck {
    async fn add(fixture: &Fixture) -> Self {
        let (id, _) = fixture.record(&head(&[Sent::default()])).await;
        let folder = fixture.folder.path().join("store/blocks/anonymous");
        std::fs::create_dir_all(&folder).unwrap();
        let pipe = folder.join(format!("{id}.cairn"));
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        Self { id, pipe }
    }

    /// Whoever reads finds the end of the file.
    fn release(&self) {
        let options = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.pipe);
        drop(options.unwrap());
    }
}

#[tokio::test]
async fn what_was_asked_before_is_not_read_again() {
    let fixture = Fixture::start().await;
    for at in 0..3 {
        let sent = Sent {
            at: START + at,
            ..Sent::default()
        };
        fixture.add(&head(&[sent])).await;
    }
    let total = async || fixture.json(&asking("/api/v1/flamegraph")).await["total"].clone();
    assert_eq!(total().await, 3 * 42);
    let scanned = fixture.metric("blocks_scanned").await;
    assert_eq!(total().await, 3 * 42);
    assert_eq!(fixture.metric("blocks_scanned").await, scanned);
    assert!(fixture.metric("kept_answers").await > 0.0);

    // Only what is new is read.
    fixture.add(&head(&[Sent::default()])).await;
    assert_eq!(total().await, 4 * 42);
    assert_eq!(fixture.metric("blocks_scanned").await, scanned + 1.0);
    fixture.stop().await;
}

#[tokio::test]
async fn explaining_says_what_was_read_and_what_was_kept() {
    let fixture = Fixture::start().await;
    let id = fixture.add(&head(&[Sent::default()])).await;
    let first = fixture.json(&asking("/api/v1/explain")).await;
    assert_eq!(
        (&first["rows"], &first["kept_blocks"]),
        (&2.into(), &0.into())
    );
    assert!(first["bytes"].as_u64().unwrap() > 0, "{first}");
    let steps = first["steps"].as_array().unwrap();
    let of = |source: &str| steps.iter().find(|step| step["source"] == source).unwrap();
    assert_eq!(of("blocks")["blocks"][0], id.to_string());
    assert!(of("catalog")["milliseconds"].as_f64().unwrap() > 0.0);
    let again = fixture.json(&asking("/api/v1/explain")).await;
    assert_eq!(
        (&again["bytes"], &again["kept_blocks"]),
        (&0.into(), &1.into())
    );
    assert_eq!(again["rows"], 2);
    // Nobody was asked for it.
    let steps = again["steps"].as_array().unwrap();
    let of = |source: &str| steps.iter().find(|step| step["source"] == source);
    assert_eq!(of("kept").unwrap()["blocks"][0], id.to_string());
    assert!(of("blocks").is_none());
    fixture.stop().await;
}

#[tokio::test]
async fn what_merged_blocks_add_up_to_is_kept_beside_what_is_new() {
    let fixture = Fixture::start().await;
    let sent = |at: i64| {
        let sent = Sent {
            at: START + at,
            ..Sent::default()
        };
        head(&[sent])
    };
    for at in 0..3 {
        fixture.add_merged(&sent(at)).await;
    }
    let total = async || fixture.json(&asking("/api/v1/flamegraph")).await["total"].clone();
    assert_eq!(total().await, 3 * 42);
    fixture.add(&sent(30)).await;
    fixture.add(&sent(31)).await;
    for _ in 0..2 {
        assert_eq!(total().await, 5 * 42);
        let explained = fixture.json(&asking("/api/v1/explain")).await;
        let steps = explained["steps"].as_array().unwrap();
        let kept = steps.iter().find(|step| step["source"] == "kept").unwrap();
        assert_eq!(kept["blocks"].as_array().unwrap().len(), 3);
        assert_eq!(explained["read_blocks"], 5);
    }
    fixture.stop().await;
}

#[tokio::test]
async fn stacks_that_there_is_no_memory_for_are_summed_up_and_said_so() {
    let fixture = Fixture::with(|config, _| config.limits.query_bytes_max = 1).await;
    for at in 0..2 {
        let sent = Sent {
            at: START + at,
            ..Sent::default()
        };
        fixture.add(&head(&[sent])).await;
    }
    for _ in 0..2 {
        let body = fixture.json(&asking("/api/v1/flamegraph")).await;
        assert_eq!(body["total"], 2 * 42);
        let warning = body["warnings"][0].as_str().unwrap();
        assert!(warning.contains("query_bytes_max"), "{warning}");
        assert!(body.to_string().contains("(folded)"), "{body}");
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_takes_too_long_is_missing_and_said_so() {
    let fixture = Fixture::with(|config, _| {
        config.limits.query_timeout = Duration::from_secs(10);
    })
    .await;
    fixture.add(&head(&[Sent::default()])).await;
    let stuck = Stuck::add(&fixture).await;
    let body = fixture.json(&asking("/api/v1/flamegraph")).await;
    assert_eq!(body["total"], 42);
    let warning = body["warnings"][0].as_str().unwrap();
    let named = format!("block {}: ", stuck.id);
    assert!(
        warning.starts_with(&named) && warning.contains("in time"),
        "{warning}"
    );
    stuck.release();
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_nobody_waits_for_any_more_ends() {
    let fixture = Fixture::start().await;
    fixture.add(&head(&[Sent::default()])).await;
    let stuck = Stuck::add(&fixture).await;
    let running = async |wanted: f64| {
        let waiting = async {
            while fixture.metric("running_scans").await != wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // Less than a query may take.
        let patience = Duration::from_secs(20);
        tokio::time::timeout(patience, waiting).await.unwrap();
    };
    let path = asking("/api/v1/flamegraph");
    let query = fixture.get(&path);
    tokio::select! {
        _ = query => panic!("the block can't be read"),
        () = running(1.0) => {}
    }
    // The query is dropped, and with it its connection, long before its time is up.
    running(0.0).await;
    stuck.release();
    fixture.stop().await;
}
