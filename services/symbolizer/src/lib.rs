#![doc = include_str!("../docs/architecture.md")]

mod absence;
mod believed;
mod builds;
mod cache;
mod config;
mod convert;
mod disk;
mod error;
mod fetched;
mod file_service;
mod files;
mod flights;
mod grpc;
mod metrics;
mod parca;
mod pyroscope;
mod record;
mod records;
mod sandbox;
mod scratch;
mod sources;
mod symbol_files;
mod symbolize;
mod texts;
mod turns;
mod uploads;
mod upstream;
mod worker;

use std::sync::Arc;

use anyhow::Context as _;
use cairn_chassis::Routes;
use cairn_store::Store;

pub use config::{Cache, Config, ConversionConfig, QuotaConfig, Sandbox, SignedUrls, UploadConfig};
pub use upstream::{UpstreamConfig, UpstreamServer};
pub use worker::{Conversion, Product, Task, worker_main, worker_main_of};

/// Runs the symbolizer until the process stops.
pub async fn run(config: Config, cx: cairn_chassis::Context) -> anyhow::Result<()> {
    let store = Store::open(&config.store, cx.random().u128()).await;
    let store = store.context("open the object store")?;
    let metrics = cx.metrics(metrics::Metrics::register);
    let converter = convert::Converter::new(&config.conversion, metrics.clone())
        .context("prepare conversion")?;
    let disk = match &config.cache {
        cache if cache.path.as_os_str().is_empty() => None,
        Cache { path, bytes_max } => Some(
            disk::Disk::open(path, bytes_max.as_u64())
                .with_context(|| format!("open the cache in {}", path.display()))?,
        ),
    };
    let files = Arc::new(files::Files::new(
        (store, disk),
        converter,
        &config,
        metrics.clone(),
        cx.clone(),
    ));
    let upstream = upstream::Upstream::new(&config.upstream, metrics.clone(), cx.clock())
        .context("prepare asking debuginfod servers")?;
    let upstream = Arc::new(upstream);
    let uploads = Arc::new(uploads::Uploads::new(
        (Arc::clone(&files), Arc::clone(&upstream)),
        config.upload.clone(),
        metrics.clone(),
        cx.clone(),
    ));
    let sweeper = Arc::clone(&uploads);
    cx.own("sweep", async move { sweeper.run_sweep().await });
    let builds = builds::Builds::new(files, upstream, cx.clone());
    let service = grpc::Symbols::new(builds, &config, metrics, cx.clone());
    let routes = Routes::new()
        .grpc(service.into_server())
        .grpc(file_service::server(Arc::clone(&uploads)))
        .grpc(parca::server(Arc::clone(&uploads)))
        .http(pyroscope::routes(uploads));
    cx.serve(routes).await
}
