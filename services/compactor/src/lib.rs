#![doc = include_str!("../docs/architecture.md")]

mod compactor;
mod config;
mod metrics;
pub mod plan;
pub mod points;

use std::collections::HashMap;

use anyhow::Context as _;
use cairn_catalog::{Client, RemoteParts};
use cairn_chassis::{Context, Routes};
use cairn_store::Store;

pub use config::{Config, InvalidConfig, PlanConfig, Window};

/// Compacts until the process stops.
pub async fn run(config: Config, cx: Context) -> anyhow::Result<()> {
    config.plan.check()?;
    let store = Store::open(&config.store, cx.random().u128()).await;
    let store = store.context("open the object store")?;
    let compactor = compactor::Compactor {
        catalog: Client::remote(RemoteParts {
            addresses: config.catalog.or(cx.own_address()),
            connect: cx.connector(),
            seed: cx.random().u64(),
        })
        .with_patience(config.request_timeout),
        store,
        metrics: cx.metrics(metrics::Metrics::register),
        quarantine: HashMap::new(),
        full: HashMap::new(),
        swept: None,
        cx: cx.clone(),
        config,
    };
    cx.own("compact", compactor.run());
    cx.serve(Routes::new()).await
}
