#![doc = include_str!("../docs/architecture.md")]

mod admission;
mod answers;
mod api;
pub mod bench;
mod blocks;
mod by_id;
mod config;
mod deadline;
mod error;
mod explain;
mod fanout;
mod group;
mod growth;
mod hedge;
mod late;
mod logs;
mod memory;
mod metrics;
mod near;
mod notes;
mod peers;
mod plan;
mod presence;
mod profile_id;
mod querier;
mod relay;
mod reports;
mod scan;
mod selectors;
mod shares;
mod singles;
mod slots;
mod sources;
mod sum;
mod symbolize;
#[cfg(test)]
mod testing;
mod tier;
mod web;
mod worker;

use std::sync::Arc;

use anyhow::Context as _;
use cairn_block::Reads;
use cairn_chassis::{Context, Routes};
use cairn_store::Store;

pub use config::{Cache, Config, Hedge, Limits, Share, Ui};

/// Serves until the process stops.
pub async fn run(config: Config, cx: Context) -> anyhow::Result<()> {
    let store = Store::open(&config.store, cx.random().u128()).await;
    let store = store.context("open the object store")?;
    let metrics = cx.metrics(metrics::Metrics::register);
    let message_bytes_max = config.limits.message_bytes_max;
    let reads = reads(&config, &store, (&cx, &metrics))?;
    let worker = worker::Worker::new(&config, (store.clone(), reads), &cx, metrics);
    let page = config.ui.enabled;
    let querier = querier::Querier::new(config, store, cx.clone(), worker.clone());
    let mut routes = Routes::new()
        .grpc(worker.serve(message_bytes_max))
        .grpc(api::parca::Api::serve(querier.clone()))
        .grpc(api::parca::Api::serve_shared(querier.clone()))
        .grpc(api::pyroscope::Api::serve(querier.clone()))
        .http(api::parca::routes(querier.clone()))
        .http(api::page::routes(querier.clone()))
        .http(api::export::routes(querier.clone()))
        .http(api::pyroscope::routes(querier.clone()))
        .http(api::render::routes(querier));
    if page {
        routes = routes.http(web::routes());
    }
    cx.serve(routes).await
}

/// The way to blocks: files of what was read before, then the store, asked again where it is slow.
fn reads(
    config: &Config,
    store: &Store,
    (cx, metrics): (&Context, &metrics::Metrics),
) -> anyhow::Result<Arc<dyn Reads>> {
    let store = Arc::new(store.clone());
    let hedged = hedge::Hedged::new(store, config.hedge.clone(), cx.clock(), metrics.clone());
    let Cache { path, bytes_max } = &config.cache;
    if path.as_os_str().is_empty() {
        return Ok(Arc::new(hedged));
    }
    let disk = tier::Disk::open(path, *bytes_max);
    let disk = disk.with_context(|| format!("open the cache in {}", path.display()))?;
    let (tier, keeper) = tier::Tier::new(disk, Arc::new(hedged), cx.clock(), metrics.clone());
    cx.own("cache of blocks", keeper.run(cx.stopping()));
    Ok(Arc::new(tier))
}
