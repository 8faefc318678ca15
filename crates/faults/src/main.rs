//! `cairn-faults`: runs the faults and prints the matrix.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context as _;
use cairn_faults::cluster::{COMPACTOR, Cluster, INGESTERS, QUERIERS, STORE};
use cairn_faults::hosts::Network;
use cairn_faults::load::{Load, Seen};
use cairn_faults::report::{Missed, Row, page, table};
use cairn_faults::scenario::{self, Scenario, Stage};
use cairn_testkit::generator::Rng;
use clap::{Parser, Subcommand};

/// Runs a cluster of real processes under real faults and judges what its clients saw.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Proxy>,
    /// Only faults whose names contain this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only the few faults that run with every change, judged by sums and not by times. Where the
    /// machine can't do that, say so and succeed.
    #[arg(long)]
    quick: bool,
    /// List the faults.
    #[arg(long)]
    list: bool,
    /// Which victims and moments are drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write a page with the matrix into this file as well.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Keep what the programs printed and stored in this folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Set by this program for itself: it is in a network of its own.
    #[arg(long, hide = true)]
    apart: bool,
}

#[derive(Debug, Subcommand)]
enum Proxy {
    /// Pass bytes on, losing answers as a file says.
    #[command(hide = true)]
    Proxy {
        listen: SocketAddr,
        upstream: SocketAddr,
        switch: PathBuf,
    },
}

fn main() -> ExitCode {
    let result = run(Cli::parse());
    result.unwrap_or_else(|error| {
        eprintln(&format!("cairn-faults: {error:#}"));
        ExitCode::FAILURE
    })
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    if let Some(Proxy::Proxy {
        listen,
        upstream,
        switch,
    }) = cli.command
    {
        runtime()?.block_on(cairn_faults::proxy::serve(listen, upstream, switch))?;
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = |scenario: &Scenario| {
        let named = cli.only.as_deref();
        named.is_none_or(|only| scenario.name.contains(only)) && (scenario.is_quick || !cli.quick)
    };
    let scenarios: Vec<Scenario> = scenario::all().into_iter().filter(wanted).collect();
    if cli.list {
        let names = scenarios
            .iter()
            .map(|s| format!("{}: {}\n", s.name, s.about));
        print(&names.collect::<String>())?;
        return Ok(ExitCode::SUCCESS);
    }
    if !cli.apart {
        if cli.quick && !has_networks() {
            eprintln("SKIP faults: this needs Linux, root and network namespaces");
            return Ok(ExitCode::SUCCESS);
        }
        cairn_faults::install();
        return Err(enter_own_network());
    }
    let rows = runtime()?.block_on(all(&cli, &scenarios))?;
    print(&format!("\n{}", table(&rows)))?;
    if let Some(path) = &cli.report {
        std::fs::write(path, page(&rows, cli.seed)).context("write the report")?;
    }
    let is_well = rows.iter().all(|row| row.faults().is_empty());
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().context("start the runtime")
}

/// Whether processes can be given a network of their own here.
fn has_networks() -> bool {
    let tried = Command::new("unshare")
        .args(["--net", "--mount", "ip", "link", "set", "lo", "up"])
        .output();
    tried.is_ok_and(|tried| tried.status.success())
}

/// Starts this program again in a network and among mounts of its own, which vanish with it.
fn enter_own_network() -> anyhow::Error {
    let script = "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && exec \"$@\"";
    let own = std::env::current_exe().unwrap_or_default();
    let error = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(own)
        .arg("--apart")
        .args(std::env::args_os().skip(1))
        .exec();
    anyhow::Error::from(error).context("run unshare: faults need Linux, root and util-linux")
}

async fn all(cli: &Cli, scenarios: &[Scenario]) -> anyhow::Result<Vec<Row>> {
    let temporary = tempfile::tempdir().context("make a folder")?;
    let folder = cli.keep.as_deref().unwrap_or(temporary.path());
    let names: Vec<&str> = INGESTERS
        .into_iter()
        .chain(QUERIERS)
        .chain([COMPACTOR, STORE])
        .collect();
    let network = Network::create(&names).context("make a network of hosts: root is needed")?;
    let mut cluster = Cluster::start(folder, network)?;
    let mut rows = Vec::new();
    for (number, scenario) in scenarios.iter().enumerate() {
        eprintln(&format!("{}: {}", scenario.name, scenario.about));
        let stage = (number, Rng::new(cli.seed + number as u64));
        let result = one(&mut cluster, scenario, stage).await;
        let result = result.map_err(|error| Missed::Failed(format!("{error:#}")));
        let row = Row {
            fault: scenario.name,
            about: scenario.about,
            result,
            is_timed: !cli.quick,
            dark: scenario.dark,
        };
        let faults = row.faults();
        match faults.is_empty() {
            true => eprintln("  held"),
            false => eprintln(&format!("  BROKEN: {}", faults.join("; "))),
        }
        rows.push(row);
    }
    if cli.keep.is_some() {
        cluster.keep_output()?;
    }
    Ok(rows)
}

/// How long a load takes to get going, and the cluster to answer for all of it afterwards.
const PATIENCE: Duration = Duration::from_secs(60);

async fn one(
    cluster: &mut Cluster,
    scenario: &Scenario,
    (number, rng): (usize, Rng),
) -> anyhow::Result<Seen> {
    let name = format!("faults_{number}");
    let load = Load::start(
        &name,
        cluster.clients(&INGESTERS)?,
        cluster.clients(&QUERIERS)?,
    );
    load.flows(100, PATIENCE)
        .await
        .context("before the fault")?;
    let mut stage = Stage {
        cluster,
        load: &load,
        rng,
    };
    let ran = (scenario.run)(&mut stage).await;
    let flowed = load.flows(100, PATIENCE).await.context("after the fault");
    let (ledger, mut seen) = load.stop().await;
    ran.and(flowed)?;
    for querier in cluster.clients(&QUERIERS)? {
        let answer = querier.stored(&name).await.context("ask for everything")?;
        seen.wrong_answers.extend(answer.warnings);
        let wrong = ledger.check(&answer.found);
        seen.wrong_answers
            .extend(wrong.iter().map(ToString::to_string));
    }
    Ok(seen)
}

fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .context("write to standard output")
}

/// To whoever watches; if standard error is gone, nobody does.
fn eprintln(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}
