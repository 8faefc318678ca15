//! The one port of a process: connections, and the merged routes of its services. Which request
//! goes where is decided in `dispatch`.

mod dispatch;
mod health;
mod observe;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use parking_lot::{Mutex, RwLock};
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use self::dispatch::{Dispatch, Table};
use self::observe::Metrics;
use crate::net::{Accepted, Bound};
use crate::process::Shared;
use crate::{Routes, config};

/// A client that sends its request head slower than this is cut off.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams on one HTTP/2 connection: a busy agent has tens, a gateway in front hundreds.
const STREAMS_MAX: u32 = 512;
/// Flow control windows for uploads of profiles and debuginfo over a wide-area link.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Connections to a port that only other nodes reach.
const BESIDE_CONNECTIONS_MAX: usize = 256;
/// After an error that accepting may recover from, such as too many open files.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Everything the port answers; grows as services come up.
pub(crate) struct Host {
    table: RwLock<Arc<Table>>,
    /// What was added so far, to build the next table from.
    added: Mutex<Vec<(&'static str, Routes)>>,
    expected: usize,
    metrics: Metrics,
    in_flight: Arc<AtomicUsize>,
    health: tonic_health::server::HealthReporter,
    draining: CancellationToken,
}

impl Host {
    pub(crate) fn new(
        registry: &mut Registry,
        services: usize,
        draining: CancellationToken,
    ) -> Self {
        Self {
            table: RwLock::default(),
            added: Mutex::default(),
            expected: services,
            metrics: Metrics::new(registry),
            in_flight: Arc::default(),
            health: tonic_health::server::HealthReporter::new(),
            draining,
        }
    }

    /// From now on these routes are answered too.
    pub(crate) fn add(&self, service: &'static str, routes: Routes) -> anyhow::Result<()> {
        let mut added = self.added.lock();
        added.push((service, routes));
        let table = Table::build(self, &added)?;
        *self.table.write() = Arc::new(table);
        Ok(())
    }

    /// Lets go of all routes. They hold services and those hold the process, so without this
    /// nothing that a service opened would ever be closed.
    pub(crate) fn clear(&self) {
        self.added.lock().clear();
        *self.table.write() = Arc::default();
    }

    /// Requests whose answer is not completely sent.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read())
    }

    /// The gRPC services of each service, for telling their health.
    fn grpc_names(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        let names = |routes: &Routes| routes.grpc.keys().copied().collect();
        let added = self.added.lock();
        added
            .iter()
            .map(|(service, routes)| (*service, names(routes)))
            .collect()
    }
}

/// When a server stops: first nicely, then not.
#[derive(Clone)]
pub(crate) struct Stops {
    /// Accept nothing more, let every connection go once it is answered.
    pub(crate) draining: CancellationToken,
    /// Drop what is still connected.
    pub(crate) cut: CancellationToken,
}

/// Accepts on the process' port until draining.
pub(crate) fn start(
    shared: &Arc<Shared>,
    listener: Bound,
    settings: &config::Server,
) -> anyhow::Result<()> {
    *shared.host.table.write() = Arc::new(Table::build(&shared.host, &[])?);
    health::follow(shared);
    let service = dispatch::with_cors(
        Dispatch::Process(Arc::clone(shared)),
        &settings.cors_origins,
    );
    let slots = Arc::new(Semaphore::new(settings.connections_max));
    let stops = Stops {
        draining: shared.draining.clone(),
        cut: shared.cut.clone(),
    };
    let tracker = shared.connections.clone();
    shared
        .connections
        .spawn(accept(tracker, listener, service, slots, stops));
    Ok(())
}

/// Answers these routes on a port of their own until the process ends.
pub(crate) fn start_beside(
    shared: &Arc<Shared>,
    listener: Bound,
    added: (&'static str, Routes),
) -> anyhow::Result<()> {
    let table = Arc::new(Table::build(&shared.host, &[added])?.complete());
    let slots = Arc::new(Semaphore::new(BESIDE_CONNECTIONS_MAX));
    let stops = Stops {
        draining: shared.ended.clone(),
        cut: shared.ended.clone(),
    };
    let service = Dispatch::Fixed(table);
    let accepting = accept(TaskTracker::new(), listener, service, slots, stops);
    shared.admin.spawn(accepting);
    Ok(())
}

/// Accepts until draining, then lets the open connections finish. The listener closes at once.
pub(crate) async fn accept<S, B>(
    tracker: TaskTracker,
    mut listener: Bound,
    service: S,
    slots: Arc<Semaphore>,
    stops: Stops,
) where
    S: tower::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (
                slot.expect("the semaphore is never closed"),
                listener.accept().await,
            )
        };
        let (slot, stream) = tokio::select! {
            accepted = accepted => accepted,
            () = stops.draining.cancelled() => return,
        };
        match stream {
            Ok(stream) => {
                let connection = connection(stream, service.clone(), stops.clone());
                tracker.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

async fn connection<S, B>(stream: Accepted, service: S, stops: Stops)
where
    S: tower::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    let peer = stream.peer();
    let service = service.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        request
    });
    let service = TowerToHyperService::new(service);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = stops.draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            stops.cut.run_until_cancelled(connection).await
        }
    };
    if let Some(Err(error)) = ended {
        // Clients that hang up are everyday life.
        tracing::debug!(error, "connection ended");
    }
}
