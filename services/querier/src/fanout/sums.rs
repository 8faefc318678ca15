//! What a plan's answers add up to. The sum over blocks that share nothing with other sources is
//! kept for the next time: it stays right for as long as there are these blocks.

use std::sync::Arc;

use cairn_chassis::Job;
use cairn_engine::exchange::Cost;
use cairn_engine::{Merge, Query, Question, Scanned, WrongAnswer};
use cairn_model::TenantId;
use cairn_wire::cairn::catalog::v1::BlockMeta;

use super::Part;
use crate::answers::{Answers, Key};
use crate::explain::{Read, Step};
use crate::plan::Doubtful;
use crate::sum::Sum;

/// Answers that are added up as they come.
#[derive(Debug)]
pub(super) struct Sums {
    /// Of blocks that share nothing with other sources.
    settled: Sum,
    rest: Sum,
    bytes_max: usize,
}

/// The blocks that share nothing with other sources.
#[derive(Debug)]
pub(super) struct Settled {
    /// Ids.
    blocks: Vec<String>,
    key: Option<Key>,
    pub(super) kept: Option<Arc<Scanned>>,
}

impl Sums {
    pub(super) fn new(question: &Question, bytes_max: usize) -> Self {
        Self {
            settled: Sum::within(question, bytes_max),
            rest: Sum::within(question, bytes_max),
            bytes_max,
        }
    }

    pub(super) async fn add(
        mut self,
        job: &Job,
        (scanned, is_settled): (Scanned, bool),
    ) -> Result<Self, WrongAnswer> {
        match is_settled {
            true => self.settled = self.settled.add(job, scanned).await?,
            false => self.rest = self.rest.add(job, scanned).await?,
        }
        Ok(self)
    }

    /// The sum of all. That of what is settled is kept if nothing was left out of it.
    pub(super) fn finish(
        self,
        question: &Question,
        settled: Settled,
        answers: &Answers,
    ) -> Result<Scanned, WrongAnswer> {
        let Settled { kept, key, .. } = settled;
        let sum = match kept {
            Some(kept) => Arc::unwrap_or_clone(kept),
            None => {
                let sum = self.settled.finish()?;
                if let Some(key) = key.filter(|_| !sum.stats.is_cut) {
                    answers.keep_scanned(key, &Arc::new(sum.clone()));
                }
                sum
            }
        };
        let rest = self.rest.finish()?;
        if rest.stats.profiles == 0 {
            let mut sum = sum;
            sum.stats.add(&rest.stats);
            return Ok(sum);
        }
        let mut all = Merge::within(question, self.bytes_max);
        all.add(sum)?;
        all.add(rest)?;
        Ok(all.finish())
    }
}

impl Settled {
    pub(super) fn among(
        parts: &[Part],
        doubtful: &Doubtful,
        (tenant, query, answers): (&TenantId, &Query, &Answers),
    ) -> Self {
        let settled = parts.iter().filter(|part| part.is_settled(doubtful));
        let blocks = settled.flat_map(|part| match part {
            Part::Blocks(_, blocks) => blocks.as_slice(),
            // Nothing is grouped yet.
            Part::Shares(_) | Part::Tail(_) | Part::Log(_) => &[],
        });
        let blocks: Vec<BlockMeta> = blocks.cloned().map(Into::into).collect();
        let ids = blocks.iter().map(|block| block.id.clone()).collect();
        let key = Key::of_plan(tenant, query, blocks);
        let kept = key.as_ref().and_then(|key| answers.scanned(key));
        Self {
            blocks: ids,
            key,
            kept,
        }
    }

    pub(super) fn is_one_block(&self) -> bool {
        self.key.is_some() && self.blocks.len() == 1
    }

    /// What is not whole is not kept.
    pub(super) fn forget(&mut self) {
        self.key = None;
    }

    /// What was saved by its being kept.
    pub(super) fn step(&self, kept: &Scanned) -> Step {
        let cost = Cost {
            bytes: 0,
            kept_blocks: kept.stats.blocks,
        };
        Step {
            source: "kept",
            blocks: self.blocks.clone(),
            read: Read::of(&kept.stats, cost),
            ..Step::default()
        }
    }
}
