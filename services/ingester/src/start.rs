//! Puts the ingester together, and takes it apart in order.

use cairn_model::WriterId;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context as _;
use cairn_catalog::{Catalog, Server};
use cairn_chassis::Context;
use cairn_store::Store;
use tokio::sync::{Mutex, Notify};

use crate::config::Config;
use crate::doors;
use crate::flight::TailFlight;
use crate::flush::Flusher;
use crate::ingester::Ingester;
use crate::log::{self, Owner};
use crate::metrics::Metrics;
use crate::tail::Tail;
use crate::writer::{Parts, Writer};

/// Runs the ingester until the process stops: replays the log, serves, flushes what is left.
pub async fn run(config: Config, cx: Context) -> anyhow::Result<()> {
    let flusher = Arc::new(open(&config, &cx).await?);
    cx.own("flush", Arc::clone(&flusher).run());
    let clock = cx.clock();
    let catalog = Server::new(
        flusher.catalog.clone(),
        Arc::new(move || clock.now() / 1_000_000),
    );
    let flight = TailFlight {
        cx: cx.clone(),
        tail: Arc::clone(&flusher.tail),
        writer: flusher.id.clone(),
        incarnation: flusher.registered.incarnation,
        metrics: flusher.metrics.clone(),
    };
    let ingester = Ingester::new(cx.clone(), config, Arc::clone(&flusher));
    let routes = doors::routes(&ingester)
        .grpc(catalog.into_service())
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
    Ok(())
}

/// Opens catalog, log and store, in the order in which they need each other.
pub(crate) async fn open(config: &Config, cx: &Context) -> anyhow::Result<Flusher> {
    let id = WriterId::parse(&config.writer).context("read the setting \"writer\"")?;
    let store = Store::open(&config.store, cx.random().u128()).await;
    let store = store.context("open the object store")?;
    let folder = config.data.join("catalog");
    let catalog = cx.compute(move || Catalog::open(&folder)).await;
    let catalog = catalog.context("open the catalog")?;
    let registered = catalog.register(&id, &address(config, cx)).await;
    let registered = registered.context("register the writer")?;
    let metrics = cx.metrics(Metrics::register);
    let tail = Arc::new(Tail::new(
        registered.flushed_lsn,
        config.tail.head_bytes_max.as_u64(),
        metrics.clone(),
    ));
    let owner = Owner {
        id: &id,
        incarnation: registered.incarnation,
        flushed: registered.flushed_lsn,
        lease: None,
    };
    let grouping = log::grouping(config)?;
    let opened = log::open(config, (cx, &store), owner, (&tail, &metrics)).await?;
    tracing::info!(
        writer = %id,
        incarnation = registered.incarnation,
        flushed_lsn = registered.flushed_lsn,
        next_lsn = opened.next,
        replayed = opened.replayed,
        "the log is open"
    );
    let (writer, task) = Writer::new(Parts {
        log: opened.log,
        window: opened.window,
        tail: Arc::clone(&tail),
        grouping,
        cx: cx.clone(),
        metrics: metrics.clone(),
    });
    cx.own("log", task.run());
    Ok(Flusher {
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
        turn: Mutex::new(()),
    })
}

/// Where queriers find the tail.
fn address(config: &Config, cx: &Context) -> String {
    if !config.address.is_empty() {
        return config.address.clone();
    }
    let listening = cx.address();
    let host = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("http://{host}:{}", listening.port())
}
