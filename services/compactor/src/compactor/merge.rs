//! One merge: read, compare with what stays outside, build, store, swap.
//!
//! A profile of which another block holds a lesser delivery is left out. A merged block that holds a
//! larger delivery of an input's profile is made anew without it first. So what is merged repeats
//! nothing that is merged, provided that the catalog refuses a merge of new blocks that was not
//! compared with all that is there.

use cairn_block::{Batches, Block, Built, Held, Loaded, LogName, MergeError, Shared};
use cairn_catalog::BlockMeta;
use cairn_model::{BlockId, Code, TenantId};
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
    /// Other blocks hold all that the inputs held.
    Nothing,
    /// It takes fewer inputs; what they repeat of others is to be found out anew.
    Fewer,
}

impl Compactor {
    pub(super) async fn merge(
        &mut self,
        job: Job,
        live: &mut Vec<BlockMeta>,
    ) -> Result<Outcome, Failure> {
        let inputs_min = job.inputs.len().min(2);
        let mut work = self.load_inputs(job).await?;
        let built = loop {
            if work.loaded.len() < inputs_min || !self.compare(&mut work, live).await? {
                return Ok(Outcome::Skipped);
            }
            match self.build(&mut work).await? {
                Attempt::Built(built) => break Some(built),
                Attempt::Nothing => break None,
                Attempt::Fewer => {}
            }
        };
        let job = work.job;
        let ids = |blocks: &mut dyn Iterator<Item = &BlockMeta>| blocks.map(|b| b.id).collect();
        let compared = || ids(&mut job.outside(live).into_iter());
        let compared: Option<Vec<BlockId>> = job.is_new().then(compared);
        let compared = compared.filter(|compared| compared.len() <= COMPARED_MAX);
        let inputs: Vec<BlockId> = ids(&mut job.inputs.iter());
        let output = match &built {
            Some(built) => Some(self.create(&job, built).await?),
            None => None,
        };
        points::pass(points::BEFORE_REPLACE);
        self.replace(&job.tenant, (&inputs, compared), output.as_ref())
            .await?;
        points::pass(points::AFTER_REPLACE);
        let left_out = work.loaded.iter().map(Loaded::left_out).sum();
        self.count(&job, left_out, output.as_ref());
        live.retain(|block| !inputs.contains(&block.id));
        live.extend(output);
        Ok(Outcome::Done)
    }

    fn count(&self, job: &Job, left_out: u64, output: Option<&BlockMeta>) {
        let bytes: u64 = job.inputs.iter().map(|input| input.bytes).sum();
        let output_bytes = output.map_or(0, |output| output.bytes);
        self.metrics.input_blocks.inc_by(job.inputs.len() as u64);
        self.metrics.input_bytes.inc_by(bytes);
        self.metrics.output_bytes.inc_by(output_bytes);
        self.metrics.repeated_profiles.inc_by(left_out);
        tracing::info!(
            tenant = %job.tenant, level = job.level, inputs = job.inputs.len(), bytes, left_out,
            output = output.map(|output| output.id.to_string()), output_bytes,
            rows = output.map(|output| output.rows), "merged"
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

    /// Marks in the inputs what others hold, and lets others give up what the inputs hold. `false`
    /// if somebody can't: then the inputs stay as they are, for queries to compare.
    async fn compare(
        &mut self,
        work: &mut Work,
        live: &mut Vec<BlockMeta>,
    ) -> Result<bool, Failure> {
        let mut to_rewrite = Vec::new();
        for other in self.sharing(work, live).await? {
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
            if shared.theirs.contains(&true) && other.level > 0 && work.job.is_new() {
                to_rewrite.push((other, shared.theirs));
            }
        }
        for (other, shared_by) in to_rewrite {
            let job = Job {
                tenant: other.tenant.clone(),
                level: other.level,
                inputs: vec![other],
            };
            if Box::pin(self.merge(job, live)).await? != Outcome::Done {
                let inputs = work.job.inputs.iter().zip(shared_by);
                for (input, _) in inputs.filter(|(_, shares)| *shares) {
                    self.leave_alone(input, "what repeats it can't be written anew");
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Blocks outside that hold batches of the inputs.
    async fn sharing(
        &mut self,
        work: &Work,
        live: &[BlockMeta],
    ) -> Result<Vec<BlockMeta>, Failure> {
        let mut ours = Batches::default();
        for input in &work.loaded {
            ours.extend(held(input, &[]).batches());
        }
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let outside = work.job.outside(live).into_iter();
        let outside = outside.filter(|other| !self.quarantine.contains_key(&other.id));
        let outside: Vec<BlockMeta> = outside.cloned().collect();
        let read = async |other: BlockMeta| {
            let theirs = async { self.open(&other).await?.batches().await }.await;
            (other, theirs)
        };
        let reads = stream::iter(outside).map(read).buffered(READS_MAX);
        let reads: Vec<_> = reads.collect().await;
        let mut sharing = Vec::new();
        for (other, theirs) in reads {
            match theirs {
                Ok(theirs) if ours.is_disjoint(&theirs) => {}
                Ok(_) => sharing.push(other),
                Err(error) if lasting(&error) => self.quarantine(&other, &error),
                Err(error) => return Err(Failure::Compare(error)),
            }
        }
        Ok(sharing)
    }

    async fn share(&self, work: &Work, other: &BlockMeta) -> Result<Shared, cairn_block::Error> {
        let block = self.open(other).await?;
        let (index, logs) = (block.index().await?, block.origins().logs());
        let loaded = work.loaded.clone();
        let share = move || {
            let our_logs: Vec<Vec<LogName>> = loaded.iter().map(|i| i.origins.logs()).collect();
            let inputs = loaded.iter().zip(&our_logs);
            let inputs: Vec<Held<'_>> = inputs.map(|(input, logs)| held(input, logs)).collect();
            let theirs = Held {
                index: &index,
                logs: &logs,
            };
            cairn_block::shared(&inputs, theirs)
        };
        Ok(self.cx.compute(share).await)
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
            Err(MergeError::Output(cairn_block::Error::Empty)) => return Ok(Attempt::Nothing),
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
                self.leave_alone(&meta, what);
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
            "a block is merged no further; compactor.stacks_bytes_max allows no more"
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

    /// Swaps the blocks for readers. A refused output is deleted, one that may be live is not.
    async fn replace(
        &self,
        tenant: &TenantId,
        (inputs, compared): (&[BlockId], Option<Vec<BlockId>>),
        output: Option<&BlockMeta>,
    ) -> Result<(), Failure> {
        let outputs = output.cloned().into_iter().collect();
        let replaced = self.catalog.replace(tenant, inputs, outputs, compared);
        match replaced.await {
            Ok(()) => Ok(()),
            Err(error @ cairn_catalog::Error::Refused(_)) => {
                if let Some(output) = output {
                    self.discard(tenant, output.id).await;
                }
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
