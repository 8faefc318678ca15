//! The order of stopping. Each step waits for the one before, all within one deadline.

use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use crate::clock::stopwatch;

/// How often what is pending is named in the log.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Readiness is off already when this is called: `stop` is cancelled.
pub(super) async fn run(shared: &Shared) -> anyhow::Result<()> {
    let deadline = stopwatch() + shared.shutdown_deadline;
    tracing::info!(deadline = ?shared.shutdown_deadline, "stopping");
    tokio::time::sleep(shared.drain_delay.min(shared.shutdown_deadline)).await;

    shared.draining.cancel();
    shared.connections.close();
    let mut in_time = wait(shared, deadline, shared.connections.wait()).await;

    // Also after the deadline, so that services get the chance to flush what is acknowledged.
    shared.stopping.cancel();
    shared.services.close();
    shared.tasks.close();
    let rest = async {
        shared.services.wait().await;
        shared.tasks.wait().await;
    };
    let grace = deadline.max(stopwatch() + LAST_GRACE);
    in_time &= wait(shared, if in_time { deadline } else { grace }, rest).await;

    shared.host.clear();

    match shared.take_failure() {
        Some(error) => Err(error),
        None if in_time => Ok(()),
        None => Err(anyhow::anyhow!(
            "still pending {:?} after the stop signal: {}",
            shared.shutdown_deadline,
            names(shared)
        )),
    }
}

/// What services get to close themselves when requests used up the whole deadline.
const LAST_GRACE: Duration = Duration::from_secs(2);

/// Whether it ended before the deadline. Says every few seconds what it waits for.
async fn wait(shared: &Shared, deadline: Instant, done: impl Future<Output = ()>) -> bool {
    tokio::pin!(done);
    let mut report = tokio::time::interval_at(stopwatch() + REPORT_EVERY, REPORT_EVERY);
    loop {
        tokio::select! {
            () = &mut done => return true,
            () = tokio::time::sleep_until(deadline) => {
                tracing::error!(pending = names(shared), "not done at the deadline");
                return false;
            }
            _ = report.tick() => tracing::warn!(pending = names(shared), "waiting to stop"),
        }
    }
}

fn names(shared: &Shared) -> String {
    let pending = shared.pending();
    if pending.is_empty() {
        "connections".to_owned()
    } else {
        pending.join(", ")
    }
}
