//! Puts the ingester together, and takes it apart in order.

use std::sync::Arc;

use anyhow::Context as _;
use cairn_chassis::Context;
use cairn_model::WriterId;
use cairn_store::Store;
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::blocks::Blocks;
use crate::config::{Config, LogKind};
use crate::doors;
use crate::flight::TailFlight;
use crate::flush::Flusher;
use crate::gauges::Gauges;
use crate::hosting::Hosting;
use crate::ingester::Ingester;
use crate::inherit;
use crate::lease::Keeper;
use crate::limits::TenantLimits;
use crate::log::{Opened, Opening, grouping, outside};
use crate::metrics::{Metrics, gauge};
use crate::recover::Recoverer;
use crate::route::{Peers, Router};
use crate::writer::{Parts, Writer};

/// Runs the ingester until the process stops: opens its log, serves, flushes what is left.
pub async fn run(config: Config, cx: Context) -> anyhow::Result<()> {
    serve(config, cx, None).await
}

/// Runs an ingester that is told by the caller who the others are, instead of by the catalog.
pub async fn run_among(config: Config, cx: Context, peers: Peers) -> anyhow::Result<()> {
    serve(config, cx, Some(peers)).await
}

async fn serve(config: Config, cx: Context, peers: Option<Peers>) -> anyhow::Result<()> {
    let limits = TenantLimits::new(&config)?;
    let Started {
        flusher,
        hosting,
        closed,
    } = open(&config, &cx).await?;
    cx.own("flush", Arc::clone(&flusher).run());
    if let Some(ended) = hosting.ended() {
        cx.own("catalog", ended);
    }
    let peers = match config.log.kind {
        LogKind::Local => peers,
        LogKind::Object => {
            cx.own("recover", recoverer(&flusher).run());
            Some(peers.unwrap_or_else(|| inherit::peers(&cx, &flusher)))
        }
    };
    let router = peers.map(|peers| {
        let (id, metrics) = (flusher.id.clone(), flusher.metrics.route.clone());
        Router::new(id, config.route.clone(), cx.clock(), peers, metrics)
    });
    if let Some(router) = &router {
        cx.own("route", router.clone().run(cx.stopping()));
    }
    let flight = TailFlight {
        cx: cx.clone(),
        tail: Arc::clone(&flusher.tail),
        writer: flusher.id.clone(),
        incarnation: flusher.registered.incarnation,
        metrics: flusher.metrics.clone(),
    };
    let ingester = Ingester::new(cx.clone(), config, limits, Arc::clone(&flusher), router);
    let routes = hosting.join(doors::routes(&ingester).grpc(flight.serve()));
    cx.serve(routes).await?;
    let flushed = flusher.close().await;
    closed.cancel();
    flusher.writer.stop().await;
    // What could not be flushed is in the log: it comes back at the next start, or others recover it.
    flushed.unwrap_or_else(|error| {
        tracing::warn!(
            error = format!("{error:#}"),
            "rows stay in the log for the next start"
        );
    });
    hosting.stop().await
}

/// What runs behind the doors.
pub(crate) struct Started {
    pub(crate) flusher: Arc<Flusher>,
    pub(crate) hosting: Hosting,
    /// Cancelled when the lease is needed no longer.
    pub(crate) closed: CancellationToken,
}

/// Opens catalog, store and log, in the order in which they need each other.
pub(crate) async fn open(config: &Config, cx: &Context) -> anyhow::Result<Started> {
    let id = WriterId::parse(&config.writer).context("read the setting \"writer\"")?;
    // The catalog first: others may wait for this node to make a majority.
    let hosting = Hosting::start(config, cx).await?;
    let store = Store::open(&config.store, cx.random().u128()).await;
    let store = store.context("open the object store")?;
    let catalog = hosting.client.clone();
    let metrics = cx.metrics(Metrics::register);
    let opening = Opening {
        config,
        cx,
        catalog: &catalog,
        store: &store,
        writer: &id,
        metrics: &metrics,
    };
    let Opened {
        log,
        window,
        tail,
        registered,
        lease,
        log_incarnation,
    } = opening.open().await?;
    let (writer, task) = Writer::new(Parts {
        log,
        window,
        tail: Arc::clone(&tail),
        grouping: grouping(config)?,
        cx: cx.clone(),
        metrics: metrics.clone(),
    });
    cx.own("log", task.run());
    metrics.flushed_lsn.set(gauge(registered.flushed_lsn));
    metrics.log_lsn.set(gauge(registered.flushed_lsn));
    let flusher = Flusher {
        writer,
        cx: cx.clone(),
        config: config.clone(),
        tail,
        catalog,
        blocks: Blocks {
            cx: cx.clone(),
            store,
        },
        id,
        log_incarnation,
        registered,
        lease,
        metrics,
        wake: Notify::new(),
        flushed: Mutex::new(registered.flushed_lsn),
    };
    show(&flusher, &hosting);
    Ok(Started {
        closed: keep_lease(&flusher),
        flusher: Arc::new(flusher),
        hosting,
    })
}

/// Registers what is asked for at every scrape.
fn show(flusher: &Flusher, hosting: &Hosting) {
    let clock = flusher.cx.clock();
    let lease = flusher.lease.clone();
    let gauges = [
        Some(Gauges::of_queue(flusher.writer.queued())),
        lease.map(|lease| Gauges::of_lease(lease, clock)),
        hosting.gauges(),
    ];
    flusher.cx.metrics(|registry| {
        for gauges in gauges.into_iter().flatten() {
            registry.register_collector(Box::new(gauges));
        }
    });
}

/// Starts renewing the lease, if there is one. Cancel what is returned when it is needed no longer.
fn keep_lease(flusher: &Flusher) -> CancellationToken {
    let closed = CancellationToken::new();
    if let Some(lease) = flusher.lease.clone() {
        let keeper = Keeper {
            cx: flusher.cx.clone(),
            catalog: flusher.catalog.clone(),
            writer: flusher.id.clone(),
            incarnation: flusher.registered.incarnation,
            ttl: flusher.config.log.lease,
            lease,
            closed: closed.clone(),
        };
        flusher.cx.own("lease", keeper.run());
    }
    closed
}

fn recoverer(flusher: &Flusher) -> Recoverer {
    let Flusher {
        cx,
        config,
        catalog,
        blocks,
        id,
        registered,
        metrics,
        ..
    } = flusher;
    let stretch_bytes_max = config.tail.head_bytes_max.as_u64();
    Recoverer {
        cx: cx.clone(),
        catalog: catalog.clone(),
        blocks: blocks.clone(),
        worker: format!("{id}/{}", registered.incarnation),
        outside: outside(cx),
        stretch_bytes_max: usize::try_from(stretch_bytes_max).unwrap_or(usize::MAX),
        metrics: metrics.clone(),
    }
}
