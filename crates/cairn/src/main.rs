//! The `cairn` program: `serve` runs everything in one process, the other commands are clients.

mod serve;

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use cairn::commands::block::Block;
use cairn::commands::catalog::Catalog;
use cairn::commands::debuginfo::Debuginfo;
use cairn::commands::push::Push;
use cairn::commands::query::Query;
use cairn::commands::tenants::Tenants;
use clap::{Parser, Subcommand};

/// Continuous profiling: takes profiles in, keeps them, shows where the time went.
#[derive(Debug, Parser)]
#[command(name = "cairn", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run Cairn: all services in one process over a local folder.
    Serve(serve::Serve),
    /// Print the settings that `serve` would use, secrets hidden.
    Config(serve::Serve),
    /// Ask the admin port of a running Cairn whether it is ready. Exit code 0 means yes.
    Healthcheck(serve::Serve),
    #[command(flatten)]
    Client(Client),
}

#[derive(Debug, Subcommand)]
enum Client {
    /// Send pprof files.
    Push(Push),
    /// Show where the time went.
    Query(Query),
    /// Look into block files.
    #[command(subcommand)]
    Block(Block),
    /// Hand in the debug information of binaries.
    #[command(subcommand)]
    Debuginfo(Debuginfo),
    Catalog(Catalog),
    #[command(subcommand)]
    Tenants(Tenants),
}

fn main() -> ExitCode {
    // The symbolizer reads untrusted files in processes of this very program.
    if let Some(done) = cairn_symbolizer::worker_main() {
        return done;
    }
    match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Config(serve) => serve.print_config(),
        Command::Healthcheck(serve) => serve.healthcheck(),
        Command::Client(client) => report(client.run_to_end()),
    }
}

impl Client {
    fn run_to_end(self) -> anyhow::Result<()> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the runtime")?
            .block_on(self.run())
    }

    async fn run(self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match self {
            Self::Push(push) => push.run(&mut out).await?,
            Self::Query(query) => {
                let now = cairn_chassis::Clock::real().now();
                query.run(now, &mut out).await?;
            }
            Self::Block(block) => block.run(&mut out).await?,
            Self::Debuginfo(debuginfo) => debuginfo.run(&mut out).await?,
            Self::Tenants(tenants) => tenants.run(&mut out).await?,
            Self::Catalog(catalog) => {
                let now = cairn_chassis::Clock::real().now() / 1_000_000;
                let nonce = cairn_chassis::Random::fresh().u128();
                catalog.run((now.unsigned_abs(), nonce), &mut out).await?;
            }
        }
        out.flush().context("write to standard output")
    }
}

fn report(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // `cairn query ... | head` is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is gone, nobody is there to be told.
            let _ = writeln!(std::io::stderr(), "cairn: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == ErrorKind::BrokenPipe)
}
