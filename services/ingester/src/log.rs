//! Which log a writer appends to.
//!
//! Owns the choice and what a start of each kind does; what logs are is `cairn_wal`'s.

use std::sync::Arc;

use anyhow::Context as _;
use cairn_block::Lsn;
use cairn_chassis::Context;
use cairn_model::WriterId;
use cairn_store::Store;
use cairn_wal::{DurableLog, Lease, ObjectLog, OnThread, Outside};

use crate::config::{Config, LogKind};
use crate::dedup::Window;
use crate::metrics::Metrics;
use crate::replay::replay;
use crate::tail::Tail;
use crate::writer::Grouping;

/// A log that is ready to be appended to.
pub(crate) struct Opened {
    pub(crate) log: Box<dyn DurableLog>,
    pub(crate) window: Window,
    /// The number that the next entry gets.
    pub(crate) next: Lsn,
    /// Entries that are readable again.
    pub(crate) replayed: u64,
}

/// What a log belongs to.
pub(crate) struct Owner<'a> {
    pub(crate) id: &'a WriterId,
    pub(crate) incarnation: u64,
    /// The last entry that is in blocks.
    pub(crate) flushed: Lsn,
    /// Without one, nothing tells a writer that others take it for dead.
    pub(crate) lease: Option<Lease>,
}

/// Payloads of one append, at most: a push or two more still fit into one object.
const BATCH_BYTES_MAX: u64 = 64 << 20;

/// Opens the log that the settings ask for. What is in it and in no block goes to the tail.
pub(crate) async fn open(
    config: &Config,
    (cx, store): (&Context, &Store),
    owner: Owner<'_>,
    (tail, metrics): (&Arc<Tail>, &Metrics),
) -> anyhow::Result<Opened> {
    match config.log.kind {
        LogKind::Local => {
            let (config, tail, metrics) = (config.clone(), Arc::clone(tail), metrics.clone());
            let replay = move || replay(&config, owner.flushed, &tail, &metrics);
            let replayed = cx.compute(replay).await?;
            let next = replayed.log.next();
            let log = OnThread::start(replayed.log).context("start the thread of the log")?;
            Ok(Opened {
                log: Box::new(log),
                window: replayed.window,
                next,
                replayed: replayed.replayed,
            })
        }
        LogKind::Object => {
            let lease = owner.lease.context("an object log needs a lease")?;
            // Every incarnation begins its own: what earlier ones left, others recover.
            anyhow::ensure!(
                owner.flushed == 0,
                "a new log has entries in blocks already"
            );
            let name = (owner.id.clone(), owner.incarnation);
            let log = ObjectLog::new(store.clone(), name, lease, outside(cx));
            Ok(Opened {
                log: Box::new(log),
                window: Window::new(config.dedup_window),
                next: 1,
                replayed: 0,
            })
        }
    }
}

/// How pushes are grouped in the log that the settings ask for.
pub(crate) fn grouping(config: &Config) -> anyhow::Result<Grouping> {
    let bytes_max = config.log.batch_bytes_max.as_u64();
    anyhow::ensure!(
        bytes_max <= BATCH_BYTES_MAX,
        "log.batch_bytes_max is more than {BATCH_BYTES_MAX} bytes"
    );
    Ok(Grouping {
        bytes_max,
        delay: config.log.delay(),
    })
}

/// The process's time and chance, as logs take them.
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
