//! The round: look, merge what is due, delete what was replaced long enough ago.

mod merge;
mod shares;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cairn_catalog::{BlockMeta, Client, Tombstone};
use cairn_chassis::Context;
use cairn_model::{BlockId, TenantId};
use cairn_store::{Key, Store};

use crate::config::Config;
use crate::metrics::{JobLabel, Metrics, Outcome};
use crate::plan::{Job, plan};

use self::merge::Failure;

/// How long a job may go on once the process stops; less than a process waits for its tasks.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Compactor {
    pub(crate) config: Config,
    pub(crate) cx: Context,
    pub(crate) store: Store,
    pub(crate) catalog: Client,
    pub(crate) metrics: Metrics,
    /// Blocks that can't be read. Kept in memory: a restart reads them once more.
    pub(crate) quarantine: HashMap<BlockId, TenantId>,
    /// Blocks that did not fit with the next one into the memory for a merge.
    pub(crate) full: HashMap<BlockId, TenantId>,
    /// When expired shared profiles were last looked for.
    pub(crate) swept: Option<Instant>,
}

impl Compactor {
    /// Goes round until the process stops.
    pub(crate) async fn run(mut self) {
        let (clock, stopping) = (self.cx.clock(), self.cx.stopping());
        loop {
            // Wait first: the catalog may still be starting in this very process. Several compactors
            // should not look at the same moment.
            let jitter = 0.75 + (self.cx.random().u64() % 512) as f64 / 1024.0;
            tokio::select! {
                () = stopping.cancelled() => return,
                () = clock.sleep(self.config.poll_interval.mul_f64(jitter)) => {}
            }
            let is_late = async {
                stopping.cancelled().await;
                clock.sleep(STOP_PATIENCE).await;
            };
            tokio::select! {
                () = self.round() => {}
                // As after a crash: a block that nobody knows may stay in the store.
                () = is_late => return,
            }
        }
    }

    /// One look, and all the work that it finds.
    pub(crate) async fn round(&mut self) {
        if let Err(error) = self.try_round().await
            && !self.cx.stopping().is_cancelled()
        {
            self.metrics.catalog_failures.inc();
            tracing::warn!(%error, "the catalog did not answer; looking again later");
        }
        self.sweep_shares().await;
    }

    async fn try_round(&mut self) -> Result<(), cairn_catalog::Error> {
        let stopping = self.cx.stopping();
        let mut jobs = Vec::new();
        let mut live = HashMap::new();
        for tenant in self.unless_stopping(self.catalog.tenants()).await? {
            let snapshot = self.catalog.snapshot(&tenant);
            let snapshot = self.unless_stopping(snapshot).await?;
            let is_live = |id: &BlockId| snapshot.blocks.iter().any(|block| block.id == *id);
            for left_out in [&mut self.quarantine, &mut self.full] {
                left_out.retain(|id, owner| *owner != tenant || is_live(id));
            }
            let mut blocks = snapshot.blocks.clone();
            blocks.retain(|block| {
                !self.quarantine.contains_key(&block.id) && !self.full.contains_key(&block.id)
            });
            jobs.extend(plan(&blocks, self.cx.clock().now(), &self.config.plan));
            live.insert(tenant, snapshot.blocks);
        }
        self.metrics.due.set(jobs.len() as i64);
        self.count_left_out();
        for job in jobs {
            if stopping.is_cancelled() {
                return Ok(());
            }
            let live = live.entry(job.tenant.clone()).or_default();
            self.job(job, live).await;
            self.metrics.due.dec();
            self.count_left_out();
        }
        self.delete_expired().await
    }

    /// An answer of the catalog, which may be in this very process and gone before it answers.
    async fn unless_stopping<T>(
        &self,
        answer: impl Future<Output = Result<T, cairn_catalog::Error>>,
    ) -> Result<T, cairn_catalog::Error> {
        let stopping = self.cx.stopping();
        let answer = stopping.run_until_cancelled(answer).await;
        answer.unwrap_or_else(|| {
            let reason = "the process stops".to_owned();
            Err(cairn_catalog::Error::Unavailable(reason))
        })
    }

    fn count_left_out(&self) {
        self.metrics.quarantined.set(self.quarantine.len() as i64);
        self.metrics.full.set(self.full.len() as i64);
    }

    /// Does a job and says how it ended; `live` are the tenant's blocks, also afterwards.
    async fn job(&mut self, job: Job, live: &mut Vec<BlockMeta>) {
        let start = self.cx.clock().instant();
        let level = job.level;
        let outcome = match self.merge(job, live).await {
            Ok(outcome) => outcome,
            Err(error @ (Failure::Refused(_) | Failure::Repeated(_) | Failure::Outpaced)) => {
                tracing::info!(error = chain(&error), "a merge came to nothing");
                Outcome::Outrun
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "a merge failed; it is tried again");
                Outcome::Failed
            }
        };
        let took = self.cx.clock().instant().duration_since(start);
        self.metrics.job_seconds.observe(took.as_secs_f64());
        let label = JobLabel { level, outcome };
        self.metrics.jobs.get_or_create(&label).inc();
    }

    /// Deletes the objects of blocks that were replaced before any running query began.
    async fn delete_expired(&self) -> Result<(), cairn_catalog::Error> {
        let delay = i64::try_from(self.config.deletion_delay.as_millis()).unwrap_or(i64::MAX);
        let before = (self.cx.clock().now() / 1_000_000).saturating_sub(delay);
        loop {
            let expired = self.unless_stopping(self.catalog.expired(before)).await?;
            let mut deleted: HashMap<TenantId, Vec<BlockId>> = HashMap::new();
            for Tombstone { block, .. } in &expired {
                if self.cx.stopping().is_cancelled() {
                    break;
                }
                let key = Key::Block {
                    tenant: &block.tenant,
                    id: block.id,
                };
                match self.store.delete(key).await {
                    Ok(()) => deleted
                        .entry(block.tenant.clone())
                        .or_default()
                        .push(block.id),
                    Err(error) => {
                        self.metrics.delete_failures.inc();
                        tracing::warn!(%error, "a replaced block could not be deleted");
                    }
                }
            }
            if deleted.is_empty() {
                return Ok(());
            }
            for (tenant, blocks) in deleted {
                let forgotten = self.catalog.forget(&tenant, &blocks);
                self.unless_stopping(forgotten).await?;
                self.metrics.deleted_blocks.inc_by(blocks.len() as u64);
            }
        }
    }
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests;
