//! `cairn serve`: the four services in one process, on one port, over one local folder. Wires
//! them, and does nothing that they do not do alone.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use cairn_chassis::config::{Budget, Document, SelfProfile, Server, Service as _};
use cairn_chassis::{Common, Flags, Launch};

/// The flags of `cairn serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    flags: Flags,
    /// Keep everything in this folder; it is made if it is missing.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

/// The settings of the services. Peers default to this very process.
struct Services {
    ingester: cairn_ingester::Config,
    querier: cairn_querier::Config,
    symbolizer: cairn_symbolizer::Config,
    compactor: cairn_compactor::Config,
}

/// How the services divide the memory, in percent.
const INGESTER: u64 = 45;
const QUERIER: u64 = 20;
const SYMBOLIZER: u64 = 5;
const COMPACTOR: u64 = 30;
const _: () = assert!(INGESTER + QUERIER + SYMBOLIZER + COMPACTOR == 100);

impl Serve {
    pub(crate) fn run(self) -> ExitCode {
        let data = self.data.clone();
        match self.prepare() {
            Ok((common, services, document)) => {
                let launch = Launch::new("cairn", common, &document)
                    .announce(move |listen, admin| announce(listen, admin, &data));
                cairn_chassis::run(services.join(launch))
            }
            Err(error) => refuse(&error),
        }
    }

    pub(crate) fn print_config(self) -> ExitCode {
        match self.prepare() {
            Ok((_, _, document)) => match say(&document.to_yaml()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            },
            Err(error) => refuse(&error),
        }
    }

    pub(crate) fn healthcheck(self) -> ExitCode {
        match self.prepare() {
            Ok((common, ..)) => cairn_chassis::healthcheck(common.server.admin_listen),
            Err(error) => refuse(&error),
        }
    }

    fn prepare(self) -> anyhow::Result<(Common, Services, Document)> {
        let mut document = self.flags.load()?;
        let self_profile = SelfProfile {
            enabled: true,
            ..SelfProfile::default()
        };
        let common = Common::read(&mut document, Server::default(), self_profile)?;
        let services = Services::read(&mut document, &self.data, common.budget)?;
        document.finish()?;
        Ok((common, services, document))
    }
}

impl Services {
    fn read(document: &mut Document, data: &Path, budget: Budget) -> anyhow::Result<Self> {
        let store = cairn_store::Config::folder(data.join("store"));
        let ingester = cairn_ingester::Config {
            data: data.join("ingester"),
            store: store.clone(),
            ..cairn_ingester::Config::default()
        };
        let querier = cairn_querier::Config {
            store: store.clone(),
            ..cairn_querier::Config::default()
        };
        let symbolizer = cairn_symbolizer::Config {
            store: store.clone(),
            ..cairn_symbolizer::Config::default()
        };
        let compactor = cairn_compactor::Config {
            store,
            ..cairn_compactor::Config::default()
        };
        Ok(Self {
            ingester: document.section("ingester", ingester.within(budget.percent(INGESTER)))?,
            querier: document.section("querier", querier.within(budget.percent(QUERIER)))?,
            symbolizer: document
                .section("symbolizer", symbolizer.within(budget.percent(SYMBOLIZER)))?,
            compactor: document
                .section("compactor", compactor.within(budget.percent(COMPACTOR)))?,
        })
    }

    /// The ingester first: the others ask it what there is.
    fn join(self, launch: Launch) -> Launch {
        launch
            .service("ingester", |cx| cairn_ingester::run(self.ingester, cx))
            .service("symbolizer", |cx| {
                cairn_symbolizer::run(self.symbolizer, cx)
            })
            .service("querier", |cx| cairn_querier::run(self.querier, cx))
            .service("compactor", |cx| cairn_compactor::run(self.compactor, cx))
    }
}

/// What to do next, for whoever just started Cairn for the first time.
fn announce(listen: SocketAddr, admin: SocketAddr, data: &Path) {
    let server = match listen {
        listen if listen == Server::default().listen => String::new(),
        listen => format!(" --server http://{listen}"),
    };
    let data = data.display();
    let text = format!(
        r#"
Cairn is ready at http://{listen}/

  Look    open http://{listen}/ in a browser: within ten seconds Cairn shows its own profile
  Push    cairn push cpu.pb.gz --label service_name=cart{server}
  Query   cairn query 'process_cpu:cpu:nanoseconds:cpu:nanoseconds{{service_name="cairn"}}' --from now-15m{server}
  Data    is in {data}
  Admin   http://{admin}/metrics, /ready, /config
  Stop    ctrl-c

"#
    );
    if let Err(error) = say(&text) {
        tracing::debug!(%error, "nobody reads standard output");
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("write to standard output")
}

fn refuse(error: &anyhow::Error) -> ExitCode {
    // If standard error is gone, nobody is there to be told.
    let _ = writeln!(std::io::stderr(), "cairn: {error:#}");
    ExitCode::from(2)
}
