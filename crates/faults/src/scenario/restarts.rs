//! Ends in order: what an upgrade does.

use std::time::Duration;

use super::{Scenario, Stage};
use crate::cluster::{COMPACTOR, INGESTERS, QUERIERS};

pub(super) const ALL: [Scenario; 1] = [Scenario {
    name: "rolling restart",
    about: "every process is asked to stop and started again, one after the other",
    is_quick: true,
    dark: Duration::ZERO,
    run: |stage| Box::pin(rolling(stage)),
}];

const READY: Duration = Duration::from_secs(30);

async fn rolling(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    for name in INGESTERS.into_iter().chain(QUERIERS).chain([COMPACTOR]) {
        // Off this thread: the load must go on while the process stops.
        tokio::task::block_in_place(|| {
            stage.cluster.terminate(name)?;
            stage.cluster.spawn(name)?;
            stage.cluster.ready(READY)
        })?;
        stage.cluster.supervised(Duration::from_secs(3)).await?;
    }
    Ok(())
}
