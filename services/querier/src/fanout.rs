//! One plan carried out: everybody asked at once, answers merged as they come.
//!
//! Whoever fails is missing from the answer and named in its warnings. The blocks of a dead worker
//! are given to the others once before they count as missing; of a writer that does not answer, the
//! log in the object store is read.

mod part;
mod repeats;
mod sums;

use self::part::Part;
use self::repeats::Held;
use self::sums::{Settled, Sums};

use cairn_catalog::BlockMeta;
use cairn_chassis::{Context, Job};
use cairn_engine::exchange::{self, BLOCK_SCAN, Cost, TAIL_SCAN};
use cairn_engine::repeats::Ask;
use cairn_engine::{Query, Question, Scanned, WrongAnswer};
use cairn_model::Code;
use cairn_wire::cairn::query::v1::scan_ticket::Source;
use cairn_wire::cairn::query::v1::{
    Blocks, Share as WireShare, Shares, Tail as WireTail, TailPosition,
};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::config::Limits;
use crate::deadline::Deadline;
use crate::error::Warning;
use crate::explain::Explain;
use crate::logs::Logs;
use crate::peers::Failure;
use crate::plan::{Doubtful, Plan, Position, Share, Tail, assign};
use crate::scan::{Answered, Peers};
use crate::worker::{Wanted, Worker};

/// Who asks what, for whom, until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fanout<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) limits: &'a Limits,
    pub(crate) logs: &'a Logs,
    pub(crate) job: &'a Job,
    pub(crate) query: &'a Query,
    pub(crate) deadline: &'a Deadline,
    pub(crate) explain: &'a Explain,
    /// This process'.
    pub(crate) worker: &'a Worker,
    /// Whether what is settled is one block, so that the sum that is kept is its answer.
    pub(crate) keeps_sum: bool,
}

/// What came of a plan.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) scanned: Scanned,
    pub(crate) warnings: Vec<Warning>,
    /// A tail holds no longer what the snapshot said it does: plan again.
    pub(crate) moved: bool,
    /// Something was to be read, and nothing of it could be.
    pub(crate) unread: bool,
    /// Sources that were asked again without what others hold as well.
    pub(crate) repeated: u64,
}

#[derive(Debug, Default)]
struct Progress {
    warnings: Vec<Warning>,
    /// Workers that failed, and the blocks they had.
    dead: Vec<String>,
    orphans: Vec<BlockMeta>,
    /// Of writers that did not answer.
    logs: Vec<Position>,
    moved: bool,
    /// Blocks, tails and logs read.
    read: u64,
    /// Sources that may share profiles, and their answers.
    held: Vec<Held>,
    /// Sources that were asked again without what others hold as well.
    repeated: u64,
}

impl Fanout<'_> {
    pub(crate) async fn run(&self, plan: Plan, workers: &[String]) -> Result<Outcome, WrongAnswer> {
        let Plan {
            blocks,
            tails,
            logs,
            doubtful,
        } = plan;
        let asked = blocks.values().map(Vec::len).sum::<usize>() + tails.len() + logs.len();
        let doubtful = match self.query.question {
            Question::Stacks(_) | Question::Series { .. } => doubtful,
            // What is there twice is there.
            Question::LabelNames | Question::LabelValues(_) | Question::ProfileTypes => {
                Doubtful::default()
            }
        };
        let blocks = blocks
            .into_iter()
            .flat_map(|of| Part::blocks(of, &doubtful));
        let tails = tails.into_iter().map(Part::Tail);
        let logs = logs.into_iter().map(Part::Log);
        let mut parts: Vec<Part> = blocks.chain(tails).chain(logs).collect();
        let mut progress = Progress::default();
        let about = (self.job.tenant(), self.query, &self.worker.answers);
        let mut settled = Settled::among(&parts, &doubtful, about);
        if let Some(kept) = &settled.kept {
            parts.retain(|part| !part.is_settled(&doubtful));
            progress.read += kept.stats.blocks;
            self.worker.metrics.answers_kept.inc();
            self.explain.add(settled.step(kept));
        }
        let parts = Part::grouped(parts, &doubtful, self.limits.fan_in_max);
        let mut sums = Sums::new(&self.query.question, self.limits.query_bytes_max);
        let asker = Self {
            keeps_sum: settled.is_one_block(),
            ..*self
        };
        sums = asker.round(parts, sums, (&mut progress, &doubtful)).await?;
        let again = progress.again(workers, &doubtful);
        if !again.is_empty() {
            sums = self.round(again, sums, (&mut progress, &doubtful)).await?;
        }
        let held = std::mem::take(&mut progress.held);
        for scanned in self.once(held, &mut progress).await {
            sums = sums.add(self.job, (scanned, false)).await?;
        }
        for block in std::mem::take(&mut progress.orphans) {
            let text = format!(
                "no worker could scan it; tried {}",
                progress.dead.join(", ")
            );
            let warning = Warning::new(block.id, Code::Unavailable, text);
            progress.warnings.push(warning);
        }
        if !progress.warnings.is_empty() {
            settled.forget();
        }
        let (question, answers) = (self.query.question.clone(), self.worker.answers.clone());
        let finish = move || sums.finish(&question, settled, &answers);
        let scanned = self.job.compute(finish).await?;
        if scanned.stats.is_cut {
            Warning::too_many().say(&mut progress.warnings);
        }
        Ok(Outcome {
            scanned,
            warnings: progress.warnings,
            moved: progress.moved,
            unread: asked > 0 && progress.read == 0,
            repeated: progress.repeated,
        })
    }

    async fn round(
        &self,
        parts: Vec<Part>,
        mut sums: Sums,
        (progress, doubtful): (&mut Progress, &Doubtful),
    ) -> Result<Sums, WrongAnswer> {
        let telling = Ask {
            stretches: true,
            ..Ask::NOTHING
        };
        let nothing = Ask::NOTHING;
        let ask = |part: Part| {
            let ask = if part.is_in(doubtful) {
                &telling
            } else {
                &nothing
            };
            self.ask(part, ask)
        };
        let mut scans: FuturesUnordered<_> = parts.into_iter().map(ask).collect();
        while let Some((part, result)) = scans.next().await {
            match result {
                Ok((scanned, warnings)) => {
                    progress.read += match part {
                        Part::Blocks(..) | Part::Shares(_) => scanned.stats.blocks,
                        Part::Tail(_) | Part::Log(_) => 1,
                    };
                    if part.is_in(doubtful) {
                        progress.held.push(Held::new(part, scanned, &warnings));
                    } else {
                        let is_settled = part.is_settled(doubtful);
                        sums = sums.add(self.job, (scanned, is_settled)).await?;
                    }
                    progress.warnings.extend(warnings);
                }
                Err(failure) => progress.failed(part, failure),
            }
        }
        Ok(sums)
    }

    async fn ask(&self, part: Part, ask: &Ask) -> (Part, Result<(Scanned, Vec<Warning>), Failure>) {
        let clock = self.cx.clock();
        let start = clock.instant();
        let result = self.ask_part(&part, ask).await;
        let step = part.step(&result).took(clock.instant() - start);
        self.explain.add(step);
        let result = result.map(|(scanned, _, warnings)| (scanned, warnings));
        (part, result)
    }

    async fn ask_part(&self, part: &Part, ask: &Ask) -> Result<Answered, Failure> {
        match part {
            Part::Blocks(address, blocks) => {
                let blocks = blocks.iter().cloned().map(Into::into).collect();
                let source = Source::Blocks(Blocks { blocks });
                let deadline = self.deadline.within(self.deadline.tenths(9));
                self.ask_worker(address, (source, ask), &deadline).await
            }
            Part::Shares(shares) => {
                let share = |(worker, blocks): &Share| WireShare {
                    worker: worker.clone(),
                    blocks: blocks.iter().cloned().map(Into::into).collect(),
                };
                let source = Source::Shares(Shares {
                    shares: shares.iter().map(share).collect(),
                });
                // So that there is time to ask the others of its group if the first is silent.
                let deadline = self.deadline.within(self.deadline.tenths(7));
                self.ask_worker(&shares[0].0, (source, ask), &deadline)
                    .await
            }
            Part::Tail(tail) => self.ask_tail(tail, ask).await,
            Part::Log(position) => {
                let scanned = self.logs.scan(self.job, self.query, position, ask).await;
                scanned.map(|scanned| (scanned, Cost::default(), Vec::new()))
            }
        }
    }

    async fn ask_tail(&self, tail: &Tail, ask: &Ask) -> Result<Answered, Failure> {
        let Position {
            writer,
            incarnation,
            after,
        } = &tail.position;
        let position = TailPosition {
            writer: writer.to_string(),
            incarnation: *incarnation,
            after_lsn: *after,
        };
        let source = Source::Tail(WireTail {
            positions: vec![position],
        });
        let deadline = match tail.is_in_store {
            true => self.deadline.within(self.limits.tail_timeout),
            false => self.deadline.clone(),
        };
        self.ask_peer(&tail.address, (TAIL_SCAN, source, ask), &deadline)
            .await
    }

    /// A process that asks itself needs no network for that.
    async fn ask_worker(
        &self,
        address: &str,
        (source, ask): (Source, &Ask),
        deadline: &Deadline,
    ) -> Result<Answered, Failure> {
        if address != self.worker.address() {
            let asked = self.ask_peer(address, (BLOCK_SCAN, source, ask), deadline);
            return asked.await;
        }
        let wanted = Wanted {
            job: self.job.clone(),
            query: self.query.clone(),
            ask: ask.clone(),
            keeps_sum: self.keeps_sum && *ask == Ask::NOTHING,
        };
        let asked = (self.worker).ask_here(wanted, (source, deadline));
        asked.await
    }

    async fn ask_peer(
        &self,
        address: &str,
        (path, source, ask): (&'static str, Source, &Ask),
        deadline: &Deadline,
    ) -> Result<Answered, Failure> {
        let ticket = exchange::encode(self.job.tenant(), self.query, source, ask);
        let peers = Peers::new(self.cx, self.limits);
        let asked = peers.ask(self.job, address, (path, &ticket), deadline);
        asked.await
    }
}

impl Progress {
    fn failed(&mut self, part: Part, failure: Failure) {
        match part {
            Part::Blocks(worker, blocks) => self.bereft(worker, blocks, &failure),
            Part::Shares(shares) => {
                let (mut workers, blocks): (Vec<_>, Vec<_>) = shares.into_iter().unzip();
                self.bereft(workers.swap_remove(0), blocks.concat(), &failure);
            }
            // What an ingester answers whose tail begins after the position that was asked for.
            Part::Tail(_) if failure.code == Code::Conflict => {
                self.moved = true;
                self.warn(&failure);
            }
            Part::Tail(tail) if tail.is_in_store => {
                tracing::info!(writer = %tail.position.writer, error = %failure, "reading a log instead");
                self.logs.push(tail.position);
            }
            Part::Tail(_) | Part::Log(_) => self.warn(&failure),
        }
    }

    fn bereft(&mut self, worker: String, blocks: Vec<BlockMeta>, failure: &Failure) {
        tracing::warn!(worker, error = %failure, "a worker did not scan its blocks");
        if !self.dead.contains(&worker) {
            self.dead.push(worker);
        }
        self.orphans.extend(blocks);
    }

    fn warn(&mut self, failure: &Failure) {
        let text = format!("the newest profiles are missing, from {failure}");
        self.warnings.push(Warning::new("", failure.code, text));
    }

    /// What others are asked for after some failed. Blocks that nobody is left for stay orphans.
    fn again(&mut self, workers: &[String], doubtful: &Doubtful) -> Vec<Part> {
        let is_alive = |worker: &&String| !self.dead.contains(worker);
        let alive: Vec<String> = workers.iter().filter(is_alive).cloned().collect();
        let mut again: Vec<Part> = self.logs.drain(..).map(Part::Log).collect();
        if !alive.is_empty() {
            let blocks = assign(self.orphans.drain(..), &alive);
            again.extend(blocks.into_iter().flat_map(|of| Part::blocks(of, doubtful)));
        }
        again
    }
}
