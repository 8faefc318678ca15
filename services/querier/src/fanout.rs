//! One plan carried out: everybody asked at once, answers merged as they come.
//!
//! Whoever fails is missing from the answer and named in its warnings. The blocks of a dead worker
//! are given to the others once before they count as missing.

use cairn_chassis::Context;
use cairn_engine::exchange::{self, BLOCK_SCAN, TAIL_SCAN};
use cairn_engine::{Merge, Query, Scanned, WrongAnswer};
use cairn_model::{Code, TenantId};
use cairn_wire::cairn::catalog::v1::BlockMeta;
use cairn_wire::cairn::query::v1::scan_ticket::Source;
use cairn_wire::cairn::query::v1::{Blocks, Tail, TailPosition};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::config::Limits;
use crate::deadline::Deadline;
use crate::error::Warning;
use crate::peers::Failure;
use crate::plan::{Plan, assign};
use crate::scan::Peer;

/// Who asks what, for whom, until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fanout<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) limits: &'a Limits,
    pub(crate) tenant: &'a TenantId,
    pub(crate) query: &'a Query,
    pub(crate) deadline: &'a Deadline,
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
}

#[derive(Clone, Debug)]
enum Part {
    Blocks(String, Vec<BlockMeta>),
    Tail(String, TailPosition),
}

#[derive(Debug, Default)]
struct Progress {
    warnings: Vec<Warning>,
    /// Workers that failed, and the blocks they had.
    dead: Vec<String>,
    orphans: Vec<BlockMeta>,
    moved: bool,
    /// Blocks and tails read.
    read: u64,
}

impl Fanout<'_> {
    pub(crate) async fn run(&self, plan: Plan, workers: &[String]) -> Result<Outcome, WrongAnswer> {
        let Plan { blocks, tails } = plan;
        let asked = blocks.values().map(Vec::len).sum::<usize>() + tails.len();
        let blocks = blocks.into_iter().map(|(at, of)| Part::Blocks(at, of));
        let tails = tails.into_iter().map(|(at, of)| Part::Tail(at, of));
        let mut merge = Merge::new(&self.query.question);
        let mut progress = Progress::default();
        merge = self
            .round(blocks.chain(tails).collect(), merge, &mut progress)
            .await?;
        if !progress.orphans.is_empty() {
            let orphans = std::mem::take(&mut progress.orphans);
            let alive: Vec<String> = workers
                .iter()
                .filter(|worker| !progress.dead.contains(worker))
                .cloned()
                .collect();
            let again = assign(orphans.iter().cloned(), &alive);
            if again.is_empty() {
                progress.orphans = orphans;
            } else {
                let again = again.into_iter().map(|(at, of)| Part::Blocks(at, of));
                merge = self.round(again.collect(), merge, &mut progress).await?;
            }
        }
        for block in std::mem::take(&mut progress.orphans) {
            let text = format!(
                "no worker could scan it; tried {}",
                progress.dead.join(", ")
            );
            let warning = Warning::new(&block.id, Code::Unavailable, text);
            progress.warnings.push(warning);
        }
        let scanned = self.cx.compute(move || merge.finish()).await;
        Ok(Outcome {
            scanned,
            warnings: progress.warnings,
            moved: progress.moved,
            unread: asked > 0 && progress.read == 0,
        })
    }

    async fn round(
        &self,
        parts: Vec<Part>,
        mut merge: Merge,
        progress: &mut Progress,
    ) -> Result<Merge, WrongAnswer> {
        let mut scans: FuturesUnordered<_> = parts.into_iter().map(|part| self.ask(part)).collect();
        while let Some((part, result)) = scans.next().await {
            match result {
                Ok((scanned, warnings)) => {
                    progress.read += match part {
                        Part::Blocks(..) => scanned.stats.blocks,
                        Part::Tail(..) => 1,
                    };
                    progress.warnings.extend(warnings);
                    let added = self.cx.compute(move || {
                        merge.add(scanned)?;
                        Ok(merge)
                    });
                    merge = added.await?;
                }
                Err(failure) => progress.failed(part, failure),
            }
        }
        Ok(merge)
    }

    async fn ask(&self, part: Part) -> (Part, Result<(Scanned, Vec<Warning>), Failure>) {
        let (address, path, source) = match &part {
            Part::Blocks(address, blocks) => {
                let blocks = blocks.clone();
                (address, BLOCK_SCAN, Source::Blocks(Blocks { blocks }))
            }
            Part::Tail(address, position) => {
                let positions = vec![position.clone()];
                (address, TAIL_SCAN, Source::Tail(Tail { positions }))
            }
        };
        let ticket = exchange::encode(self.tenant, self.query, source);
        let result = match self.cx.channel(address) {
            Ok(channel) => {
                let peer = Peer {
                    address: address.clone(),
                    channel,
                    path,
                    message_bytes_max: self.limits.message_bytes_max,
                    answer_bytes_max: self.limits.answer_bytes_max,
                };
                peer.scan(&ticket, self.deadline).await
            }
            Err(error) => Err(error.into()),
        };
        (part, result)
    }
}

impl Progress {
    fn failed(&mut self, part: Part, failure: Failure) {
        match part {
            Part::Blocks(worker, blocks) => {
                tracing::warn!(worker, error = %failure, "a worker did not scan its blocks");
                self.dead.push(worker);
                self.orphans.extend(blocks);
            }
            Part::Tail(..) => {
                // What an ingester answers whose tail begins after the position that was asked for.
                self.moved |= failure.code == Code::Conflict;
                let text = format!("the newest profiles are missing, from {failure}");
                self.warnings.push(Warning::new("", failure.code, text));
            }
        }
    }
}
