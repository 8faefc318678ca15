//! A process from settings to exit code: runtime, telemetry, signals. Which services it runs is
//! the caller's choice.

use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use futures::future::BoxFuture;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{self, ConfigError, Document};
use crate::telemetry::Telemetry;
use crate::{Clock, Context, Net, Options, Process, Random};

/// What a shell reports for a process that ctrl-c ended.
const EXIT_INTERRUPTED: i32 = 130;

/// The sections that every process has.
#[derive(Clone, Debug)]
pub struct Common {
    pub server: config::Server,
    pub telemetry: config::Telemetry,
    pub self_profile: config::SelfProfile,
    /// Memory for services.
    pub budget: config::Budget,
}

impl Common {
    /// Reads them, with these defaults. Refuses to listen where it is not safe.
    pub fn read(
        document: &mut Document,
        server: config::Server,
        self_profile: config::SelfProfile,
    ) -> Result<Self, ConfigError> {
        let server: config::Server = document.section("server", server)?;
        server.check()?;
        let self_profile = document.section("self_profile", self_profile)?;
        let memory: config::Memory = document.section("memory", config::Memory::default())?;
        Ok(Self {
            server,
            telemetry: document.section("telemetry", config::Telemetry::default())?,
            budget: memory.budget(&self_profile)?,
            self_profile,
        })
    }
}

type Run = Box<dyn FnOnce(Context) -> BoxFuture<'static, anyhow::Result<()>> + Send>;
type Announce = Box<dyn FnOnce(SocketAddr, SocketAddr) + Send>;

/// A process about to start.
pub struct Launch {
    pub(crate) server: config::Server,
    telemetry: config::Telemetry,
    self_profile: config::SelfProfile,
    name: &'static str,
    pub(crate) config_yaml: String,
    services: Vec<(&'static str, Run)>,
    announce: Option<Announce>,
}

impl Launch {
    pub fn new(name: &'static str, common: Common, document: &Document) -> Self {
        Self {
            server: common.server,
            telemetry: common.telemetry,
            self_profile: common.self_profile,
            name,
            config_yaml: document.to_yaml(),
            services: Vec::new(),
            announce: None,
        }
    }

    /// Adds a service; `run` is called once the ports are bound.
    #[must_use]
    pub fn service<R, Fut>(mut self, name: &'static str, run: R) -> Self
    where
        R: FnOnce(Context) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let run: Run = Box::new(move |cx| Box::pin(run(cx)));
        self.services.push((name, run));
        self
    }

    /// Called with the address for clients and the one for operators once every service is ready.
    #[must_use]
    pub fn announce(
        mut self,
        announce: impl FnOnce(SocketAddr, SocketAddr) + Send + 'static,
    ) -> Self {
        self.announce = Some(Box::new(announce));
        self
    }
}

impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let services: Vec<_> = self.services.iter().map(|(name, _)| name).collect();
        f.debug_struct("Launch")
            .field("name", &self.name)
            .field("services", &services)
            .finish_non_exhaustive()
    }
}

/// Runs the process until a signal or a failure.
pub fn run(launch: Launch) -> ExitCode {
    let name = launch.name;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name(name)
        .build()
        .context("start the runtime");
    let result = runtime.and_then(|runtime| {
        let result = runtime.block_on(run_async(launch));
        // What did not stop in time must not keep the process.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::cli::say(&format!("{name}: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

async fn run_async(launch: Launch) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(launch.name, &launch.telemetry)?;
    let result = supervise(launch, &telemetry).await;
    if tokio::task::spawn_blocking(|| telemetry.flush())
        .await
        .is_err()
    {
        tracing::warn!("flushing spans panicked");
    }
    result
}

async fn supervise(launch: Launch, telemetry: &Telemetry) -> anyhow::Result<()> {
    let options = Options {
        net: Net::default(),
        server: launch.server,
        self_profile: launch.self_profile,
        clock: Clock::real(),
        random: Random::fresh(),
        config_yaml: launch.config_yaml,
        log_filter: Some(telemetry.log_filter.clone()),
    };
    let mut hasher = DefaultHasher::new();
    options.config_yaml.hash(&mut hasher);
    let names: Vec<_> = launch.services.iter().map(|(name, _)| *name).collect();
    let stop = CancellationToken::new();
    watch_signals(stop.clone())?;
    let process = Process::bind(options, &names).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = format!("{:016x}", hasher.finish()),
        listen = %process.address(),
        admin = %process.admin_address(),
        services = names.join(","),
        "{} starts",
        launch.name
    );
    for (service, run) in launch.services {
        process.run(service, run);
    }
    let announced = async {
        process.ready().await;
        if !process.stop_token().is_cancelled() {
            tracing::info!("ready at http://{}", process.address());
            if let Some(announce) = launch.announce {
                announce(process.address(), process.admin_address());
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = process.stop_token().cancelled_owned() => {}
        () = announced => {}
    }
    process.stop().await
}

/// The first SIGTERM or SIGINT asks to stop; the second one does not ask.
fn watch_signals(stop: CancellationToken) -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let watch = async move {
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if stop.is_cancelled() {
                std::process::exit(EXIT_INTERRUPTED);
            }
            stop.cancel();
        }
    };
    spawn_detached(watch);
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "signals are watched until the process is gone"
)]
fn spawn_detached(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
