//! What one call asks for.

use cairn_catalog::BlockMeta;

use crate::error::Warning;
use crate::explain::{Read, Step};
use crate::peers::Failure;
use crate::plan::{self, Doubtful, Position, Share, Tail};
use crate::scan::Answered;

#[derive(Clone, Debug)]
pub(super) enum Part {
    Blocks(String, Vec<BlockMeta>),
    /// Of several workers, of which the first merges the answers.
    Shares(Vec<Share>),
    Tail(Tail),
    Log(Position),
}

impl Part {
    /// What one worker is asked: apart what may be in other sources as well.
    pub(super) fn blocks(
        (worker, blocks): (String, Vec<BlockMeta>),
        doubtful: &Doubtful,
    ) -> Vec<Self> {
        let is_doubtful = |block: &BlockMeta| doubtful.blocks.contains(&block.id);
        let (shared, own): (Vec<_>, Vec<_>) = blocks.into_iter().partition(is_doubtful);
        let parts = [shared, own].into_iter().filter(|of| !of.is_empty());
        parts.map(|of| Self::Blocks(worker.clone(), of)).collect()
    }

    /// The same parts, so few that one process can merge their answers.
    pub(super) fn grouped(parts: Vec<Self>, doubtful: &Doubtful, fan_in_max: usize) -> Vec<Self> {
        let (mut shares, mut grouped) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Self::Blocks(worker, blocks) if !doubtful.has_any(&blocks) => {
                    shares.push((worker, blocks));
                }
                other => grouped.push(other),
            }
        }
        let groups = plan::grouped(shares, fan_in_max).into_iter();
        grouped.extend(groups.map(|group| match <[Share; 1]>::try_from(group) {
            Ok([(worker, blocks)]) => Self::Blocks(worker, blocks),
            Err(group) => Self::Shares(group),
        }));
        grouped
    }

    /// What asking for it took.
    pub(super) fn step(&self, result: &Result<Answered, Failure>) -> Step {
        let (source, address, blocks) = match self {
            Self::Blocks(worker, blocks) => {
                let ids = blocks.iter().map(|block| block.id.to_string());
                ("blocks", worker.clone(), ids.collect())
            }
            Self::Shares(shares) => {
                let blocks = shares.iter().flat_map(|(_, blocks)| blocks);
                let ids = blocks.map(|block| block.id.to_string());
                ("blocks", shares[0].0.clone(), ids.collect())
            }
            Self::Tail(tail) => ("tail", tail.address.clone(), Vec::new()),
            Self::Log(position) => ("log", position.writer.to_string(), Vec::new()),
        };
        let (read, error) = match result {
            Ok((scanned, cost, warnings)) => {
                let first = warnings.first().map(Warning::to_string);
                (Read::of(&scanned.stats, *cost), first)
            }
            Err(failure) => (Read::default(), Some(failure.to_string())),
        };
        Step {
            source,
            address,
            blocks,
            read,
            error: error.unwrap_or_default(),
            ..Step::default()
        }
    }

    /// Whether it is blocks that share nothing with other sources.
    pub(super) fn is_settled(&self, doubtful: &Doubtful) -> bool {
        matches!(self, Self::Blocks(..) | Self::Shares(_)) && !self.is_in(doubtful)
    }

    pub(super) fn is_in(&self, doubtful: &Doubtful) -> bool {
        match self {
            Self::Blocks(_, blocks) => doubtful.has_any(blocks),
            // Only what is settled is grouped.
            Self::Shares(_) => false,
            Self::Tail(_) | Self::Log(_) => doubtful.rest,
        }
    }
}
