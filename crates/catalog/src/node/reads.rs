//! What a read has to wait for, asked of a majority once for all reads that wait.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::raft::Raft;

/// Reads that wait.
pub(super) const QUEUE_MAX: usize = 4_096;
/// Time for a majority to say that it knows no newer leader.
const ROUND_TIME_MAX: Duration = Duration::from_secs(2);

/// The index of an entry, or why there is none to tell.
pub(super) type Answer = oneshot::Sender<Result<u64, String>>;

/// Goes round for whoever waits, until nobody is left who could ask. A read takes part in a round
/// that begins after it came.
pub(super) async fn run(raft: Raft, mut queue: mpsc::Receiver<Answer>) {
    while let Some(first) = queue.recv().await {
        let mut waiting = vec![first];
        while let Ok(next) = queue.try_recv() {
            waiting.push(next);
        }
        let round = tokio::time::timeout(ROUND_TIME_MAX, raft.get_read_log_id()).await;
        let answer = match round {
            Ok(Ok((index, _))) => Ok(index.map_or(0, |index| index.index)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no majority answered in time".to_owned()),
        };
        for reader in waiting {
            drop(reader.send(answer.clone()));
        }
    }
}
