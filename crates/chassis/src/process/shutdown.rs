//! The order of stopping. Each step waits for the one before, all within one deadline.

use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use crate::clock::stopwatch;

/// How often what is pending is named in the log.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Share of the deadline that is kept for services to close, whatever clients do.
const CLOSING_SHARE: u32 = 5;
/// What clients without requests get to take note: a ping over HTTP/2 there and back.
const GOODBYE: Duration = Duration::from_millis(500);
/// Between two looks at how many requests are in flight.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Readiness is off already when this is called: `stop` is cancelled.
pub(super) async fn run(shared: &Shared) -> anyhow::Result<()> {
    let start = stopwatch();
    let deadline = start + shared.shutdown_deadline;
    let answered_by = deadline - shared.shutdown_deadline / CLOSING_SHARE;
    tracing::info!(deadline = ?shared.shutdown_deadline, "stopping");
    tokio::time::sleep(shared.drain_delay.min(answered_by - start)).await;
    drain(shared, answered_by).await;

    shared.stopping.cancel();
    shared.services.close();
    shared.tasks.close();
    let rest = async {
        shared.services.wait().await;
        shared.tasks.wait().await;
    };
    let in_time = wait(shared, deadline, rest).await;

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

/// Answers what is in flight and takes nothing new. Whoever only keeps a connection open is left
/// soon, whoever does not read an answer or finish a request at `answered_by`. Both lose nothing
/// that was acknowledged, so it is no failure.
async fn drain(shared: &Shared, answered_by: Instant) {
    shared.draining.cancel();
    shared.connections.close();
    let closed = async {
        tokio::select! {
            () = shared.connections.wait() => {}
            () = answered(shared) => {}
        }
    };
    if !wait(shared, answered_by, closed).await {
        let requests = shared.host.in_flight();
        tracing::warn!(
            requests,
            "leaving clients behind that did not finish in time"
        );
    }
    shared.cut.cancel();
    let gone = tokio::time::timeout(GOODBYE, shared.connections.wait()).await;
    if gone.is_err() {
        tracing::warn!("connections are still closing");
    }
}

/// Returns when no request is in flight and clients had a moment to hang up.
async fn answered(shared: &Shared) {
    while shared.host.in_flight() > 0 {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    tokio::time::sleep(GOODBYE).await;
}

/// Whether it ended before the deadline. Says every few seconds what it waits for.
async fn wait(shared: &Shared, deadline: Instant, done: impl Future<Output = ()>) -> bool {
    tokio::pin!(done);
    let mut report = tokio::time::interval_at(stopwatch() + REPORT_EVERY, REPORT_EVERY);
    loop {
        tokio::select! {
            () = &mut done => return true,
            () = tokio::time::sleep_until(deadline) => return false,
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
