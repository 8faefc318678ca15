//! Logs of writers that are gone, put into blocks by whoever is left.
//!
//! A recovery puts a fence behind the log first: from then on nothing is added to it, whatever its
//! writer believes. Then it goes through the log in stretches that fit into memory, each of which
//! is committed by itself, so that a recovery that dies is gone on with by another. Owns the order
//! of these steps; who may recover which log is the catalog's business.

use std::time::Duration;

use anyhow::Context as _;
use cairn_block::Stretch;
use cairn_catalog::{BlockMeta, Client, Job, Ticket, Work};
use cairn_chassis::Context;
use cairn_model::{Code, TenantId, WriterId};
use cairn_wal::{Heads, LogReader, Outside};

use crate::blocks::Blocks;
use crate::metrics::Metrics;
use crate::points;

/// Between two looks for logs to recover.
const POLL: Duration = Duration::from_secs(1);
/// How long a job stays with a worker that says nothing.
const JOB_TTL: Duration = Duration::from_secs(30);

/// Recovers logs of others.
#[derive(Debug)]
pub(crate) struct Recoverer {
    pub(crate) cx: Context,
    pub(crate) catalog: Client,
    pub(crate) blocks: Blocks,
    /// Under which name jobs are claimed.
    pub(crate) worker: String,
    pub(crate) outside: Outside,
    /// Memory of the rows of one stretch.
    pub(crate) stretch_bytes_max: usize,
    pub(crate) metrics: Metrics,
}

/// The log of one incarnation, and the right to recover it.
struct Recovery<'a> {
    by: &'a Recoverer,
    ticket: Ticket,
    writer: WriterId,
    incarnation: u64,
}

impl Recoverer {
    /// Looks for work until the process stops.
    pub(crate) async fn run(self) {
        let (clock, stopping) = (self.cx.clock(), self.cx.stopping());
        loop {
            // Several ingesters should not look at the same moment.
            let jitter = 0.75 + (self.cx.random().u64() % 512) as f64 / 1024.0;
            tokio::select! {
                () = stopping.cancelled() => return,
                () = clock.sleep(POLL.mul_f64(jitter)) => {}
            }
            let round = stopping.run_until_cancelled(self.round()).await;
            if let Some(Err(error)) = round {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "looking for logs to recover failed"
                );
            }
        }
    }

    async fn round(&self) -> anyhow::Result<()> {
        let now = self.cx.clock().now() / 1_000_000;
        let jobs = self.catalog.jobs().await.context("ask for jobs")?;
        for Job { id, work, worker } in jobs {
            let Work::Recover {
                writer,
                incarnation,
            } = work
            else {
                continue;
            };
            // The catalog decides; this only saves asking for what others hold.
            if worker.is_some_and(|(name, until)| name != self.worker && until > now) {
                continue;
            }
            let ticket = match self.catalog.claim(id, &self.worker, JOB_TTL).await {
                Ok(ticket) => ticket,
                Err(error) => {
                    tracing::debug!(%error, job = %id, "somebody else recovers this log");
                    continue;
                }
            };
            let recovery = Recovery {
                by: self,
                ticket,
                writer,
                incarnation,
            };
            recovery.run().await;
        }
        Ok(())
    }
}

/// How far a sealed log is in blocks; `None` if it is not sealed, or recovered already.
pub(crate) async fn sealed(
    catalog: &Client,
    writer: &WriterId,
    incarnation: u64,
) -> anyhow::Result<Option<u64>> {
    // Sealed logs hold rows of every tenant, so any tenant's snapshot lists them.
    let snapshot = catalog.snapshot(&TenantId::anonymous()).await;
    let sealed = snapshot.context("take a snapshot of the catalog")?.sealed;
    let mut found = sealed.iter();
    let found = found.find(|log| log.id == *writer && log.incarnation == incarnation);
    Ok(found.map(|log| log.flushed_lsn))
}

impl Recovery<'_> {
    async fn run(&self) {
        let (writer, incarnation) = (&self.writer, self.incarnation);
        match self.try_run().await {
            Ok(entries) => {
                self.by.metrics.recovered_entries.inc_by(entries);
                tracing::info!(%writer, incarnation, entries, "recovered a log");
            }
            Err(error) => {
                self.by.metrics.recovery_failures.inc();
                let error = format!("{error:#}");
                tracing::warn!(%writer, incarnation, error, "a log is not recovered yet");
                // Others need not wait until the claim is over.
                drop(self.by.catalog.abandon(self.ticket).await);
            }
        }
    }

    /// Returns how many entries were put into blocks.
    async fn try_run(&self) -> anyhow::Result<u64> {
        let flushed = sealed(&self.by.catalog, &self.writer, self.incarnation).await?;
        let Some(flushed) = flushed else {
            return Ok(0);
        };
        let store = self.by.blocks.store.clone();
        let reader = LogReader::new(store, self.writer.clone(), self.incarnation);
        let now = self.by.cx.clock().now();
        let end = reader.fence(flushed, now, &self.by.outside).await;
        let end = end.context("put a fence behind the log")?;
        let listing = reader.segments(flushed).await.context("list the log")?;
        let mut heads = Heads::new(flushed);
        let mut done = flushed;
        let mut segments = reader.read_all(listing.segments);
        while let Some(segment) = segments.next().await {
            let segment = segment.context("read the log")?;
            let fill = move || {
                heads.fill(&segment)?;
                Ok::<_, cairn_wal::Error>(heads)
            };
            heads = self.by.cx.compute(fill).await.context("read the log")?;
            if heads.bytes() > self.by.stretch_bytes_max {
                done = self.commit(&mut heads, (done, false)).await?;
            }
        }
        self.commit(&mut heads, (done, true)).await?;
        Ok(end - 1 - flushed)
    }

    /// Puts the rows that follow `done` into blocks and tells the catalog; returns up to where.
    async fn commit(&self, heads: &mut Heads, (done, is_last): (u64, bool)) -> anyhow::Result<u64> {
        let by = self.by;
        by.catalog
            .extend(self.ticket, JOB_TTL)
            .await
            .context("keep the job")?;
        let (from, to) = heads.stretch().unwrap_or((done + 1, done));
        let tenants: Vec<_> = heads.take_all().into_iter().collect();
        let stretch = Stretch {
            writer: self.writer.clone(),
            incarnation: self.incarnation,
            from,
            to,
        };
        let options = Blocks::options(stretch, tenants.len());
        let mut blocks: Vec<BlockMeta> = Vec::with_capacity(tenants.len());
        for (tenant, head) in tenants {
            let options = options.clone();
            let write = move || cairn_block::write(&head, options);
            blocks.push(by.blocks.create(tenant, write).await?);
        }
        points::pass(points::BEFORE_RECOVER);
        let recovered = by
            .catalog
            .recover(self.ticket, (from, to), blocks.clone(), is_last);
        if let Err(error) = recovered.await {
            // After a lost answer they may be live.
            if matches!(
                error.code(),
                Code::Conflict | Code::NotFound | Code::Invalid
            ) {
                by.blocks.discard(&blocks).await;
            }
            return Err(error).context("commit recovered blocks");
        }
        by.metrics.blocks.inc_by(blocks.len() as u64);
        let bytes: u64 = blocks.iter().map(|block| block.bytes).sum();
        by.metrics.block_bytes.inc_by(bytes);
        Ok(to)
    }
}
