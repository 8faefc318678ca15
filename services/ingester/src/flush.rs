//! Rows to blocks: freezes a part of the tail, writes a block per tenant, commits them together.
//!
//! A crash between storing a block and its commit leaves an object that nobody refers to; the rows
//! come back from the log. Owns when and in which order; the format of blocks is the block's.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cairn_block::{Lsn, Stretch};
use cairn_catalog::{BlockMeta, Client, Registered};
use cairn_chassis::Context;
use cairn_model::WriterId;
use cairn_wal::Lease;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::{Mutex, Notify};

use crate::blocks::Blocks;
use crate::config::Config;
use crate::metrics::{Metrics, gauge};
use crate::points;
use crate::tail::{Frozen, Tail, Usage};
use crate::writer::Writer;

/// Moves rows from the tail to the store.
#[derive(Debug)]
pub(crate) struct Flusher {
    pub(crate) cx: Context,
    pub(crate) config: Config,
    pub(crate) tail: Arc<Tail>,
    pub(crate) writer: Writer,
    pub(crate) catalog: Client,
    pub(crate) blocks: Blocks,
    pub(crate) id: WriterId,
    /// Under which incarnation blocks name the log.
    pub(crate) log_incarnation: u64,
    pub(crate) registered: Registered,
    /// None: the log is on a disk of this ingester's own.
    pub(crate) lease: Option<Lease>,
    pub(crate) metrics: Metrics,
    pub(crate) wake: Notify,
    /// The last position of the log that is in blocks. Held while flushing: parts are committed in
    /// order.
    pub(crate) flushed: Mutex<Lsn>,
}

/// How long a failed flush waits, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Blocks that are written at the same time.
const WRITES: usize = 2;

impl Flusher {
    /// Asks for an early flush.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Flushes at every interval, and early when asked to. Ends when stopping, or when another
    /// incarnation of this writer has taken over.
    pub(crate) async fn run(self: Arc<Self>) -> anyhow::Result<()> {
        let stopping = self.cx.stopping();
        let clock = self.cx.clock();
        let limits = self.config.tail.clone();
        let mut wait = limits.flush_interval;
        let mut backoff = BACKOFF.0;
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return Ok(()),
                () = clock.sleep(wait) => {}
                () = self.wake.notified() => {
                    // A flush that just ended may have made room already.
                    let Usage { unflushed, .. } = self.tail.usage();
                    if (unflushed as u64) < limits.head_bytes_max.as_u64() {
                        continue;
                    }
                }
            }
            match self.flush().await {
                Ok(_) => (wait, backoff) = (limits.flush_interval, BACKOFF.0),
                Err(error) if fenced(&error) => return Err(error),
                Err(error) => {
                    self.metrics.flush_failures.inc();
                    tracing::warn!(error = format!("{error:#}"), "the flush is tried again");
                    (wait, backoff) = (backoff, (backoff * 2).min(BACKOFF.1));
                }
            }
        }
    }

    /// Puts everything that is acknowledged by now into blocks; returns the last position of the
    /// log that is in blocks, if anything was done.
    pub(crate) async fn flush(&self) -> anyhow::Result<Option<Lsn>> {
        let mut turn = self.flushed.lock().await;
        let mut flushed = None;
        if let Err(error) = self.writer.rotate().await {
            anyhow::bail!("freeze rows: {error}");
        }
        while let Some(part) = self.tail.unflushed() {
            let start = self.cx.clock().instant();
            self.write_part(&part).await?;
            self.tail.committed(&part, self.cx.clock().now());
            let took = self.cx.clock().instant().duration_since(start);
            self.metrics.flush_seconds.observe(took.as_secs_f64());
            flushed = Some(part.to);
            *turn = part.to;
            self.metrics.flushed_lsn.set(gauge(part.to));
        }
        let limits = &self.config.tail;
        let retention = i64::try_from(limits.retention.as_nanos()).unwrap_or(i64::MAX);
        let older_than = self.cx.clock().now().saturating_sub(retention);
        let max = usize::try_from(limits.memory_bytes_max.as_u64()).unwrap_or(usize::MAX);
        self.tail.drop_flushed(older_than, max);
        self.writer.truncate(*turn).await;
        Ok(flushed)
    }

    /// Ends the writer: flushes, and tells queries that there is no tail to ask any more.
    pub(crate) async fn close(&self) -> anyhow::Result<()> {
        self.flush().await.context("flush before stopping")?;
        let last = *self.flushed.lock().await;
        let closed = self
            .catalog
            .close(&self.id, self.registered.incarnation, last);
        closed.await.context("close the writer")
    }

    async fn write_part(&self, part: &Frozen) -> anyhow::Result<()> {
        let heads = part
            .heads
            .iter()
            .filter(|(_, head)| !head.read().is_empty());
        let heads: Vec<_> = heads.cloned().collect();
        let stretch = Stretch {
            writer: self.id.clone(),
            incarnation: self.log_incarnation,
            from: part.from,
            to: part.to,
        };
        let options = Blocks::options(stretch, heads.len());
        let blocks: Vec<BlockMeta> = futures::stream::iter(heads)
            .map(|(tenant, head)| {
                let options = options.clone();
                let write = move || cairn_block::write(&head.read(), options);
                self.blocks.create(tenant, write)
            })
            .buffered(WRITES)
            .try_collect()
            .await?;
        let bytes: u64 = blocks.iter().map(|block| block.bytes).sum();
        let count = blocks.len() as u64;
        points::pass(points::BEFORE_COMMIT);
        self.commit(part, blocks).await?;
        points::pass(points::AFTER_COMMIT);
        self.metrics.blocks.inc_by(count);
        self.metrics.block_bytes.inc_by(bytes);
        tracing::debug!(
            from = part.from,
            to = part.to,
            blocks = count,
            bytes,
            "flushed"
        );
        Ok(())
    }

    async fn commit(&self, part: &Frozen, blocks: Vec<BlockMeta>) -> anyhow::Result<()> {
        let incarnation = self.registered.incarnation;
        let lsns = (part.from, part.to);
        let committed = self.catalog.commit(&self.id, incarnation, lsns, blocks);
        committed.await.context("commit blocks")
    }
}

/// Another process writes under this writer's name: this one must stop.
fn fenced(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<cairn_catalog::Error>();
    error.is_some_and(cairn_catalog::Error::is_fenced)
}
