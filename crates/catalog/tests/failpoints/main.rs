//! A node that crashes at each of the places that have names. A program of its own: the places are
//! the same for all nodes of a process.

#[path = "../integration/values.rs"]
mod values;

use std::sync::Arc;
use std::time::Duration;

use cairn_catalog::{Client, Node, NodeConfig, NodeParts, Registration, failpoints};
use fail::FailScenario;

use values::{block, now, tenant, writer};

async fn started(folder: &std::path::Path) -> Node {
    let config = NodeConfig {
        folder: folder.to_owned(),
        snapshot_entries: 20,
        kept_entries: 0,
        ..NodeConfig::default()
    };
    let parts = NodeParts::alone(Arc::new(now));
    Node::start(config, parts).await.expect("well")
}

async fn commit(client: &Client, lsn: u64) -> bool {
    let blocks = vec![block(lsn)];
    client
        .commit(&writer("w"), 1, (lsn, lsn), blocks)
        .await
        .is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_there_wherever_the_node_crashed() {
    let scenario = FailScenario::setup();
    for point in failpoints::ALL {
        let dir = tempfile::tempdir().expect("a folder");
        let node = started(dir.path()).await;
        let client = node.client().with_patience(Duration::from_secs(2));
        let registration = Registration::continued(writer("w"), "http://w");
        client.register(registration).await.expect("first");
        for lsn in 1..=15 {
            assert!(commit(&client, lsn).await);
        }
        fail::cfg(point, "panic").expect("it is a point");
        let mut answered = 15;
        while answered < 100 && commit(&client, answered + 1).await {
            answered += 1;
        }
        assert!(answered < 100, "{point} was never reached");
        fail::remove(point);
        drop(node);

        let node = started(dir.path()).await;
        let client = node.client();
        let snapshot = client.snapshot(&tenant()).await.expect("answered");
        let flushed = snapshot.writers[0].flushed_lsn;
        assert!(
            (answered..=answered + 1).contains(&flushed),
            "{point}: {flushed} of {answered}"
        );
        assert_eq!(snapshot.blocks.len() as u64, flushed, "{point}");
        assert!(commit(&client, flushed + 1).await, "{point}");
        println!("{point}: {answered} answered, {flushed} there");
        node.shutdown().await.expect("stopped");
    }
    scenario.teardown();
}
