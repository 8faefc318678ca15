#![doc = include_str!("../docs/architecture.md")]

mod compactor;
mod config;
mod metrics;
pub mod plan;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use cairn_catalog::Client;
use cairn_chassis::{Context, Routes};
use cairn_store::Store;
use tonic::transport::Endpoint;

pub use config::{Config, InvalidConfig, PlanConfig, Window};

/// Compacts until the process stops.
pub async fn run(config: Config, cx: Context) -> anyhow::Result<()> {
    config.plan.check()?;
    let store = Store::open(&config.store, cx.random().u128()).await;
    let store = store.context("open the object store")?;
    let catalog = match &*config.catalog {
        "" => own_address(cx.address()),
        address => address.to_owned(),
    };
    let endpoint = Endpoint::from_shared(catalog.clone())
        .with_context(|| format!("catalog: {catalog:?} is not an address"))?
        .connect_timeout(config.connect_timeout)
        .timeout(config.request_timeout);
    let compactor = compactor::Compactor {
        catalog: Client::new(endpoint.connect_lazy()),
        store,
        metrics: cx.metrics(metrics::Metrics::register),
        quarantine: HashMap::new(),
        full: HashMap::new(),
        cx: cx.clone(),
        config,
    };
    cx.own("compact", compactor.run());
    cx.serve(Routes::new()).await
}

/// The address under which a process reaches itself.
fn own_address(listening: SocketAddr) -> String {
    let host = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("http://{host}:{}", listening.port())
}
