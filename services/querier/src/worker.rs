//! The answering side of a scan: the blocks of a ticket, merged into one answer.
//!
//! A block that can't be read, or not in time, is a warning in the trailer, never the end of the
//! scan. Which blocks there are is the business of whoever wrote the ticket.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cairn_block::{Block, Reads};
use cairn_chassis::{Context, Job, Turn};
use cairn_engine::exchange::{Asked, BlockFlight, Cost, Partial, blocks};
use cairn_engine::repeats::{Ask, SourceId};
use cairn_engine::{
    Budget, Query, Scanned, Source as ScanSource, Work, WrongAnswer, first_read, scan_block,
};
use cairn_model::{BlockId, Code, TenantId};
use cairn_store::Store;
use cairn_wire::cairn::catalog::v1::BlockMeta;
use cairn_wire::cairn::query::v1::scan_ticket::Source;
use cairn_wire::cairn::query::v1::{Blocks as Named, ScanWarning, Shares};
use futures::{FutureExt, StreamExt};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::mpsc;
use tonic::Status;

use crate::answers::{Answers, Key};
use crate::blocks::Blocks;
use crate::config::Config;
use crate::deadline::Deadline;
use crate::error::{Warning, chain};
use crate::memory::{Memory, Part};
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::scan::Answered;
use crate::slots::Slots;
use crate::sum::Sum;

/// Scans blocks for queriers; for that of its own process without a network in between.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) answers: Answers,
    pub(crate) slots: Slots,
    block_scans_max: usize,
    pub(crate) query_bytes_max: usize,
    pub(crate) relay: Relay,
    pub(crate) cx: Context,
    pub(crate) metrics: Metrics,
}

/// What is wanted of every block, and for whom.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) job: Job,
    pub(crate) query: Query,
    pub(crate) ask: Ask,
    /// The sum is kept, so one block that is all of it is not kept apart.
    pub(crate) keeps_sum: bool,
}

/// Whoever does not say how long they wait gets an answer after this long.
const PATIENCE: Duration = Duration::from_secs(60);

impl Worker {
    pub(crate) fn new(
        config: &Config,
        (store, reads): (Store, Arc<dyn Reads>),
        cx: &Context,
        metrics: Metrics,
    ) -> Self {
        let limits = &config.limits;
        let open = (limits.open_blocks_max, limits.open_block_bytes_max);
        Self {
            blocks: Arc::new(Blocks::new(store, reads, open.0, open.1)),
            answers: Answers::new(limits.answers_bytes_max),
            slots: Slots::new(limits.scan_bytes_max),
            block_scans_max: limits.block_scans_max,
            query_bytes_max: limits.query_bytes_max,
            relay: Relay::new(cx, config),
            cx: cx.clone(),
            metrics,
        }
    }

    /// As a gRPC service under the name that queriers call.
    pub(crate) fn serve(self, message_bytes_max: usize) -> BlockFlight {
        let scan = move |asked: Asked, left: Option<Duration>| {
            let worker = self.clone();
            let deadline = Deadline::after(&worker.cx.clock(), left.unwrap_or(PATIENCE));
            async move { worker.answer(asked, deadline).await }.boxed()
        };
        blocks(Arc::new(scan), message_bytes_max)
    }

    async fn answer(&self, asked: Asked, deadline: Deadline) -> Result<Partial, Status> {
        let tenant = &asked.tenant;
        let key = match &asked.source {
            Source::Blocks(blocks) => {
                let question = (&asked.query, &asked.repeats);
                Key::of(tenant, question, blocks.blocks.clone())
            }
            Source::Shares(_) | Source::Tail(_) => None,
        };
        if let Some(kept) = key.as_ref().and_then(|key| self.answers.encoded(key)) {
            self.metrics.answers_kept.inc();
            return Ok(kept.again());
        }
        let wanted = Arc::new(Wanted {
            job: self.cx.job(tenant),
            query: asked.query,
            ask: asked.repeats,
            keeps_sum: key.is_some(),
        });
        let sum = self.sum(&wanted, (asked.source, deadline));
        let (scanned, cost, warnings) = sum.await?;
        let is_whole = warnings.is_empty();
        let partial = encoded(&wanted.job, scanned, (cost, warnings)).await;
        if let Some(key) = key.filter(|_| is_whole) {
            self.answers.keep_encoded(key, &partial);
        }
        Ok(partial)
    }

    /// What the blocks of a ticket add up to, those of other workers included.
    pub(crate) async fn sum(
        &self,
        wanted: &Arc<Wanted>,
        (source, deadline): (Source, Deadline),
    ) -> Result<Answered, Status> {
        match source {
            Source::Blocks(Named { blocks }) => {
                let sum = self.scan(wanted, (blocks, deadline));
                sum.await.map_err(wrong)
            }
            Source::Shares(Shares { shares }) => self.relay(wanted, (shares, deadline)).await,
            Source::Tail(_) => {
                let text = "a querier holds no tail";
                Err(cairn_wire::status(Code::Invalid, text))
            }
        }
    }

    /// What is not read when time is nearly up is missing.
    pub(crate) async fn scan(
        &self,
        wanted: &Arc<Wanted>,
        (blocks, deadline): (Vec<BlockMeta>, Deadline),
    ) -> Result<Answered, WrongAnswer> {
        let (job, mut cost) = (&wanted.job, Cost::default());
        let tenant = job.tenant();
        let mut sum = Sum::within(&wanted.query.question, self.query_bytes_max);
        let mut warnings = Vec::new();
        let mut missing: BTreeSet<String> = blocks.iter().map(|block| block.id.clone()).collect();
        let is_all = wanted.keeps_sum && blocks.len() == 1;
        let at_once = self.block_scans_max.max(1);
        let memory = &Memory::new(self.query_bytes_max, at_once.min(blocks.len()));
        let scans = futures::stream::iter(blocks).map(|block| async move {
            let id = block.id.clone();
            let answer = self.answer_one((wanted, memory), (block, is_all));
            (id, answer.await)
        });
        // Scans go on while answers are merged: room that one of them was given does not lie idle.
        let (sender, mut answers) = mpsc::channel(at_once);
        let clock = self.cx.clock();
        let scanning = async move {
            let mut scans = scans.buffer_unordered(at_once);
            let all = async {
                while let Some(next) = scans.next().await {
                    if sender.send(next).await.is_err() {
                        break;
                    }
                }
            };
            // Scans that are too late end here, and leave their room to others.
            tokio::select! {
                biased;
                () = all => {}
                () = clock.sleep(deadline.tenths(8)) => {}
            }
            Ok(())
        };
        let merging = async {
            while let Some((id, scanned)) = answers.recv().await {
                missing.remove(&id);
                match scanned {
                    Ok((scanned, of)) => {
                        cost.add(of);
                        sum = sum.add(&wanted.job, scanned).await?;
                    }
                    Err(warning) => {
                        self.metrics.blocks_failed.inc();
                        tracing::warn!(%tenant, %warning, "a block is missing from an answer");
                        warnings.push(warning);
                    }
                }
            }
            Ok::<_, WrongAnswer>(sum)
        };
        let ((), sum) = futures::try_join!(scanning, merging)?;
        warnings.extend(missing.iter().map(|id| self.late(tenant, id)));
        let scanned = job.compute(move || sum.finish()).await?;
        warnings.extend(scanned.stats.is_cut.then(Warning::too_many));
        Ok((scanned, cost, warnings))
    }

    fn late(&self, tenant: &TenantId, block: &str) -> Warning {
        self.metrics.blocks_failed.inc();
        tracing::warn!(%tenant, block, "a block was not read in time");
        Warning::new(block, Code::Timeout, "it could not be read in time")
    }

    async fn answer_one(
        &self,
        (wanted, memory): (&Arc<Wanted>, &Arc<Memory>),
        (meta, is_all): (BlockMeta, bool),
    ) -> Result<(Scanned, Cost), Warning> {
        let key = match is_all {
            true => None,
            false => Key::of_part(wanted.job.tenant(), (&wanted.query, &wanted.ask), &meta),
        };
        if let Some(kept) = key.as_ref().and_then(|key| self.answers.scanned(key)) {
            self.metrics.answers_kept.inc();
            let cost = Cost {
                bytes: 0,
                kept_blocks: 1,
            };
            return Ok((Arc::unwrap_or_clone(kept), cost));
        }
        let (scanned, cost) = self.scan_one((wanted, memory), meta).await?;
        self.metrics.blocks_scanned.inc();
        self.metrics.rows_scanned.inc_by(scanned.stats.rows);
        let Some(key) = key else {
            return Ok((scanned, cost));
        };
        let scanned = Arc::new(scanned);
        self.answers.keep_scanned(key, &scanned);
        Ok((Arc::unwrap_or_clone(scanned), cost))
    }

    async fn scan_one(
        &self,
        (wanted, memory): (&Arc<Wanted>, &Arc<Memory>),
        meta: BlockMeta,
    ) -> Result<(Scanned, Cost), Warning> {
        let tenant = wanted.job.tenant();
        let name = meta.id;
        let id: BlockId = name
            .parse()
            .map_err(|_| Warning::new(&name, Code::Invalid, "not the name of a block"))?;
        let failed = |error: cairn_block::Error| Warning::new(&name, error.code(), chain(&error));
        let slot = self.slots.acquire(tenant, meta.bytes).await;
        let running = Running::of(&self.metrics);
        let size = (meta.bytes > 0).then_some(meta.bytes);
        let first = first_read(&wanted.query);
        let opened = self.blocks.open(tenant, id, size, first).await;
        let (block, before) = opened.map_err(failed)?;
        let used = InUse {
            blocks: Arc::clone(&self.blocks),
            key: (tenant.clone(), id),
            block,
            _slot: slot,
            _running: running,
        };
        let wanted = Arc::clone(wanted);
        let cores = OfJob {
            job: wanted.job.clone(),
            slots: self.slots.clone(),
            memory: memory.part(),
        };
        let job = wanted.job.clone();
        let scan = async move {
            let source = ScanSource {
                id: SourceId::block(&id),
                ask: &wanted.ask,
            };
            let scanned = scan_block(&used.block, &wanted.query, source, &cores).await;
            if let Err(error) = &scanned {
                used.blocks.forget((&used.key, &used.block), error);
            }
            let cost = Cost {
                bytes: used.block.read_bytes().saturating_sub(before),
                kept_blocks: 0,
            };
            Ok((scanned?, cost))
        };
        job.compute_async(scan).await.map_err(failed)
    }
}

async fn encoded(job: &Job, scanned: Scanned, (cost, warnings): (Cost, Vec<Warning>)) -> Partial {
    let warning = |Warning { block, code, text }| ScanWarning { block, code, text };
    let warnings = warnings.into_iter().map(warning).collect();
    job.compute(move || Partial::new(&scanned, cost, warnings))
        .await
}

pub(crate) fn wrong(error: WrongAnswer) -> Status {
    cairn_wire::status(error.code(), &error.to_string())
}

/// Cores that a query may use, in turn with others, and its part of memory.
struct OfJob {
    job: Job,
    slots: Slots,
    memory: Part,
}

impl Budget for OfJob {
    fn free_cores(&self) -> usize {
        self.job.free_cores().min(self.slots.helpers())
    }

    fn bytes_max(&self) -> usize {
        self.memory.share()
    }

    fn is_over(&self, bytes: usize) -> bool {
        self.memory.is_over(bytes)
    }

    fn run(&self, work: Work) -> Work {
        let job = self.job.clone();
        let Some(room) = self.slots.help() else {
            return futures::future::ready(()).boxed();
        };
        let work = async move {
            let _room = room;
            work.await;
        };
        async move { job.compute_async(work).await }.boxed()
    }
}

/// Counts a scan while it goes on.
struct Running(Gauge);

impl Running {
    fn of(metrics: &Metrics) -> Self {
        metrics.running_scans.inc();
        Self(metrics.running_scans.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A block that more is read of. What that was is weighed even if whoever asked has gone by then.
struct InUse {
    blocks: Arc<Blocks>,
    key: (TenantId, BlockId),
    block: Arc<Block>,
    _slot: Turn,
    _running: Running,
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.blocks.weigh(&self.key, &self.block);
    }
}
