//! Packets that vanish.

use std::time::Duration;

use super::kills::HEAL;
use super::{Scenario, Stage};
use crate::cluster::{INGESTERS, QUERIERS, STORE};

pub(super) const ALL: [Scenario; 5] = [
    Scenario {
        name: "partition",
        about: "an ingester is cut off from all others, both ways, for 15 s",
        is_quick: false,
        dark: Duration::ZERO,
        run: |stage| Box::pin(partition(stage, Way::Both)),
    },
    Scenario {
        name: "partition out",
        about: "nothing that an ingester sends to others arrives, for 15 s",
        is_quick: false,
        dark: Duration::ZERO,
        run: |stage| Box::pin(partition(stage, Way::Out)),
    },
    Scenario {
        name: "partition in",
        about: "nothing that others send to an ingester arrives, for 15 s",
        is_quick: false,
        dark: Duration::ZERO,
        run: |stage| Box::pin(partition(stage, Way::In)),
    },
    Scenario {
        name: "no store for one",
        about: "one ingester after the other is cut off from the object store for 15 s",
        is_quick: false,
        dark: Duration::ZERO,
        run: |stage| Box::pin(no_store(stage)),
    },
    Scenario {
        name: "flapping",
        about: "links between ingesters are cut and mended every half second, for 15 s",
        is_quick: false,
        dark: Duration::ZERO,
        run: |stage| Box::pin(flapping(stage)),
    },
];

const LENGTH: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
    Both,
}

fn victim(stage: &mut Stage<'_>) -> &'static str {
    INGESTERS[stage.rng.below(INGESTERS.len() as u64) as usize]
}

/// From other services; clients still reach it.
async fn partition(stage: &mut Stage<'_>, way: Way) -> anyhow::Result<()> {
    let victim = victim(stage);
    let others = INGESTERS.into_iter().chain(QUERIERS).chain([STORE]);
    for other in others.filter(|other| *other != victim) {
        if way != Way::In {
            stage.cluster.network.cut(victim, other)?;
        }
        if way != Way::Out {
            stage.cluster.network.cut(other, victim)?;
        }
    }
    stage.cluster.supervised(LENGTH).await?;
    stage.cluster.network.heal()?;
    stage.cluster.supervised(HEAL).await
}

async fn no_store(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    // Not every ingester owns a service of the load.
    for victim in INGESTERS {
        stage.cluster.network.isolate(victim, &[STORE])?;
        stage.cluster.supervised(LENGTH).await?;
        stage.cluster.network.heal()?;
        stage.cluster.supervised(HEAL).await?;
    }
    Ok(())
}

async fn flapping(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    let turn = Duration::from_millis(500);
    for _ in 0..(LENGTH.as_millis() / turn.as_millis()) {
        let (one, other) = (victim(stage), victim(stage));
        stage.cluster.network.heal()?;
        if one != other {
            stage.cluster.network.cut(one, other)?;
        }
        stage.cluster.supervised(turn).await?;
    }
    stage.cluster.network.heal()?;
    stage.cluster.supervised(HEAL).await
}
