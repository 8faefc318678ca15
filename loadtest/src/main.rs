//! `cairn-loadtest`: a named, seeded workload against a running Cairn.
//!
//! Owns what is sent and how fast; knows nothing of what is behind the address. Measures with the
//! real clock, since what it measures is real.
#![expect(
    clippy::disallowed_methods,
    reason = "a load generator lives outside of any simulation"
)]

mod read;
mod report;
mod run;
mod verify;
mod workload;

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Context;
use clap::Parser;
use tonic::transport::{Channel, Endpoint};

use crate::workload::Workload;

/// Push a workload of generated profiles to a Cairn and measure how it takes them.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  cairn-loadtest --workload loadtest/workloads/small.yaml --verify
  cairn-loadtest --workload loadtest/workloads/ten-gigabytes.yaml --server http://cairn:7070"
)]
struct Arguments {
    /// The workload, a YAML file such as those in loadtest/workloads.
    #[arg(long, value_name = "FILE")]
    workload: PathBuf,
    /// Address of the Cairn under load.
    #[arg(long, default_value = "http://127.0.0.1:7070")]
    server: String,
    /// Ask afterwards for what was acknowledged, and fail if the totals differ.
    #[arg(long)]
    verify: bool,
    /// Value of the label `run` on every profile; the time if not given.
    #[arg(long)]
    run: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let text = std::fs::read_to_string(&arguments.workload)
        .with_context(|| format!("read {}", arguments.workload.display()))?;
    let workload = Workload::parse(&text)
        .with_context(|| format!("understand {}", arguments.workload.display()))?;
    let channel = connect(&arguments.server).await?;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .context("the clock is before 1970")?;
    let run = arguments.run.unwrap_or_else(|| now.as_millis().to_string());
    let now = i64::try_from(now.as_nanos()).context("the clock is after 2262")?;
    let plan = run::Plan::new(workload, run, now);
    let outcome = run::run(&plan, channel.clone()).await?;
    report::print(&plan, &outcome)?;
    if arguments.verify {
        verify::verify(&plan, &outcome, channel).await?;
    }
    Ok(())
}

async fn connect(server: &str) -> anyhow::Result<Channel> {
    let address = if server.contains("://") {
        server.to_owned()
    } else {
        format!("http://{server}")
    };
    let endpoint = Endpoint::from_shared(address.clone())
        .with_context(|| format!("{address:?} is no address; use http://HOST:PORT"))?;
    endpoint.connect().await.with_context(|| {
        format!("no Cairn answers at {address}; start one with `make run`, or name another with --server")
    })
}
