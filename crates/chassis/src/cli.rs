//! From the command line to the exit code: what every service binary does around its service.

use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, ConfigError, Document};
use crate::launch::{self, Launch};
use crate::{Context, healthcheck};

/// The config is wrong: restarting will not help.
const EXIT_USAGE: u8 = 2;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The flags that every way of starting a process has. Everything else is in the file.
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    /// Read settings from this YAML file. `CAIRN__SECTION__KEY` in the environment overrides it.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Serve clients here, instead of at 127.0.0.1:7070.
    #[arg(long, value_name = "ADDRESS", global = true)]
    pub listen: Option<SocketAddr>,
    /// Serve operators here, instead of at 127.0.0.1:7071.
    #[arg(long, value_name = "ADDRESS", global = true)]
    pub admin_listen: Option<SocketAddr>,
    /// Serve on an address that other machines reach, although anybody there may then read and
    /// write every profile.
    #[arg(long, global = true)]
    pub insecure_listen_anywhere: bool,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Command {
    /// Print the settings as they would take effect, secrets hidden.
    Config,
    /// Print the version.
    Version,
    /// Ask the admin port of a running process whether it is ready. Exit code 0 means yes.
    Healthcheck,
}

impl Flags {
    /// The document that these flags name, with the flags on top.
    pub fn load(&self) -> Result<Document, ConfigError> {
        let mut document = Document::load(self.config.as_deref())?;
        if let Some(listen) = self.listen {
            document.set("server.listen", listen);
        }
        if let Some(admin_listen) = self.admin_listen {
            document.set("server.admin_listen", admin_listen);
        }
        if self.insecure_listen_anywhere {
            document.set("server.insecure_listen_anywhere", true);
        }
        Ok(document)
    }
}

/// A service binary. Reads settings from the section called `name`, runs the service until a
/// signal or a failure, and says how it went.
pub fn main<C, Run, Fut>(name: &'static str, run: Run) -> ExitCode
where
    C: config::Service,
    Run: FnOnce(C, Context) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let command = <Cli as clap::CommandFactory>::command()
        .name(name)
        .version(env!("CARGO_PKG_VERSION"));
    let cli = match <Cli as clap::FromArgMatches>::from_arg_matches(&command.get_matches()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let (launch, config) = match settings::<C>(name, &cli.flags) {
        Ok(settings) => settings,
        Err(error) => {
            say(&format!("{name}: {:#}\n", anyhow::Error::from(error)));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match cli.command {
        Some(Command::Config) => print(&launch.config_yaml),
        Some(Command::Version) => print(&format!("{name} {}\n", env!("CARGO_PKG_VERSION"))),
        Some(Command::Healthcheck) => healthcheck::run(launch.server.admin_listen),
        None => launch::run(launch.service(name, move |cx| run(config, cx))),
    }
}

fn settings<C>(name: &'static str, flags: &Flags) -> Result<(Launch, C), ConfigError>
where
    C: config::Service,
{
    let mut document = flags.load()?;
    // Behind a load balancer, which needs a moment to look elsewhere.
    let server = config::Server {
        drain_delay: std::time::Duration::from_secs(3),
        ..config::Server::default()
    };
    let common = launch::Common::read(&mut document, server, config::SelfProfile::default())?;
    let defaults = C::default().within(common.budget.percent(100));
    let config = document.section(name, defaults)?;
    document.finish()?;
    Ok((Launch::new(name, common, &document), config))
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// To standard error; if that is gone, nobody is there to be told.
pub(crate) fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
