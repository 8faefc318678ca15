//! How often and how long a call is tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_model::Code;
use futures::future::BoxFuture;

use super::Attempt;
use crate::{Command, Error, Refused, Reply};

/// Pauses between tries, at first and at most; each is shortened by chance, to at least half.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// People wait for questions.
const ASK_PAUSE_MAX: Duration = Duration::from_millis(200);

#[derive(Clone, Debug)]
pub(super) struct Retry {
    pub(super) patience: Duration,
    random: Arc<AtomicU64>,
}

impl Retry {
    pub(super) fn new(patience: Duration, seed: u64) -> Self {
        let random = Arc::new(AtomicU64::new(seed));
        Self { patience, random }
    }

    /// Tries a command until something is known of it.
    pub(super) fn apply<'a>(
        &'a self,
        command: &'a Command,
        attempt: impl Fn() -> BoxFuture<'a, Attempt> + Send + Sync + 'a,
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        Box::pin(async move {
            // What is known when patience ends.
            let mut is_repeated = false;
            let mut last = String::from("it did not answer in time");
            let tries = async {
                let mut pause = PAUSES.0;
                loop {
                    // Until it answers, nothing is known of it.
                    let before = std::mem::replace(&mut is_repeated, true);
                    match attempt().await {
                        Attempt::Done(reply) => return Ok(reply),
                        Attempt::Refused(refused) => {
                            return settle(command, refused, before.then_some(&last));
                        }
                        Attempt::NotDone(reason) => (is_repeated, last) = (before, reason),
                        Attempt::Unknown(reason) => last = reason,
                    }
                    self.pause(&mut pause).await;
                }
            };
            match tokio::time::timeout(self.patience, tries).await {
                Ok(known) => known,
                Err(_) if is_repeated => Err(Error::Unknown {
                    reason: last,
                    refused: None,
                }),
                Err(_) => Err(Error::Unavailable(last)),
            }
        })
    }

    /// Asks a question until it is answered.
    pub(super) fn ask<'a, T: Send + 'a>(
        &'a self,
        ask: impl Fn() -> BoxFuture<'a, Result<T, Error>> + Send + Sync + 'a,
    ) -> BoxFuture<'a, Result<T, Error>> {
        Box::pin(async move {
            let mut last = String::from("it did not answer in time");
            let tries = async {
                let mut pause = PAUSES.0;
                loop {
                    match ask().await {
                        Err(error) if matches!(error.code(), Code::Unavailable | Code::Timeout) => {
                            last = error.to_string();
                        }
                        known => return known,
                    }
                    self.pause(&mut pause).await;
                    pause = pause.min(ASK_PAUSE_MAX);
                }
            };
            match tokio::time::timeout(self.patience, tries).await {
                Ok(known) => known,
                Err(_) => Err(Error::Unavailable(last)),
            }
        })
    }

    async fn pause(&self, pause: &mut Duration) {
        let drawn = self
            .random
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let drawn = (drawn ^ (drawn >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32;
        let share = 0.5 + drawn as f64 / f64::from(u32::MAX) / 2.0;
        tokio::time::sleep(pause.mul_f64(share)).await;
        *pause = (*pause * 2).min(PAUSES.1);
    }
}

/// What a refusal says of all tries; `lost`: why an earlier one had no answer.
fn settle(command: &Command, refused: Refused, lost: Option<&String>) -> Result<Reply, Error> {
    match (command.settled(&refused, lost.is_some()), lost) {
        (Some(reply), _) => Ok(reply),
        (None, None) => Err(refused.into()),
        (None, Some(lost)) => Err(Error::Unknown {
            reason: format!("{lost}; then: {refused}"),
            refused: Some(refused),
        }),
    }
}

#[cfg(test)]
mod tests;
