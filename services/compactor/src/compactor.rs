//! The round: look, merge what is due, delete what was replaced long enough ago.

use std::collections::HashMap;

use cairn_block::{Block, Built, Loaded, MergeError};
use cairn_catalog::{BlockMeta, Client, Tombstone};
use cairn_chassis::Context;
use cairn_model::{BlockId, Code, TenantId};
use cairn_store::{Key, Store};

use crate::config::Config;
use crate::metrics::{JobLabel, Metrics, Outcome};
use crate::plan::{Job, plan};
use crate::points;

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
}

/// Why a merge did not happen.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("read an input")]
    Read(#[source] cairn_block::Error),
    #[error("merge")]
    Merge(#[source] cairn_block::Error),
    #[error("the merged block does not read back")]
    Verify(#[source] cairn_block::Error),
    #[error("store the merged block")]
    Store(#[source] cairn_store::Error),
    /// The inputs are as they were and the output is gone again.
    #[error("the catalog refused the merged block")]
    Refused(#[source] cairn_catalog::Error),
    /// The output may be live, so it is left where it is.
    #[error("the catalog did not say whether it took the merged block")]
    Unknown(#[source] cairn_catalog::Error),
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
            self.round().await;
        }
    }

    /// One look, and all the work that it finds.
    pub(crate) async fn round(&mut self) {
        if let Err(error) = self.try_round().await {
            self.metrics.catalog_failures.inc();
            tracing::warn!(%error, "the catalog did not answer; looking again later");
        }
    }

    async fn try_round(&mut self) -> Result<(), cairn_catalog::Error> {
        let stopping = self.cx.stopping();
        let mut jobs = Vec::new();
        for tenant in self.catalog.tenants().await? {
            let snapshot = self.catalog.snapshot(&tenant).await?;
            let live = |id: &BlockId| snapshot.blocks.iter().any(|block| block.id == *id);
            for left_out in [&mut self.quarantine, &mut self.full] {
                left_out.retain(|id, owner| *owner != tenant || live(id));
            }
            let mut blocks = snapshot.blocks;
            blocks.retain(|block| {
                !self.quarantine.contains_key(&block.id) && !self.full.contains_key(&block.id)
            });
            jobs.extend(plan(&blocks, self.cx.clock().now(), &self.config.plan));
        }
        self.metrics.due.set(jobs.len() as i64);
        self.count_left_out();
        for job in jobs {
            if stopping.is_cancelled() {
                return Ok(());
            }
            self.job(job).await;
            self.metrics.due.dec();
            self.count_left_out();
        }
        self.delete_expired().await
    }

    fn count_left_out(&self) {
        self.metrics.quarantined.set(self.quarantine.len() as i64);
        self.metrics.full.set(self.full.len() as i64);
    }

    async fn job(&mut self, job: Job) {
        let start = self.cx.clock().instant();
        let level = job.level;
        let outcome = match self.merge(job).await {
            Ok(outcome) => outcome,
            Err(error @ Failure::Refused(_)) => {
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

    async fn merge(&mut self, job: Job) -> Result<Outcome, Failure> {
        let Some((inputs, built)) = self.build(&job).await? else {
            return Ok(Outcome::Skipped);
        };
        let output = self.create(&job, &built).await?;
        let ids: Vec<BlockId> = inputs.iter().map(|input| input.id).collect();
        let id = output.id;
        points::pass(points::BEFORE_REPLACE);
        self.replace(&job.tenant, &ids, output).await?;
        points::pass(points::AFTER_REPLACE);
        let bytes: u64 = inputs.iter().map(|input| input.bytes).sum();
        self.metrics.input_blocks.inc_by(ids.len() as u64);
        self.metrics.input_bytes.inc_by(bytes);
        self.metrics.output_bytes.inc_by(built.info.bytes);
        tracing::info!(
            tenant = %job.tenant, level = job.level, inputs = ids.len(), bytes,
            output = %id, output_bytes = built.info.bytes, rows = built.info.rows, "merged"
        );
        Ok(Outcome::Done)
    }

    /// Merges the inputs that are readable; `None` if these are too few.
    async fn build(&mut self, job: &Job) -> Result<Option<(Vec<BlockMeta>, Built)>, Failure> {
        let mut inputs: Vec<(BlockMeta, Loaded)> = Vec::with_capacity(job.inputs.len());
        for meta in &job.inputs {
            match self.load(meta).await {
                Ok(loaded) => inputs.push((meta.clone(), loaded)),
                Err(error) if lasting(&error) => self.quarantine(meta, &error),
                Err(error) => return Err(Failure::Read(error)),
            }
        }
        let level = u8::try_from(job.level).unwrap_or(u8::MAX);
        let stacks_bytes_max = self.config.stacks_bytes_max.as_u64();
        let stacks_bytes_max = usize::try_from(stacks_bytes_max).unwrap_or(usize::MAX);
        while inputs.len() > 1 {
            let (metas, loaded): (Vec<_>, Vec<_>) = inputs.iter().cloned().unzip();
            let merge = move || {
                let built = cairn_block::merge(&loaded, level, stacks_bytes_max)?;
                // What can't be read must not replace what can.
                let read = verify(&built);
                Ok((built, read))
            };
            match self.cx.compute(merge).await {
                Ok((built, Ok(()))) => return Ok(Some((metas, built))),
                Ok((_, Err(error))) => return Err(Failure::Verify(error)),
                Err(MergeError::Input { position, source }) => {
                    let (meta, _) = inputs.remove(position);
                    self.quarantine(&meta, &source);
                }
                Err(MergeError::TooLarge { fit, what }) if inputs.len() > 2 => {
                    tracing::debug!(what, fit, "too much for one block; merging some of it");
                    inputs.truncate(fit.max(2));
                }
                Err(MergeError::TooLarge { fit, what }) => {
                    // Not even two: the one that is alone too large, or else the larger one.
                    let nodes = |input: &(BlockMeta, Loaded)| input.1.stacks.nodes();
                    let larger = fit > 0 && nodes(&inputs[1]) > nodes(&inputs[0]);
                    let (meta, _) = inputs.swap_remove(usize::from(larger));
                    tracing::info!(
                        tenant = %meta.tenant, block = %meta.id, what,
                        "a block is merged no further; compactor.stacks_bytes_max allows no more"
                    );
                    self.full.insert(meta.id, meta.tenant);
                }
                Err(MergeError::Output(error)) => return Err(Failure::Merge(error)),
            }
        }
        Ok(None)
    }

    async fn load(&self, meta: &BlockMeta) -> Result<Loaded, cairn_block::Error> {
        let block = Block::open(&self.store, &meta.tenant, meta.id, Some(meta.bytes)).await?;
        block.load().await
    }

    fn quarantine(&mut self, meta: &BlockMeta, error: &cairn_block::Error) {
        tracing::error!(
            tenant = %meta.tenant, block = %meta.id, error = chain(error),
            "a block can't be read and is left out of merges"
        );
        self.quarantine.insert(meta.id, meta.tenant.clone());
    }

    async fn create(&self, job: &Job, built: &Built) -> Result<BlockMeta, Failure> {
        let created_unix_ms = self.cx.clock().now() / 1_000_000;
        let id = BlockId::new(created_unix_ms.unsigned_abs(), self.cx.random().u128());
        let key = Key::Block {
            tenant: &job.tenant,
            id,
        };
        let created = self.store.create_once(key, built.bytes.clone()).await;
        created.map_err(Failure::Store)?;
        Ok(BlockMeta {
            id,
            tenant: job.tenant.clone(),
            level: job.level,
            range: built.info.range,
            bytes: built.info.bytes,
            rows: built.info.rows,
            profiles: built.info.profiles,
            created_unix_ms,
        })
    }

    /// Swaps the blocks for readers. A refused output is deleted, one that may be live is not.
    async fn replace(
        &self,
        tenant: &TenantId,
        inputs: &[BlockId],
        output: BlockMeta,
    ) -> Result<(), Failure> {
        let id = output.id;
        match self
            .catalog
            .replace(tenant, inputs, vec![output], None)
            .await
        {
            Ok(()) => Ok(()),
            Err(error @ cairn_catalog::Error::Refused(_)) => {
                self.discard(tenant, id).await;
                Err(Failure::Refused(error))
            }
            Err(error) => Err(Failure::Unknown(error)),
        }
    }

    async fn discard(&self, tenant: &TenantId, id: BlockId) {
        if let Err(error) = self.store.delete(Key::Block { tenant, id }).await {
            self.metrics.delete_failures.inc();
            tracing::warn!(%error, "a block that nobody knows stays in the store");
        }
    }

    /// Deletes the objects of blocks that were replaced before any running query began.
    async fn delete_expired(&self) -> Result<(), cairn_catalog::Error> {
        let delay = i64::try_from(self.config.deletion_delay.as_millis()).unwrap_or(i64::MAX);
        let before = (self.cx.clock().now() / 1_000_000).saturating_sub(delay);
        loop {
            let expired = self.catalog.expired(before).await?;
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
                self.catalog.forget(&tenant, &blocks).await?;
                self.metrics.deleted_blocks.inc_by(blocks.len() as u64);
            }
        }
    }
}

/// Whether trying again will fail again.
fn lasting(error: &cairn_block::Error) -> bool {
    matches!(error.code(), Code::NotFound | Code::Corrupt)
}

fn verify(built: &Built) -> Result<(), cairn_block::Error> {
    let block = Block::from_bytes(built.bytes.clone())?;
    let loaded = futures::executor::block_on(block.load())?;
    loaded.stacks.unpack()?;
    let mut rows = 0;
    for part in &loaded.rows {
        part.visit(&mut |_, run| rows += run.len() as u64)?;
    }
    if rows != built.info.rows {
        return Err(cairn_block::Error::Corrupt {
            section: "samples",
            reason: format!("{rows} rows were read and {} written", built.info.rows),
        });
    }
    Ok(())
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests;
