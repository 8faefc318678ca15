//! Processes that die or stand still without warning.

use std::time::Duration;

use super::{Scenario, Stage};
use crate::cluster::{COMPACTOR, INGESTERS, QUERIERS};

pub(super) const ALL: [Scenario; 7] = [
    Scenario {
        name: "kill an ingester",
        about: "kill -9 of one ingester after the other, each back after a second, twice",
        is_quick: true,
        dark: Duration::ZERO,
        run: |stage| Box::pin(kill_ingesters(stage)),
    },
    Scenario {
        name: "lose an ingester",
        about: "kill -9 of an ingester that stays away for 20 s",
        is_quick: false,
        dark: Duration::ZERO,
        run: |stage| Box::pin(lose_ingester(stage)),
    },
    Scenario {
        name: "kill two ingesters",
        about: "kill -9 of two of three ingesters at once, back after 3 s",
        is_quick: false,
        dark: Duration::from_secs(3),
        run: |stage| Box::pin(kill_two(stage)),
    },
    Scenario {
        name: "kill readers",
        about: "kill -9 of queriers and the compactor in turn, six times",
        is_quick: false,
        dark: Duration::ZERO,
        run: |stage| Box::pin(kill_readers(stage)),
    },
    Scenario {
        name: "kill everything",
        about: "kill -9 of all processes but the store, all back at once",
        is_quick: false,
        dark: Duration::ZERO,
        run: |stage| Box::pin(kill_everything(stage)),
    },
    Scenario {
        name: "crash points",
        about: "kill -9 at every named place on the way of a profile, of a block and of the catalog",
        is_quick: false,
        dark: Duration::ZERO,
        run: |stage| Box::pin(crash_points(stage)),
    },
    Scenario {
        name: "pause past the lease",
        about: "SIGSTOP of an ingester for 12 s, then SIGCONT",
        is_quick: true,
        dark: Duration::ZERO,
        run: |stage| Box::pin(pause(stage)),
    },
];

/// What a supervisor takes to start a process again.
const RESTART: Duration = Duration::from_secs(1);
/// After a fault, for everything to be well again.
pub(super) const HEAL: Duration = Duration::from_secs(10);

async fn kill_ingesters(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    for name in INGESTERS.into_iter().chain(INGESTERS) {
        let pause = Duration::from_millis(500 + stage.rng.below(2_000));
        stage.cluster.supervised(pause).await?;
        stage.cluster.kill(name);
        tokio::time::sleep(RESTART).await;
        stage.cluster.supervised(HEAL).await?;
    }
    Ok(())
}

async fn lose_ingester(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let victim = INGESTERS[stage.rng.below(INGESTERS.len() as u64) as usize];
    stage.cluster.kill(victim);
    tokio::time::sleep(Duration::from_secs(20)).await;
    stage.cluster.supervised(HEAL).await
}

async fn kill_two(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let first = stage.rng.below(INGESTERS.len() as u64) as usize;
    for name in [INGESTERS[first], INGESTERS[(first + 1) % INGESTERS.len()]] {
        stage.cluster.kill(name);
    }
    tokio::time::sleep(RESTART * 3).await;
    stage.cluster.supervised(HEAL).await
}

async fn kill_readers(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let victims = [QUERIERS[0], COMPACTOR, QUERIERS[1]];
    for name in victims.into_iter().chain(victims) {
        stage.cluster.kill(name);
        tokio::time::sleep(RESTART).await;
        let pause = Duration::from_millis(1_000 + stage.rng.below(2_000));
        stage.cluster.supervised(pause).await?;
    }
    Ok(())
}

async fn kill_everything(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    for name in INGESTERS.into_iter().chain(QUERIERS).chain([COMPACTOR]) {
        stage.cluster.kill(name);
    }
    stage.cluster.supervised(HEAL).await
}

async fn pause(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let victim = INGESTERS[stage.rng.below(INGESTERS.len() as u64) as usize];
    stage.cluster.signal(victim, "STOP")?;
    tokio::time::sleep(Duration::from_secs(12)).await;
    stage.cluster.signal(victim, "CONT")?;
    stage.cluster.supervised(HEAL).await
}

/// A process stands still at the place for a while, and is killed there.
async fn crash_points(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let of_ingesters = cairn_wal::points::ALL.into_iter();
    let of_ingesters = of_ingesters
        .chain(cairn_catalog::failpoints::ALL)
        .chain(cairn_ingester::points::ALL);
    let of_ingesters = of_ingesters.zip(INGESTERS.into_iter().cycle());
    let of_compactors = cairn_compactor::points::ALL.map(|point| (point, COMPACTOR));
    for (point, name) in of_ingesters.chain(of_compactors) {
        // Not the first time, so that the process has work when it dies.
        let after = match is_of_recovery(point) {
            true => 0,
            false => stage.rng.below(12),
        };
        let action = format!("{point}={after}*off->sleep({STANDING_MS})");
        stage.cluster.kill(name);
        stage
            .cluster
            .start_with(name, &[("FAILPOINTS", &action)], &[]);
        stage.cluster.spawn(name)?;
        // From its next start on it goes past.
        stage.cluster.start_with(name, &[], &[]);
        if is_of_recovery(point) {
            // There must be a log to recover.
            let mut others = INGESTERS.into_iter().filter(|other| *other != name);
            let victim = others.next().expect("there are several");
            stage.cluster.supervised(RESTART * 3).await?;
            stage.cluster.kill(victim);
        }
        stage.cluster.supervised(RESTART * 6).await?;
        stage.cluster.kill(name);
        stage.cluster.supervised(RESTART * 4).await?;
    }
    stage.cluster.supervised(HEAL).await
}

/// Longer than a process is left alone with it.
const STANDING_MS: u64 = 120_000;

fn is_of_recovery(point: &str) -> bool {
    [
        cairn_wal::points::BEFORE_FENCE,
        cairn_wal::points::AFTER_FENCE,
        cairn_ingester::points::BEFORE_RECOVER,
    ]
    .contains(&point)
}
