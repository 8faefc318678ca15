//! One process: its ports, its services, and the order in which it stops. Signals and exit codes
//! belong to the caller, so that a test can run several processes in one.

mod shared;
mod shutdown;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

pub(crate) use shared::{Shared, panic_text};

use crate::net::Bound;
use crate::telemetry::LogFilter;
use crate::{Clock, Context, Net, Random, admin, config, self_profile, server};

/// What a process is made of, apart from its services.
#[derive(Clone, Debug)]
pub struct Options {
    pub net: Net,
    pub server: config::Server,
    pub self_profile: config::SelfProfile,
    pub clock: Clock,
    pub random: Random,
    /// The effective config, secrets hidden, for the admin port.
    pub config_yaml: String,
    pub(crate) log_filter: Option<LogFilter>,
}

impl Options {
    /// Free ports on loopback, real time, no delay on stopping.
    pub fn for_tests() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            net: Net::default(),
            server: config::Server {
                listen: any,
                admin_listen: any,
                ..config::Server::default()
            },
            self_profile: config::SelfProfile::default(),
            clock: Clock::real(),
            random: Random::fresh(),
            config_yaml: String::new(),
            log_filter: None,
        }
    }
}

/// A process with its ports bound. Services are added with [`Process::run`].
#[derive(Debug)]
pub struct Process {
    shared: Arc<Shared>,
    admin_address: SocketAddr,
}

impl Process {
    /// Binds the ports and begins to answer: "unavailable" until all `services` serve.
    pub async fn bind(options: Options, services: &[&'static str]) -> anyhow::Result<Self> {
        let listener = bind(&options.net, options.server.listen).await?;
        let admin_listener = bind(&options.net, options.server.admin_listen).await?;
        let address = listener.local_addr().context("read the bound address")?;
        let admin_address = admin_listener
            .local_addr()
            .context("read the bound admin address")?;
        let shared = Shared::new(&options, address, services);
        server::start(&shared, listener, &options.server)?;
        admin::start(&shared, admin_listener, &options);
        // It samples this very thread, which simulates others too.
        if options.self_profile.enabled && options.net.simulation().is_none() {
            self_profile::start(&shared, &options.self_profile)?;
        }
        Ok(Self {
            shared,
            admin_address,
        })
    }

    /// Starts a service, one of those named in [`Process::bind`]. If it ends before stopping was
    /// asked for, or fails, the process stops.
    pub fn run<Run, Fut>(&self, service: &'static str, run: Run)
    where
        Run: FnOnce(Context) -> Fut,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let run = run(self.context(service));
        self.shared.own_service(service, run);
    }

    /// The handle that a service of this process gets.
    pub fn context(&self, service: &'static str) -> Context {
        Context::new(service, Arc::clone(&self.shared))
    }

    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Begins to stop. Cancelling it is what a signal handler does.
    pub fn stop_token(&self) -> CancellationToken {
        self.shared.stop.clone()
    }

    /// Whether every service is ready and stopping was not asked for.
    pub fn is_ready(&self) -> bool {
        self.shared.is_ready()
    }

    /// Returns when every service is ready, or the process is stopping.
    pub async fn ready(&self) {
        let mut board = self.shared.board.subscribe();
        tokio::select! {
            _ = board.wait_for(|board| board.iter().all(crate::readiness::Standing::is_ready)) => {}
            () = self.shared.stop.cancelled() => {}
        }
    }

    /// Waits until stopping is asked for or something fails, stops in order, and says what failed
    /// first or what did not end in time.
    pub async fn finished(self) -> anyhow::Result<()> {
        self.shared.stop.cancelled().await;
        let result = shutdown::run(&self.shared).await;
        self.shared.ended.cancel();
        result
    }

    /// Stops and waits.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.shared.stop.cancel();
        self.finished().await
    }
}

impl Drop for Process {
    /// Routes hold services and those hold the process: a process that was given up without being
    /// stopped would keep files locked for as long as whoever gave it up lives.
    fn drop(&mut self) {
        self.shared.host.clear();
    }
}

async fn bind(net: &Net, address: SocketAddr) -> anyhow::Result<Bound> {
    net.bind(address)
        .await
        .with_context(|| format!("listen on {address}"))
}
