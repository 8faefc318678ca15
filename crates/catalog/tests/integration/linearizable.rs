//! What clients of all nodes see while the leader dies is what one catalog could have told them,
//! one after the other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn_catalog::{Client, Error, Refused, Registration};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use tokio::task::JoinSet;

use crate::cluster::{Cluster, until};
use crate::values::{block, tenant, writer};

/// A log that is in blocks up to here. Several clients move it, as if each were its writer.
#[derive(Clone, Debug, Default)]
struct Position(u64);

#[derive(Clone, Debug)]
enum Op {
    Advance { to: u64 },
    Read,
}

#[derive(Clone, Debug, PartialEq)]
enum Ret {
    Done,
    At(u64),
}

impl SequentialSpec for Position {
    type Op = Op;
    type Ret = Ret;

    fn invoke(&mut self, op: &Op) -> Ret {
        match op {
            Op::Read => Ret::At(self.0),
            Op::Advance { to } if self.0 + 1 == *to || self.0 == *to => {
                self.0 = *to;
                Ret::Done
            }
            Op::Advance { .. } => Ret::At(self.0),
        }
    }
}

type History = Arc<Mutex<LinearizabilityTester<u64, Position>>>;

/// Does something; `None` if what came of it is unknown.
async fn act(client: &Client, op: &Op, seed: u64) -> Option<Ret> {
    match op {
        Op::Read => {
            let snapshot = client
                .snapshot(&tenant())
                .await
                .expect("answered in the end");
            Some(Ret::At(snapshot.writers[0].flushed_lsn))
        }
        Op::Advance { to } => {
            let blocks = vec![block(seed)];
            match client.commit(&writer("w"), 1, (*to, *to), blocks).await {
                Ok(()) => Some(Ret::Done),
                Err(Error::Refused(Refused::Gap { flushed_lsn, .. })) => Some(Ret::At(flushed_lsn)),
                Err(Error::Unknown { .. }) => None,
                Err(other) => panic!("{other}"),
            }
        }
    }
}

async fn wander(client: Client, history: History, (mut thread, ops): (u64, u64)) -> u64 {
    let (mut known, mut unknown) = (0, 0);
    let mut random = thread * 77 + 1;
    for step in 0..ops {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(step);
        let op = match (random >> 33) % 3 {
            0 => Op::Read,
            _ => Op::Advance { to: known + 1 },
        };
        let record = |history: &History| {
            let mut history = history.lock().expect("no panic");
            history
                .on_invoke(thread, op.clone())
                .expect("one at a time");
        };
        record(&history);
        match act(&client, &op, random).await {
            Some(ret) => {
                known = match (&ret, &op) {
                    (Ret::At(at), _) => *at,
                    (Ret::Done, Op::Advance { to }) => *to,
                    (Ret::Done, Op::Read) => known,
                };
                let mut history = history.lock().expect("no panic");
                history.on_return(thread, ret).expect("it was invoked");
            }
            // It may still happen, so whoever goes on is somebody else.
            None => {
                thread += 100;
                unknown += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unknown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_are_linearizable_while_the_leader_dies() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let registration = Registration::continued(writer("w"), "http://w");
    cluster
        .client(others[0])
        .register(registration)
        .await
        .expect("registered");
    let history: History = Arc::new(Mutex::new(LinearizabilityTester::new(Position::default())));
    let mut tasks = JoinSet::new();
    for thread in 0..3 {
        let client = cluster.client(others[thread as usize % 2]);
        tasks.spawn(wander(client, Arc::clone(&history), (thread, 30)));
    }
    let done = || history.lock().expect("no panic").len();
    until("it is under way", || done() > 20).await;
    cluster.kill(leader);
    let mut unknown = 0;
    while let Some(ended) = tasks.join_next().await {
        unknown += ended.expect("no panic");
    }
    let history = history.lock().expect("no panic").clone();
    println!("{} operations, {unknown} of them unknown", history.len());
    assert!(history.is_consistent(), "{history:?}");
    cluster.stop().await;
}

/// A test that can't fail shows nothing.
#[test]
fn a_read_of_what_was_before_an_answer_is_not_linearizable() {
    let mut history = LinearizabilityTester::new(Position::default());
    history
        .on_invret(1, Op::Advance { to: 1 }, Ret::Done)
        .expect("valid");
    assert!(history.is_consistent());
    history.on_invret(2, Op::Read, Ret::At(0)).expect("valid");
    assert!(!history.is_consistent());
}
