#![doc = include_str!("../docs/architecture.md")]

mod config;

pub use config::{AdmissionConfig, Config, LogConfig, TailConfig};

/// Runs the ingester until the process stops.
pub async fn run(_config: Config, cx: cairn_chassis::Context) -> anyhow::Result<()> {
    cx.serve(cairn_chassis::Routes::new()).await
}
