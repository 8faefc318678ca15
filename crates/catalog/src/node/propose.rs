//! The leader's pen: commands that come at the same time share an entry of the log.

use openraft::error::{ClientWriteError, RaftError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::UnixMillis;
use crate::Command;
use crate::client::Attempt;
use crate::raft::{Batch, Raft};

/// Commands that wait.
pub(super) const QUEUE_MAX: usize = 1_024;
/// Commands that share an entry.
const BATCH_COMMANDS_MAX: usize = 128;
/// Blocks that the commands of an entry name, unless a single one names more.
const BATCH_BLOCKS_MAX: usize = 2_000;
/// Entries under way at once.
const IN_FLIGHT_MAX: usize = 4;

/// A command, and who waits for its outcome.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) command: Command,
    pub(super) answer: oneshot::Sender<Attempt>,
}

/// Proposes what comes, until nobody is left who could ask.
pub(super) async fn run(raft: Raft, now: UnixMillis, mut queue: mpsc::Receiver<Proposal>) {
    let mut writes = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = writes.join_next(), if !writes.is_empty() => {}
            first = queue.recv(), if writes.len() < IN_FLIGHT_MAX => match first {
                Some(first) => {
                    let batch = group(first, &mut queue);
                    writes.spawn(write(raft.clone(), batch, now()));
                }
                None => break,
            }
        }
    }
    while writes.join_next().await.is_some() {}
}

fn group(first: Proposal, queue: &mut mpsc::Receiver<Proposal>) -> Vec<Proposal> {
    let mut blocks = first.command.weight();
    let mut batch = vec![first];
    while batch.len() < BATCH_COMMANDS_MAX
        && blocks < BATCH_BLOCKS_MAX
        && let Ok(next) = queue.try_recv()
    {
        blocks += next.command.weight();
        batch.push(next);
    }
    batch
}

async fn write(raft: Raft, batch: Vec<Proposal>, now_unix_ms: i64) {
    let mut commands = Vec::with_capacity(batch.len());
    let mut answers = Vec::with_capacity(batch.len());
    for Proposal { command, answer } in batch {
        commands.push(command.dated(now_unix_ms));
        answers.push(answer);
    }
    let reason = match raft.client_write(Batch(commands)).await {
        Ok(written) => {
            for (answer, outcome) in answers.into_iter().zip(written.data.0) {
                // Whoever asked may have gone.
                drop(answer.send(match outcome {
                    Ok(reply) => Attempt::Done(reply),
                    Err(refused) => Attempt::Refused(refused),
                }));
            }
            return;
        }
        // Also said of an entry that a new leader overwrote here, and that a third may still have.
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
            "the leader changed".to_owned()
        }
        Err(error) => error.to_string(),
    };
    for answer in answers {
        drop(answer.send(Attempt::Unknown(reason.clone())));
    }
}
