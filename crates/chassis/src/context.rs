//! What a service gets from the process it runs in: time, randomness, tasks, metrics, a server.
//! Holds no settings: those are the service's own.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use cairn_model::TenantId;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::channels::{self, InvalidAddress};
use crate::config::ConfigError;
use crate::process::Shared;
use crate::{Clock, Job, Random, Readiness, Routes, server};

/// A service's handle on its process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    service: &'static str,
    shared: Arc<Shared>,
}

/// Gives the connection to an address, or says why it is none.
pub type Connector = Arc<dyn Fn(&str) -> Result<Channel, String> + Send + Sync>;

/// What an owned task may end with.
pub trait TaskOutput: Send {
    fn into_result(self) -> anyhow::Result<()>;
}

impl TaskOutput for () {
    fn into_result(self) -> anyhow::Result<()> {
        Ok(())
    }
}

impl<E: Into<anyhow::Error> + Send> TaskOutput for Result<(), E> {
    fn into_result(self) -> anyhow::Result<()> {
        self.map_err(Into::into)
    }
}

impl Context {
    pub(crate) fn new(service: &'static str, shared: Arc<Shared>) -> Self {
        Self { service, shared }
    }

    /// The service's name.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// Runs a task that lives as long as the process. If it ends or panics before stopping was
    /// asked for, or fails at any time, the process stops and exits non-zero, naming it. On
    /// stopping it should end by itself; the process waits for it.
    pub fn own<F>(&self, name: &'static str, task: F)
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput,
    {
        self.shared.own(self.service, name, task);
    }

    /// Runs a task that ends by itself, such as one request's background part. The process waits
    /// for it when stopping; a panic in it is logged and stops nothing.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.shared.spawn(self.service, name, task);
    }

    /// Cancelled when no request is in flight any more: time for owned tasks to end.
    pub fn stopping(&self) -> CancellationToken {
        self.shared.stopping.clone()
    }

    /// Cancelled when the server stops accepting: time for long-lived streams to end. Tasks that
    /// requests wait for, such as a group commit, must go on until [`Context::stopping`].
    pub fn draining(&self) -> CancellationToken {
        self.shared.draining.clone()
    }

    pub fn clock(&self) -> Clock {
        self.shared.clock.clone()
    }

    pub fn random(&self) -> Random {
        self.shared.random.clone()
    }

    /// Registers metrics; their names get the prefix `cairn_<service>_`.
    pub fn metrics<R>(&self, register: impl FnOnce(&mut Registry) -> R) -> R {
        let mut registry = self.shared.registry.lock();
        register(registry.sub_registry_with_prefix(format!("cairn_{}", self.service)))
    }

    /// Runs CPU work of more than about half a millisecond off the network threads. A panic in it
    /// continues in the caller.
    pub async fn compute<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        self.shared.compute.run(work).await
    }

    /// What a request of this tenant is about to compute.
    pub fn job(&self, tenant: &TenantId) -> Job {
        self.shared.compute.job(tenant)
    }

    /// A connection to the process at this address, `http://host:port` or `host:port`, made when
    /// it is first needed and shared by everybody here. Calls over it need deadlines of their own.
    pub fn channel(&self, address: &str) -> Result<Channel, InvalidAddress> {
        self.shared.channels.get(address)
    }

    /// [`Context::channel`] for whoever knows nothing of processes.
    pub fn connector(&self) -> Connector {
        let shared = Arc::clone(&self.shared);
        Arc::new(move |address| {
            let channel = shared.channels.get(address);
            channel.map_err(|error| error.to_string())
        })
    }

    /// Answers requests with these routes. Returns when the last request in flight is done, so
    /// that the service can close what requests needed.
    pub async fn serve(&self, routes: Routes) -> anyhow::Result<()> {
        self.shared.host.add(self.service, routes)?;
        self.ready().serving();
        self.shared.stopping.cancelled().await;
        Ok(())
    }

    /// Answers requests with these routes at an address of their own, from here on until the
    /// process ends: for what only other nodes of this service may reach, and need in order to
    /// come up.
    pub async fn serve_beside(&self, address: SocketAddr, routes: Routes) -> anyhow::Result<()> {
        let listener = self.shared.net.bind(address).await;
        let listener = listener.with_context(|| format!("listen on {address}"))?;
        server::start_beside(&self.shared, listener, (self.service, routes))
    }

    /// This service's readiness. Hold it while starting would give wrong answers.
    pub fn ready(&self) -> Readiness {
        Readiness::new(self.service, Arc::clone(&self.shared.board))
    }

    /// Whether the process is part of a simulation: it starts no threads then.
    pub fn is_simulated(&self) -> bool {
        self.shared.net.simulation().is_some()
    }

    /// Refuses an address that other machines reach, unless the process may listen on such.
    pub fn check_listen(&self, address: SocketAddr) -> Result<(), ConfigError> {
        match address.ip().is_loopback() || self.shared.listens_anywhere {
            true => Ok(()),
            false => Err(ConfigError::Exposed(address)),
        }
    }

    /// Where the process listens: the real port, also if port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The address under which the process reaches itself, as `http://host:port`.
    pub fn own_address(&self) -> String {
        channels::own_address(self.shared.address)
    }
}
