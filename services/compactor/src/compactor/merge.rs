//! One merge: read, compare with what stays outside, build, store, swap.
//!
//! A profile of which another block holds a lesser delivery is left out. A merged block that holds a
//! larger delivery of an input's profile is made anew without it first. So what is merged repeats
//! nothing that is merged, provided that the catalog refuses a merge of new blocks that was not
//! compared with all that is there.

use std::collections::HashSet;

use cairn_block::{Batches, Block, Built, Held, Loaded, LogName, MergeError, Shared};
use cairn_catalog::{BlockMeta, Refused};
use cairn_model::{BlockId, Code};
use cairn_store::Key;
use futures::{StreamExt as _, stream};

use super::{Compactor, chain};
use crate::metrics::Outcome;
use crate::plan::Job;
use crate::points;

/// The catalog takes no more names at once. Of more it is told none: then it refuses nothing.
const COMPARED_MAX: usize = 10_000;

/// Blocks whose batches are read at once.
const READS_MAX: usize = 16;

/// Why a merge did not happen.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("read an input")]
    Read(#[source] cairn_block::Error),
    #[error("read a block over the same time")]
    Compare(#[source] cairn_block::Error),
    #[error("merge")]
    Merge(#[source] cairn_block::Error),
    #[error("the merged block does not read back")]
    Verify(#[source] cairn_block::Error),
    #[error("store the merged block")]
    Store(#[source] cairn_store::Error),
    /// The inputs are as they were and the output is gone again.
    #[error("the catalog refused the merged block")]
    Refused(#[source] cairn_catalog::Error),
    /// The same, since this block came meanwhile, and shares batches with the inputs.
    #[error("block {0} came meanwhile, with some of the same batches")]
    Repeated(BlockId),
    /// The same, since ever more blocks came.
    #[error("more blocks came than could be compared")]
    Outpaced,
    /// The output may be live, so it is left where it is.
    #[error("the catalog did not say whether it took the merged block")]
    Unknown(#[source] cairn_catalog::Error),
}

/// A job's inputs in memory, one for one.
struct Work {
    job: Job,
    loaded: Vec<Loaded>,
}

/// What became of an attempt to build.
enum Attempt {
    Built(Built),
    /// It takes fewer inputs; what they repeat of others is to be found out anew.
    Fewer,
}

/// What became of comparing.
enum Compared {
    /// With all that is live over the same time.
    WithAll,
    /// These hold a greater delivery of what these inputs hold.
    Greater(Vec<(BlockMeta, Vec<BlockMeta>)>),
}

/// How often a merge looks for blocks that came while it was at work.
const LOOKS_MAX: usize = 5;

impl Compactor {
    pub(super) async fn merge(
        &mut self,
        mut job: Job,
        live: &mut Vec<BlockMeta>,
    ) -> Result<Outcome, Failure> {
        let inputs_min = job.inputs.len().min(2);
        let (work, built) = loop {
            let mut work = self.load_inputs(job).await?;
            if work.loaded.len() < inputs_min {
                return Ok(Outcome::Skipped);
            }
            match self.compare(&mut work, live).await? {
                Compared::WithAll => match self.build(&mut work).await? {
                    Attempt::Built(built) => break (work, built),
                    Attempt::Fewer => job = work.job,
                },
                Compared::Greater(blocks) => {
                    // The inputs are read again: memory may not suffice for both.
                    job = work.job;
                    if !self.rewrite(blocks, live).await? {
                        return Ok(Outcome::Skipped);
                    }
                }
            }
        };
        let output = self.create(&work.job, &built).await?;
        points::pass(points::BEFORE_REPLACE);
        let replaced = self.replace(&work, &output, live).await;
        if let Err(Failure::Refused(_) | Failure::Repeated(_) | Failure::Outpaced) = replaced {
            self.discard(&output).await;
        }
        replaced?;
        points::pass(points::AFTER_REPLACE);
        self.count(&work, &output);
        live.retain(|block| !work.job.inputs.iter().any(|input| input.id == block.id));
        live.push(output);
        Ok(Outcome::Done)
    }

    fn count(&self, work: &Work, output: &BlockMeta) {
        let inputs = &work.job.inputs;
        let bytes: u64 = inputs.iter().map(|input| input.bytes).sum();
        let left_out: u64 = work.loaded.iter().map(Loaded::left_out).sum();
        self.metrics.input_blocks.inc_by(inputs.len() as u64);
        self.metrics.input_bytes.inc_by(bytes);
        self.metrics.output_bytes.inc_by(output.bytes);
        self.metrics.repeated_profiles.inc_by(left_out);
        tracing::info!(
            tenant = %output.tenant, level = output.level, inputs = inputs.len(), bytes, left_out,
            output = %output.id, output_bytes = output.bytes, rows = output.rows, "merged"
        );
    }

    /// The inputs that are readable.
    async fn load_inputs(&mut self, mut job: Job) -> Result<Work, Failure> {
        let mut loaded = Vec::with_capacity(job.inputs.len());
        let mut readable = Vec::with_capacity(job.inputs.len());
        for meta in std::mem::take(&mut job.inputs) {
            match self.load(&meta).await {
                Ok(input) => {
                    loaded.push(input);
                    readable.push(meta);
                }
                Err(error) if lasting(&error) => self.quarantine(&meta, &error),
                Err(error) => return Err(Failure::Read(error)),
            }
        }
        job.inputs = readable;
        Ok(Work { job, loaded })
    }

    pub(super) async fn load(&self, meta: &BlockMeta) -> Result<Loaded, cairn_block::Error> {
        self.open(meta).await?.load().await
    }

    async fn open(&self, meta: &BlockMeta) -> Result<Block, cairn_block::Error> {
        Block::open(&self.store, &meta.tenant, meta.id, Some(meta.bytes)).await
    }

    /// Marks in the inputs what others hold in a lesser delivery.
    async fn compare(&mut self, work: &mut Work, live: &[BlockMeta]) -> Result<Compared, Failure> {
        let mut greater = Vec::new();
        for other in self.sharing(work, &work.job.outside(live)).await? {
            let shared = match self.share(work, &other).await {
                Ok(shared) => shared,
                Err(error) if lasting(&error) => {
                    self.quarantine(&other, &error);
                    continue;
                }
                Err(error) => return Err(Failure::Compare(error)),
            };
            for (input, marks) in work.loaded.iter_mut().zip(&shared.ours) {
                input.leave_out(marks);
            }
            let inputs = work.job.inputs.iter().zip(shared.theirs);
            let lesser = inputs.filter(|(input, is_lesser)| *is_lesser && input.level == 0);
            let lesser: Vec<BlockMeta> = lesser.map(|(input, _)| input.clone()).collect();
            if !lesser.is_empty() && other.level > 0 {
                greater.push((other, lesser));
            }
        }
        Ok(match greater.is_empty() {
            true => Compared::WithAll,
            false => Compared::Greater(greater),
        })
    }

    /// Makes merged blocks anew without what inputs hold. `false` if one can't be: then the inputs
    /// that it repeats stay new, for queries to compare.
    async fn rewrite(
        &mut self,
        greater: Vec<(BlockMeta, Vec<BlockMeta>)>,
        live: &mut Vec<BlockMeta>,
    ) -> Result<bool, Failure> {
        for (block, lesser) in greater {
            let id = block.id;
            let job = Job {
                tenant: block.tenant.clone(),
                level: block.level,
                inputs: vec![block],
            };
            let is_done = Box::pin(self.merge(job, live)).await? == Outcome::Done;
            // What nobody can read repeats nothing.
            if !is_done && !self.quarantine.contains_key(&id) {
                for input in lesser {
                    self.leave_alone(&input, "a block that repeats it can't be made anew");
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Those that hold batches of the inputs.
    async fn sharing(
        &mut self,
        work: &Work,
        outside: &[&BlockMeta],
    ) -> Result<Vec<BlockMeta>, Failure> {
        let mut ours = Batches::default();
        for input in &work.loaded {
            ours.extend(held(input, &[]).batches());
        }
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let readable = outside.iter().copied();
        let readable = readable.filter(|other| !self.quarantine.contains_key(&other.id));
        let readable: Vec<BlockMeta> = readable.cloned().collect();
        let read = async |other: BlockMeta| {
            let shares = async { self.open(&other).await?.holds_any(&ours).await }.await;
            (other, shares)
        };
        let reads = stream::iter(readable).map(read).buffered(READS_MAX);
        let reads: Vec<_> = reads.collect().await;
        let mut sharing = Vec::new();
        for (other, shares) in reads {
            match shares {
                Ok(false) => {}
                Ok(true) => sharing.push(other),
                Err(error) if lasting(&error) => self.quarantine(&other, &error),
                Err(error) => return Err(Failure::Compare(error)),
            }
        }
        Ok(sharing)
    }

    /// Reads the other one wholly: what can't be read must not take the place of what can.
    async fn share(&self, work: &Work, other: &BlockMeta) -> Result<Shared, cairn_block::Error> {
        let other = self.load(other).await?;
        let inputs = work.loaded.clone();
        let share = move || {
            other.stacks.unpack()?;
            for part in &other.rows {
                part.visit(&mut |_, _| {})?;
            }
            let logs: Vec<Vec<LogName>> = inputs.iter().map(|i| i.origins.logs()).collect();
            let inputs = inputs.iter().zip(&logs);
            let inputs: Vec<Held<'_>> = inputs.map(|(input, logs)| held(input, logs)).collect();
            let logs = other.origins.logs();
            Ok(cairn_block::shared(&inputs, held(&other, &logs)))
        };
        self.cx.compute(share).await
    }

    /// Tries to make one block of the inputs, and takes those away that are in the way.
    async fn build(&mut self, work: &mut Work) -> Result<Attempt, Failure> {
        let level = u8::try_from(work.job.level).unwrap_or(u8::MAX);
        let stacks_bytes_max = self.config.stacks_bytes_max.as_u64();
        let stacks_bytes_max = usize::try_from(stacks_bytes_max).unwrap_or(usize::MAX);
        let loaded = work.loaded.clone();
        let merge = move || {
            let built = cairn_block::merge(&loaded, level, stacks_bytes_max)?;
            // What can't be read must not replace what can.
            let read = verify(&built);
            Ok((built, read))
        };
        match self.cx.compute(merge).await {
            Ok((built, Ok(()))) => return Ok(Attempt::Built(built)),
            Ok((_, Err(error))) => return Err(Failure::Verify(error)),
            Err(MergeError::Output(error)) => return Err(Failure::Merge(error)),
            Err(MergeError::Input { position, source }) => {
                let meta = work.remove(position);
                self.quarantine(&meta, &source);
            }
            Err(MergeError::TooLarge { fit, what }) if work.loaded.len() > 2 => {
                tracing::debug!(what, fit, "too much for one block; merging some of it");
                work.truncate(fit.max(2));
            }
            Err(MergeError::TooLarge { fit, what }) => {
                // Not even two: the one that is alone too large, or else the larger one.
                let nodes = |input: &Loaded| input.stacks.nodes();
                let larger = match &work.loaded[..] {
                    [first, second] if fit > 0 => nodes(second) > nodes(first),
                    _ => false,
                };
                let meta = work.remove(usize::from(larger));
                self.leave_alone(&meta, &format!("{what}; see compactor.stacks_bytes_max"));
            }
        }
        Ok(Attempt::Fewer)
    }

    fn quarantine(&mut self, meta: &BlockMeta, error: &cairn_block::Error) {
        tracing::error!(
            tenant = %meta.tenant, block = %meta.id, error = chain(error),
            "a block can't be read and is left out of merges"
        );
        self.quarantine.insert(meta.id, meta.tenant.clone());
    }

    fn leave_alone(&mut self, meta: &BlockMeta, why: &str) {
        tracing::info!(
            tenant = %meta.tenant, block = %meta.id, why,
            "a block is merged no further"
        );
        self.full.insert(meta.id, meta.tenant.clone());
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

    /// Swaps the blocks for readers. New inputs are compared with what came in the meantime: if
    /// they share nothing with it the output is good as it is.
    async fn replace(
        &mut self,
        work: &Work,
        output: &BlockMeta,
        live: &mut Vec<BlockMeta>,
    ) -> Result<(), Failure> {
        let Job { tenant, inputs, .. } = &work.job;
        let inputs: Vec<BlockId> = inputs.iter().map(|input| input.id).collect();
        for _ in 0..LOOKS_MAX {
            let compared = self.compared(work, live);
            let outputs = vec![output.clone()];
            let replaced = self.catalog.replace(tenant, &inputs, outputs, compared);
            match replaced.await {
                Ok(()) => return Ok(()),
                Err(cairn_catalog::Error::Refused(Refused::NotCompared(_))) => {}
                Err(error @ cairn_catalog::Error::Refused(_)) => {
                    return Err(Failure::Refused(error));
                }
                Err(error) => return Err(Failure::Unknown(error)),
            }
            let known: HashSet<BlockId> = live.iter().map(|block| block.id).collect();
            let snapshot = self
                .catalog
                .snapshot(tenant)
                .await
                .map_err(Failure::Unknown)?;
            *live = snapshot.blocks;
            let mut new = work.job.outside(live);
            new.retain(|block| !known.contains(&block.id));
            if let Some(shares) = self.sharing(work, &new).await?.first() {
                return Err(Failure::Repeated(shares.id));
            }
        }
        Err(Failure::Outpaced)
    }

    /// What the inputs of a merge were compared with, if that matters.
    fn compared(&self, work: &Work, live: &[BlockMeta]) -> Option<Vec<BlockId>> {
        let outside = work.job.is_new().then(|| work.job.outside(live))?;
        if outside.len() > COMPARED_MAX {
            tracing::warn!(
                tenant = %work.job.tenant, blocks = outside.len(),
                "too many blocks over the same time: what comes meanwhile may be there twice"
            );
            return None;
        }
        Some(outside.into_iter().map(|block| block.id).collect())
    }

    async fn discard(&self, output: &BlockMeta) {
        let (tenant, id) = (&output.tenant, output.id);
        if let Err(error) = self.store.delete(Key::Block { tenant, id }).await {
            self.metrics.delete_failures.inc();
            tracing::warn!(%error, "a block that nobody knows stays in the store");
        }
    }
}

impl Work {
    fn remove(&mut self, position: usize) -> BlockMeta {
        self.loaded.remove(position);
        self.job.inputs.remove(position)
    }

    fn truncate(&mut self, len: usize) {
        self.loaded.truncate(len);
        self.job.inputs.truncate(len);
    }
}

fn held<'a>(input: &'a Loaded, logs: &'a [LogName]) -> Held<'a> {
    Held {
        index: &input.index,
        logs,
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
