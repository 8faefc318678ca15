//! Nodes that die, restart, fall behind, are cut off, come and go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cairn_catalog::{Change, Client, Error, Log, Registration, Runtime, Work};
use tokio::task::JoinSet;

use crate::cluster::{Cluster, PATIENCE, until};
use crate::values::{block, tenant, writer};

/// Writers that commit one block after the other, whatever happens, and readers that must see all
/// that was answered before they asked.
struct Load {
    tasks: JoinSet<u64>,
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
}

impl Load {
    async fn start(cluster: &Cluster, clients: &[u64]) -> Self {
        let (stop, committed) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let mut tasks = JoinSet::new();
        for (number, id) in clients.iter().enumerate() {
            let client = cluster.client(*id);
            let name = writer(&format!("w{number}"));
            let registration = Registration::continued(name.clone(), "http://w");
            let registered = client.register(registration).await.expect("registered");
            let (stop, committed) = (Arc::clone(&stop), Arc::clone(&committed));
            tasks.spawn(async move {
                let mut lsn = 0;
                while !stop.load(Ordering::Relaxed) {
                    lsn += 1;
                    let blocks = vec![block(number as u64 * 1_000_000 + lsn)];
                    let incarnation = registered.incarnation;
                    let done = client.commit(&name, incarnation, (lsn, lsn), blocks);
                    done.await.expect("it is done in the end");
                    committed.fetch_add(1, Ordering::SeqCst);
                }
                lsn
            });
        }
        Self {
            tasks,
            stop,
            committed,
        }
    }

    async fn goes_on(&self, by: u64) {
        let start = self.committed.load(Ordering::SeqCst);
        until("commits go on", || {
            self.committed.load(Ordering::SeqCst) >= start + by
        })
        .await;
    }

    /// Ends it; gives how much was committed.
    async fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = 0;
        while let Some(ended) = self.tasks.join_next().await {
            sum += ended.expect("no panic");
        }
        sum
    }
}

async fn seen(client: &Client) -> u64 {
    let snapshot = client.snapshot(&tenant()).await.expect("answered");
    let flushed: u64 = snapshot
        .writers
        .iter()
        .map(|writer| writer.flushed_lsn)
        .sum();
    assert_eq!(
        flushed,
        snapshot.blocks.len() as u64,
        "blocks and positions belong together"
    );
    flushed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn a_leader_that_dies_under_load_takes_nothing_with_it() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let load = Load::start(&cluster, &[others[0], others[1], others[0], others[1]]).await;
    load.goes_on(20).await;
    let start = Instant::now();
    cluster.kill(leader);
    let next = cluster.leader_but(leader).await;
    load.goes_on(1).await;
    println!(
        "commits went on {:?} after the leader had died",
        start.elapsed()
    );
    for reads in 0..20 {
        let before = load.committed.load(Ordering::SeqCst);
        let found = seen(&cluster.client(others[reads % 2])).await;
        assert!(found >= before, "{found} of {before} are seen");
    }
    // It comes back, and follows.
    cluster.restart(leader).await;
    load.goes_on(20).await;
    let committed = load.end().await;
    cluster.settled().await;
    for id in 1..=3 {
        assert_eq!(seen(&cluster.client(id)).await, committed);
    }
    assert_ne!(next, leader);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_away_gets_a_snapshot() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let away = leader % 3 + 1;
    cluster.kill(away);
    let load = Load::start(&cluster, &[leader; 4]).await;
    until("old entries are gone from the leader's log", || {
        cluster.status(leader).snapshot_index > 200
    })
    .await;
    let committed = load.end().await;
    cluster.restart(away).await;
    cluster.settled().await;
    assert!(
        cluster.status(away).snapshot_index > 100,
        "it did not replay the log"
    );
    assert_eq!(seen(&cluster.client(away)).await, committed);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_restart_and_have_everything() {
    for runtime in [Runtime::Own, Runtime::Current] {
        let mut cluster = Cluster::with(3, runtime).await;
        let leader = cluster.leader().await;
        let load = Load::start(&cluster, &[leader, leader % 3 + 1]).await;
        load.goes_on(80).await;
        let committed = load.end().await;
        for id in 1..=3 {
            cluster.kill(id);
        }
        for id in 1..=3 {
            cluster.restart(id).await;
        }
        for id in 1..=3 {
            assert_eq!(seen(&cluster.client(id)).await, committed);
        }
        cluster.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_cut_off_tells_nothing_old() {
    let cluster = Cluster::start(3).await;
    let old = cluster.leader().await;
    let other = old % 3 + 1;
    let registration = || Registration::continued(writer("w"), "http://w");
    cluster
        .client(old)
        .register(registration())
        .await
        .expect("registered");
    cluster.settled().await;
    cluster.isolate(old, true);
    // It may think that it leads for as long as it likes.
    let impatient = cluster.client(old).with_patience(Duration::from_secs(2));
    let lost = impatient
        .commit(&writer("w"), 1, (1, 1), vec![block(1)])
        .await;
    let lost = lost.expect_err("no majority has it");
    assert!(
        matches!(lost, Error::Unknown { .. } | Error::Unavailable(_)),
        "{lost}"
    );
    cluster.leader_but(old).await;
    let second = cluster
        .client(other)
        .register(registration())
        .await
        .expect("registered");
    assert_eq!(second.incarnation, 2);
    let old_view = impatient.snapshot(&tenant()).await;
    let refused = old_view.expect_err("it can't know what is new");
    assert!(matches!(refused, Error::Unavailable(_)), "{refused}");

    cluster.isolate(old, false);
    cluster.settled().await;
    let view = cluster
        .client(old)
        .snapshot(&tenant())
        .await
        .expect("answered");
    assert_eq!(view.writers[0].incarnation, 2);
    assert!(view.blocks.is_empty(), "what no majority had is nowhere");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_voter_is_replaced_by_another() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let dead = leader % 3 + 1;
    let load = Load::start(&cluster, &[leader, leader]).await;
    load.goes_on(60).await;
    cluster.kill(dead);
    cluster.restart(4).await;
    // The others reach it by its address once they know it.
    let node = &cluster.nodes[&leader];
    let address = cluster.address(4).to_owned();
    let voters: BTreeSet<u64> = (1..=4).filter(|id| *id != dead).collect();
    let early = node.change(Change::SetVoters(voters.clone())).await;
    assert!(early.is_err(), "nobody knows node 4");
    let learner = Change::AddLearner { node: 4, address };
    node.change(learner.clone()).await.expect("added");
    node.change(learner).await.expect("added again");
    let elsewhere = Change::AddLearner {
        node: 4,
        address: "http://127.0.0.1:1".to_owned(),
    };
    assert!(node.change(elsewhere).await.is_err(), "its number is taken");
    assert!(node.change(Change::Remove(dead)).await.is_err(), "it votes");
    until("the new node has the log", || {
        let members = cluster.status(leader).members;
        let new = members.iter().find(|member| member.node == 4);
        new.is_some_and(|new| new.matched_index > Some(60))
    })
    .await;
    node.change(Change::SetVoters(voters.clone()))
        .await
        .expect("changed");
    node.change(Change::Remove(dead)).await.expect("removed");
    let follower = voters
        .iter()
        .find(|id| **id != leader && **id != 4)
        .expect("one");
    let told = cluster.nodes[follower].change(Change::Remove(4)).await;
    let told = told.expect_err("it does not lead").to_string();
    assert!(
        told.contains("votes") || told.contains(&format!("node {leader} leads")),
        "{told}"
    );
    load.goes_on(20).await;
    let committed = load.end().await;

    // The new node counts: without it there would be no majority.
    cluster.kill(leader);
    cluster.leader_but(leader).await;
    assert_eq!(seen(&cluster.client(4)).await, committed);
    let members: Vec<u64> = cluster.status(4).members.iter().map(|m| m.node).collect();
    assert!(!members.contains(&dead), "{members:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_silent_is_sealed_and_one_that_renews_is_not() {
    let cluster = Cluster::start(3).await;
    let follower = cluster.leader().await % 3 + 1;
    let client = cluster.client(follower);
    let ttl = Duration::from_secs(3);
    let registration = |name| Registration {
        log: Log::OnePerIncarnation,
        ttl,
        ..Registration::continued(writer(name), "http://w")
    };
    for name in ["silent", "well"] {
        client
            .register(registration(name))
            .await
            .expect("registered");
    }
    let mut jobs = Vec::new();
    let sealed = async {
        while jobs.is_empty() {
            client
                .renew(&writer("well"), 1, ttl)
                .await
                .expect("it is open");
            jobs = client.jobs().await.expect("answered");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, sealed)
        .await
        .expect("the silent one is sealed");
    let work = Work::Recover {
        writer: writer("silent"),
        incarnation: 1,
    };
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].work, work);
    let error = client
        .renew(&writer("silent"), 1, ttl)
        .await
        .expect_err("too late");
    assert!(error.is_fenced(), "{error}");
    let ticket = client.claim(jobs[0].id, "me", ttl).await.expect("free");
    client.extend(ticket, ttl).await.expect("held");
    client
        .recover(ticket, (1, 2), vec![block(1)], false)
        .await
        .expect("a part");
    client
        .recover(ticket, (1, 2), vec![block(1)], false)
        .await
        .expect("a repetition");
    client
        .recover(ticket, (3, 2), vec![], true)
        .await
        .expect("the end");
    let snapshot = client.snapshot(&tenant()).await.expect("answered");
    assert_eq!((snapshot.blocks.len(), snapshot.sealed.len()), (1, 0));
    cluster.stop().await;
}
