//! The faults: what each does to a cluster under load.
//!
//! A scenario makes its fault, holds it, and undoes it. The load goes on all the while; what the
//! clients saw is judged afterwards, the same for every scenario.

mod disks;
mod kills;
mod network;
mod restarts;
mod store;

use std::time::Duration;

use cairn_testkit::generator::Rng;
use futures::future::BoxFuture;

use crate::cluster::Cluster;
use crate::load::Load;

/// What a scenario works with.
#[derive(Debug)]
pub struct Stage<'a> {
    pub cluster: &'a mut Cluster,
    pub load: &'a Load,
    pub rng: Rng,
}

type Run = for<'a> fn(&'a mut Stage<'_>) -> BoxFuture<'a, anyhow::Result<()>>;

/// One kind of fault.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    /// Whether it is among the few that run with every change.
    pub is_quick: bool,
    /// How long the fault itself leaves nobody who could answer: no majority of the catalog's nodes,
    /// or no store.
    pub dark: Duration,
    pub run: Run,
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Scenario").field(&self.name).finish()
    }
}

/// All of them, in the order of the matrix.
pub fn all() -> Vec<Scenario> {
    let mut all = vec![Scenario {
        name: "calm",
        about: "nothing, for comparison",
        is_quick: true,
        dark: Duration::ZERO,
        run: |stage| {
            Box::pin(async move {
                let patience = Duration::from_secs(30);
                stage.load.flows(400, patience).await
            })
        },
    }];
    all.extend(kills::ALL);
    all.extend(network::ALL);
    all.extend(store::ALL);
    all.extend(disks::ALL);
    all.extend(restarts::ALL);
    all
}
