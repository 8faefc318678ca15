//! The log that the settings ask for, opened: registered with the catalog, and with what earlier
//! runs left in it.

use std::sync::Arc;

use anyhow::Context as _;
use cairn_catalog::{Client, Log, Registered, Registration};
use cairn_chassis::Context;
use cairn_model::{Code, WriterId};
use cairn_store::Store;
use cairn_wal::{DurableLog, Lease, ObjectLog, OnThread, Outside};

use crate::config::{Config, LogKind};
use crate::dedup::Window;
use crate::metrics::Metrics;
use crate::replay::replay;
use crate::tail::Tail;
use crate::writer::Grouping;

/// A log, ready to append.
pub(crate) struct Opened {
    pub(crate) log: Box<dyn DurableLog>,
    pub(crate) window: Window,
    pub(crate) tail: Arc<Tail>,
    pub(crate) registered: Registered,
    /// Of a log that others may recover.
    pub(crate) lease: Option<Lease>,
    /// Under which incarnation blocks name the log: one on a disk goes on through all of them.
    pub(crate) log_incarnation: u64,
}

/// Opens logs for one writer.
pub(crate) struct Opening<'a> {
    pub(crate) config: &'a Config,
    pub(crate) cx: &'a Context,
    pub(crate) catalog: &'a Client,
    pub(crate) store: &'a Store,
    pub(crate) writer: &'a WriterId,
    pub(crate) metrics: &'a Metrics,
}

impl Opening<'_> {
    pub(crate) async fn open(self) -> anyhow::Result<Opened> {
        match self.config.log.kind {
            LogKind::Local => self.local().await,
            LogKind::Object => self.object().await,
        }
    }

    async fn local(self) -> anyhow::Result<Opened> {
        let address = address(self.config, self.cx);
        let registration = Registration::continued(self.writer.clone(), &address);
        let registered = self.register(registration).await?;
        let tail = self.tail(registered);
        let replayed = {
            let (config, metrics) = (self.config.clone(), self.metrics.clone());
            let tail = Arc::clone(&tail);
            let replay = move || replay(&config, registered.flushed_lsn, &tail, &metrics);
            self.cx.compute(replay).await?
        };
        tracing::info!(
            writer = %self.writer,
            incarnation = registered.incarnation,
            flushed_lsn = registered.flushed_lsn,
            next_lsn = replayed.log.next(),
            replayed = replayed.replayed,
            "the log is open"
        );
        let log: Box<dyn DurableLog> = match self.cx.is_simulated() {
            // A simulation has one thread, which may as well wait for its disk.
            true => Box::new(replayed.log),
            false => {
                let log = OnThread::start(replayed.log);
                Box::new(log.context("start the thread of the log")?)
            }
        };
        Ok(Opened {
            log,
            window: replayed.window,
            tail,
            registered,
            lease: None,
            log_incarnation: 0,
        })
    }

    async fn object(self) -> anyhow::Result<Opened> {
        let ttl = self.config.log.lease;
        let registration = Registration {
            writer: self.writer.clone(),
            address: address(self.config, self.cx),
            zone: self.config.zone.clone(),
            log: Log::OnePerIncarnation,
            ttl,
        };
        // From before the request: the catalog's count begins later.
        let asked = self.cx.clock().instant();
        let registered = self.register(registration).await?;
        let lease = Lease::new(asked + ttl);
        tracing::info!(
            writer = %self.writer,
            incarnation = registered.incarnation,
            "the log in the object store is open"
        );
        let log = ObjectLog::new(
            self.store.clone(),
            (self.writer.clone(), registered.incarnation),
            lease.clone(),
            outside(self.cx),
        );
        Ok(Opened {
            log: Box::new(log),
            window: Window::new(self.config.dedup_window),
            tail: self.tail(registered),
            registered,
            lease: Some(lease),
            log_incarnation: registered.incarnation,
        })
    }

    fn tail(&self, registered: Registered) -> Arc<Tail> {
        Arc::new(Tail::new(
            registered.flushed_lsn,
            self.config.tail.head_bytes_max.as_u64(),
            self.metrics.clone(),
        ))
    }

    /// Waits for the catalog: its nodes may start after this one, or be without a leader.
    async fn register(&self, registration: Registration) -> anyhow::Result<Registered> {
        let stopping = self.cx.stopping();
        loop {
            let registered = self.catalog.register(registration.clone());
            let registered = stopping.run_until_cancelled(registered).await;
            match registered.context("stopped before the writer was registered")? {
                Ok(registered) => return Ok(registered),
                Err(error) if matches!(error.code(), Code::Unavailable | Code::Timeout) => {
                    tracing::warn!(%error, "waiting for the catalog");
                }
                Err(error) => return Err(error).context("register the writer"),
            }
        }
    }
}

/// Payloads of one append, at most: a push or two more still fit into one object.
const BATCH_BYTES_MAX: u64 = 64 << 20;

/// How pushes are grouped in the log that the settings ask for.
pub(crate) fn grouping(config: &Config) -> anyhow::Result<Grouping> {
    let bytes_max = config.log.batch_bytes_max.as_u64();
    anyhow::ensure!(
        bytes_max <= BATCH_BYTES_MAX,
        "log.batch_bytes_max is more than {BATCH_BYTES_MAX} bytes"
    );
    Ok(Grouping {
        bytes_max,
        delay: config.log.commit_delay(),
    })
}

/// What logs take from this process.
pub(crate) fn outside(cx: &Context) -> Outside {
    let (clock, sleeper, random) = (cx.clock(), cx.clock(), cx.random());
    Outside {
        instant: Arc::new(move || clock.instant()),
        sleep: Arc::new(move |duration| {
            let clock = sleeper.clone();
            Box::pin(async move { clock.sleep(duration).await })
        }),
        random: Arc::new(move || random.u128()),
    }
}

/// Where queriers and other ingesters find this one.
fn address(config: &Config, cx: &Context) -> String {
    match config.address.as_str() {
        "" => cx.own_address(),
        address => address.to_owned(),
    }
}
