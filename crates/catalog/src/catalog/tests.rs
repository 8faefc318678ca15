//! Restarts and concurrency of the whole catalog. What a command means is tested in `state`.

use cairn_model::Code;
use tokio::task::JoinSet;

use super::*;
use crate::state::tests::{block, id, tenant, writer};

fn opened(dir: &tempfile::TempDir) -> Catalog {
    Catalog::open(dir.path()).expect("well")
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let (t, w) = (tenant("t"), writer("w"));
    let catalog = opened(&dir);
    let first = catalog.register(&w, "http://a").await.expect("first");
    assert_eq!((first.incarnation, first.flushed_lsn), (1, 0));
    let blocks = vec![block(&t, 1, 4), block(&t, 2, 4)];
    catalog
        .commit(&w, 1, (1, 8), (blocks, 0))
        .await
        .expect("gapless");
    let merged = vec![block(&t, 3, 8)];
    catalog
        .replace(&t, vec![id(1), id(2)], merged, 60)
        .await
        .expect("live");
    let snapshot = catalog.snapshot(&t);
    drop(catalog);

    let catalog = opened(&dir);
    assert_eq!(catalog.snapshot(&t), snapshot);
    assert_eq!(catalog.expired(60).len(), 2);
    catalog.forget(&t, vec![id(1), id(2)]).await.expect("dead");
    let second = catalog.register(&w, "http://b").await.expect("newer");
    assert_eq!((second.incarnation, second.flushed_lsn), (2, 8));
    let fenced = catalog.commit(&w, 1, (9, 9), (vec![], 0)).await;
    assert_eq!(fenced.expect_err("fenced").code(), Code::Conflict);
    catalog.close(&w, 2, 8).await.expect("flushed");
    assert!(catalog.snapshot(&t).writers.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_commands_each_happen_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let catalog = opened(&dir);
    let mut tasks = JoinSet::new();
    for number in 0..32u64 {
        let catalog = catalog.clone();
        tasks.spawn(async move {
            let (t, w) = (tenant("t"), writer(&format!("w{number}")));
            let registered = catalog.register(&w, "").await.expect("first");
            for lsn in 1..=8 {
                let blocks = vec![block(&t, number * 100 + lsn, 1)];
                let incarnation = registered.incarnation;
                catalog
                    .commit(&w, incarnation, (lsn, lsn), (blocks, 0))
                    .await
                    .expect("gapless");
                assert_eq!(catalog.writer(&w).expect("known").flushed_lsn, lsn);
            }
        });
    }
    while let Some(joined) = tasks.join_next().await {
        joined.expect("no panic");
    }
    let snapshot = catalog.snapshot(&tenant("t"));
    assert_eq!((snapshot.blocks.len(), snapshot.version), (256, 288));
    drop(catalog);
    assert_eq!(opened(&dir).snapshot(&tenant("t")), snapshot);
}

#[tokio::test]
async fn of_two_compactions_of_one_block_one_wins() {
    let dir = tempfile::tempdir().expect("a folder");
    let (t, w) = (tenant("t"), writer("w"));
    let catalog = opened(&dir);
    catalog.register(&w, "").await.expect("first");
    let blocks = vec![block(&t, 1, 4)];
    catalog
        .commit(&w, 1, (1, 1), (blocks, 0))
        .await
        .expect("gapless");
    let (a, b) = tokio::join!(
        catalog.replace(&t, vec![id(1)], vec![block(&t, 2, 4)], 0),
        catalog.replace(&t, vec![id(1)], vec![block(&t, 3, 4)], 0),
    );
    assert_eq!(a.is_ok() as u8 + b.is_ok() as u8, 1);
    let lost = a.and(b).expect_err("one lost");
    assert_eq!(lost.code(), Code::Conflict);
    assert_eq!(catalog.snapshot(&t).blocks.len(), 1);
}
