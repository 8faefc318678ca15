//! Puts the ingester together, and takes it apart in order.

use cairn_model::WriterId;
use std::sync::Arc;

use anyhow::Context as _;
use cairn_catalog::{Node, Registration};
use cairn_chassis::Context;
use cairn_store::Store;
use cairn_wal::OnThread;
use tokio::sync::{Mutex, Notify};

use crate::config::Config;
use crate::doors;
use crate::flight::TailFlight;
use crate::flush::Flusher;
use crate::ingester::Ingester;
use crate::metrics::Metrics;
use crate::replay::replay;
use crate::route::{Peers, Router};
use crate::tail::Tail;
use crate::writer::{Grouping, Parts, Writer};

/// Runs an ingester that has no others beside it until the process stops: replays the log, serves,
/// flushes what is left.
pub async fn run(config: Config, cx: Context) -> anyhow::Result<()> {
    serve(config, cx, None).await
}

/// Runs an ingester among others, with which it shares the writes.
pub async fn run_among(config: Config, cx: Context, peers: Peers) -> anyhow::Result<()> {
    serve(config, cx, Some(peers)).await
}

async fn serve(config: Config, cx: Context, peers: Option<Peers>) -> anyhow::Result<()> {
    let (flusher, node) = open(&config, &cx).await?;
    let flusher = Arc::new(flusher);
    cx.own("flush", Arc::clone(&flusher).run());
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
    let ingester = Ingester::new(cx.clone(), config, Arc::clone(&flusher), router);
    let routes = doors::routes(&ingester)
        .grpc(node.catalog_service())
        .grpc(flight.serve());
    cx.serve(routes).await?;
    let closed = flusher.close().await;
    flusher.writer.stop().await;
    // What could not be flushed is in the log and comes back at the next start.
    closed.unwrap_or_else(|error| {
        tracing::warn!(
            error = format!("{error:#}"),
            "rows stay in the log for the next start"
        );
    });
    node.shutdown().await.context("stop the catalog")
}

/// Opens catalog, log and store, in the order in which they need each other.
pub(crate) async fn open(config: &Config, cx: &Context) -> anyhow::Result<(Flusher, Node)> {
    let id = WriterId::parse(&config.writer).context("read the setting \"writer\"")?;
    let store = Store::open(&config.store, cx.random().u128()).await;
    let store = store.context("open the object store")?;
    let folder = config.data.join("catalog");
    let clock = cx.clock();
    let now = Arc::new(move || clock.now() / 1_000_000);
    let node = Node::alone(&folder, now)
        .await
        .context("open the catalog")?;
    let catalog = node.client();
    let registration = Registration::continued(id.clone(), &address(config, cx));
    let registered = catalog.register(registration).await;
    let registered = registered.context("register the writer")?;
    let metrics = cx.metrics(Metrics::register);
    let tail = Arc::new(Tail::new(
        registered.flushed_lsn,
        config.tail.head_bytes_max.as_u64(),
        metrics.clone(),
    ));
    let opened = {
        let (config, tail, metrics) = (config.clone(), Arc::clone(&tail), metrics.clone());
        cx.compute(move || replay(&config, registered.flushed_lsn, &tail, &metrics))
            .await?
    };
    tracing::info!(
        writer = %id,
        incarnation = registered.incarnation,
        flushed_lsn = registered.flushed_lsn,
        next_lsn = opened.log.next(),
        replayed = opened.replayed,
        "the log is open"
    );
    let log = OnThread::start(opened.log).context("start the thread of the log")?;
    let (writer, task) = Writer::new(Parts {
        log: Box::new(log),
        window: opened.window,
        tail: Arc::clone(&tail),
        grouping: Grouping {
            bytes_max: config.log.batch_bytes_max.as_u64(),
            delay: config.log.commit_delay,
        },
        cx: cx.clone(),
        metrics: metrics.clone(),
    });
    cx.own("log", task.run());
    let flusher = Flusher {
        writer,
        cx: cx.clone(),
        config: config.clone(),
        tail,
        catalog,
        store,
        id,
        registered,
        metrics,
        wake: Notify::new(),
        flushed: Mutex::new(registered.flushed_lsn),
    };
    Ok((flusher, node))
}

/// Where queriers find the tail.
fn address(config: &Config, cx: &Context) -> String {
    if !config.address.is_empty() {
        return config.address.clone();
    }
    cx.own_address()
}
