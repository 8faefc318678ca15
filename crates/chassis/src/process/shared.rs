//! What the parts of a process share, and the tasks it owns.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::channels::Channels;
use crate::compute::Compute;
use crate::context::TaskOutput;
use crate::readiness::{Board, Standing};
use crate::server::Host;
use crate::{Clock, Net, Random};

use super::Options;

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) compute: Compute,
    pub(crate) net: Net,
    pub(crate) channels: Channels,
    pub(crate) registry: Mutex<Registry>,
    pub(crate) board: Arc<Board>,
    pub(crate) host: Host,
    pub(crate) address: SocketAddr,
    pub(crate) drain_delay: Duration,
    pub(crate) shutdown_deadline: Duration,
    /// Stopping was asked for: readiness is off.
    pub(crate) stop: CancellationToken,
    /// Connections are no longer accepted.
    pub(crate) draining: CancellationToken,
    /// Connections that are still there are dropped.
    pub(crate) cut: CancellationToken,
    /// No request is in flight any more.
    pub(crate) stopping: CancellationToken,
    /// Nothing runs any more.
    pub(crate) ended: CancellationToken,
    /// Of the server, which draining waits for.
    pub(crate) connections: TaskTracker,
    /// Of ports that are served until the very end, such as the admin port.
    pub(crate) admin: TaskTracker,
    pub(super) services: TaskTracker,
    pub(super) tasks: TaskTracker,
    /// How many of each are running, for naming what a stop waits for.
    running: Mutex<BTreeMap<String, usize>>,
    /// Addresses that other machines reach may be listened on.
    pub(crate) listens_anywhere: bool,
    failure: Mutex<Option<anyhow::Error>>,
}

impl Shared {
    pub(super) fn new(
        options: &Options,
        address: SocketAddr,
        services: &[&'static str],
    ) -> Arc<Self> {
        let mut registry = Registry::default();
        #[cfg(target_os = "linux")]
        crate::allocator::register(registry.sub_registry_with_prefix("cairn_process"));
        let draining = CancellationToken::new();
        let host = Host::new(
            registry.sub_registry_with_prefix("cairn"),
            services.len(),
            draining.clone(),
        );
        let standings = services.iter().map(|service| Standing {
            service,
            serving: false,
            held: None,
        });
        Arc::new(Self {
            clock: options.clock.clone(),
            random: options.random.clone(),
            compute: match options.net.simulation() {
                None => Compute::new(options.clock.clone()),
                Some(_) => Compute::inline(),
            },
            net: options.net.clone(),
            channels: Channels::new(options.net.clone()),
            registry: Mutex::new(registry),
            board: Arc::new(Board::new(standings.collect())),
            host,
            address,
            drain_delay: options.server.drain_delay,
            shutdown_deadline: options.server.shutdown_deadline,
            stop: CancellationToken::new(),
            draining,
            cut: CancellationToken::new(),
            stopping: CancellationToken::new(),
            ended: CancellationToken::new(),
            connections: TaskTracker::new(),
            admin: TaskTracker::new(),
            services: TaskTracker::new(),
            tasks: TaskTracker::new(),
            running: Mutex::default(),
            listens_anywhere: options.server.insecure_listen_anywhere,
            failure: Mutex::default(),
        })
    }

    /// Ready for requests: every service is, and stopping was not asked for.
    pub(crate) fn is_ready(&self) -> bool {
        !self.stop.is_cancelled() && self.board.borrow().iter().all(Standing::is_ready)
    }

    /// Stops the process; the first failure is the one it reports.
    pub(crate) fn fail(&self, error: anyhow::Error) {
        tracing::error!(error = format!("{error:#}"), "stopping after a failure");
        self.failure.lock().get_or_insert(error);
        self.stop.cancel();
    }

    pub(super) fn take_failure(&self) -> Option<anyhow::Error> {
        self.failure.lock().take()
    }

    pub(crate) fn own<F>(self: &Arc<Self>, service: &str, name: &str, task: F)
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput,
    {
        let label = format!("task {service}/{name}");
        let task = async move { task.await.into_result() }.instrument(span(service));
        let supervised = self.supervise(label, task, self.stopping.clone());
        self.tasks.spawn(supervised);
    }

    pub(super) fn own_service<F>(self: &Arc<Self>, service: &str, run: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let run = run.instrument(span(service));
        let supervised = self.supervise(format!("service {service}"), run, self.stop.clone());
        self.services.spawn(supervised);
    }

    pub(crate) fn spawn<F>(self: &Arc<Self>, service: &str, name: &str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let label = format!("task {service}/{name}");
        let running = self.count(&label);
        let task = AssertUnwindSafe(task.instrument(span(service))).catch_unwind();
        self.tasks.spawn(async move {
            let _running = running;
            if let Err(panic) = task.await {
                tracing::error!(task = label, panic = panic_text(&*panic), "a task panicked");
            }
        });
    }

    /// Ending well is fine only once `may_end` is cancelled.
    fn supervise<F>(
        self: &Arc<Self>,
        label: String,
        task: F,
        may_end: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let shared = Arc::clone(self);
        let running = self.count(&label);
        async move {
            let _running = running;
            match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) if may_end.is_cancelled() || shared.stop.is_cancelled() => {}
                Ok(Ok(())) => shared.fail(anyhow::anyhow!("{label} ended before it was asked to")),
                Ok(Err(error)) => shared.fail(error.context(format!("{label} failed"))),
                Err(panic) => {
                    let text = panic_text(&*panic);
                    shared.fail(anyhow::anyhow!("{label} panicked: {text}"));
                }
            }
        }
    }

    fn count(self: &Arc<Self>, label: &str) -> Running {
        *self.running.lock().entry(label.to_owned()).or_default() += 1;
        Running {
            shared: Arc::clone(self),
            label: label.to_owned(),
        }
    }

    /// What a stop still waits for, in words.
    pub(super) fn pending(&self) -> Vec<String> {
        let mut pending: Vec<String> = match self.host.in_flight() {
            0 => Vec::new(),
            requests => vec![format!("{requests} requests")],
        };
        pending.extend(
            self.running
                .lock()
                .iter()
                .map(|(label, count)| match count {
                    1 => label.clone(),
                    count => format!("{count} x {label}"),
                }),
        );
        pending
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Counts a task as running until dropped.
struct Running {
    shared: Arc<Shared>,
    label: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.shared.running.lock();
        match running.get_mut(&self.label) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                running.remove(&self.label);
            }
        }
    }
}

fn span(service: &str) -> tracing::Span {
    tracing::error_span!(parent: None, "service", name = service)
}

/// What a panic said, if it said something.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
