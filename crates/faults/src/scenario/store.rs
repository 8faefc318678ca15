//! An object store that is slow, refuses, or does not say what it did.

use std::time::Duration;

use super::Scenario;
use super::kills::HEAL;

pub(super) const ALL: [Scenario; 4] = [
    Scenario {
        name: "lost replies",
        about: "of 30 % of all puts to the store the reply is lost, for 20 s",
        is_quick: true,
        dark: Duration::ZERO,
        run: |stage| {
            Box::pin(async move {
                stage.cluster.store.lose_replies(30)?;
                stage.cluster.supervised(LENGTH).await?;
                stage.cluster.store.lose_replies(0)?;
                stage.cluster.supervised(HEAL).await
            })
        },
    },
    Scenario {
        name: "store refuses",
        about: "20 % of all requests to the store are answered 503, for 20 s",
        is_quick: false,
        dark: Duration::ZERO,
        run: |stage| {
            Box::pin(async move {
                stage.cluster.store.refuse(20)?;
                stage.cluster.supervised(LENGTH).await?;
                stage.cluster.store.refuse(0)?;
                stage.cluster.supervised(HEAL).await
            })
        },
    },
    Scenario {
        name: "store is slow",
        about: "every second request to the store takes half a second longer, for 20 s",
        is_quick: false,
        dark: Duration::ZERO,
        run: |stage| {
            Box::pin(async move {
                stage.cluster.store.delay(50)?;
                stage.cluster.supervised(LENGTH).await?;
                stage.cluster.store.delay(0)?;
                stage.cluster.supervised(HEAL).await
            })
        },
    },
    Scenario {
        name: "store is away",
        about: "all requests to the store are answered 503, for 10 s",
        is_quick: false,
        dark: AWAY,
        run: |stage| {
            Box::pin(async move {
                stage.cluster.store.refuse(100)?;
                stage.cluster.supervised(AWAY).await?;
                stage.cluster.store.refuse(0)?;
                stage.cluster.supervised(HEAL).await
            })
        },
    },
];

const LENGTH: Duration = Duration::from_secs(20);
const AWAY: Duration = Duration::from_secs(10);
