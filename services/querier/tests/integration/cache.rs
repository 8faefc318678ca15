//! What is kept of blocks on a disk answers instead of the store, and never wrongly.

use std::time::Duration;

use cairn_store::Key;

use crate::fixture::{Fixture, SECOND, START, Sent, encoded, head};

#[tokio::test]
async fn what_was_read_once_is_answered_from_files_unless_they_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let fixture = Fixture::with(|config, _| {
        config.cache.path = path.clone();
        // Nothing stays in memory.
        config.limits.open_blocks_max = 0;
        config.limits.answers_bytes_max = 0;
    })
    .await;
    let id = fixture.add(&head(&[Sent::default()])).await;
    let question = format!(
        "/api/v1/flamegraph?type={}&from={}&until={}",
        encoded("process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta"),
        START / SECOND,
        START / SECOND + 600
    );
    let total = async || {
        let answer = fixture.json(&question).await;
        let warnings = answer["warnings"].as_array().map_or(0, Vec::len);
        (answer["total"].as_i64(), warnings)
    };
    assert_eq!(total().await, (Some(42), 0));
    for _ in 0..500 {
        if fixture.metric("cache_bytes").await > 0.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let key = Key::Block {
        tenant: &fixture.tenant,
        id,
    };
    let block = fixture.store.get(key).await.unwrap();
    fixture.store.delete(key).await.unwrap();
    assert_eq!(total().await, (Some(42), 0));
    assert!(fixture.metric("cache_hits").await > 0.0);

    // With the store as it was a damaged file costs a read.
    fixture.store.create(key, block).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(&path).unwrap().collect();
    assert!(!files.is_empty());
    for file in files {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(total().await, (Some(42), 0));
    fixture.stop().await;
}
