//! What a catalog must have known, told by the bucket alone: the origins of blocks, and logs.
//!
//! Owns the decision which of the blocks found are live and how far each log is in them. Pure: who
//! reads the bucket is another's business, and who deletes what is dead is the sweep's, later.
//!
//! # The goal
//!
//! Every entry that was ever acknowledged is, for its tenant, in exactly one live block, or in a log
//! behind the position up to which that log is said to be in blocks; none is in both.
//!
//! # What is certain
//!
//! *A block is faithful.* It holds all that its tenant has in its stretches, and nothing else, whether
//! or not a catalog ever heard of it: entries get into blocks once they are durable, and a position
//! of a log means one entry for ever. So only overlaps and holes matter, not which of two equal
//! blocks was the one in the catalog. Of a profile that was delivered several times a merged block
//! may lack all deliveries but the least, and that one no block lacks.
//!
//! *Commits are a gapless chain*, from position 1 of each log on. A block of level 0 is written by
//! whoever will commit the whole stretch that begins right behind the position at that time. So a
//! block of level 0 that begins at `n + 1`, even one without a commit, proves that the catalog
//! was at `n`. A merge takes live blocks only, so the ends of its stretches are such positions too,
//! even if the merged block never became live. Everything up to the last proven position was
//! committed.
//!
//! *A stretch that reaches over a proven position was never committed*: its commit would have gone
//! past that position without a stop. The exception is somebody who worked on for a catalog that
//! was lost, after another was made in its place; so such blocks are doubtful, and taken only for
//! what no other block holds.
//!
//! *Between two neighbouring proven positions* a tenant may have several blocks of level 0 that begin
//! at the first: attempts that were repeated, by the writer or by recoveries with other cuts. The
//! longest has all that the others have. What the tenant has behind its end and before the second
//! position is in no block of level 0, since that would prove a position in between: it is in merged
//! blocks that cover the whole distance, or there is nothing.
//!
//! *Of a log only what is committed is deleted.* So what comes before the first entry left was
//! committed, and so was everything if nothing is left.
//!
//! # What is decided
//!
//! *The last commit.* Whether blocks that begin at the last proven position were committed can't be
//! told. If all `siblings` of one attempt are there, they may be taken as committed: if they were
//! not, their entries are left out of the log instead. Of several complete attempts the longest is
//! taken: the log may begin behind it. An incomplete attempt was never committed, or else its
//! blocks would be there: its entries are in the log. Where the log is not, a sibling was deleted
//! or can't be read: that is a conflict, and the attempt that reaches as far as the log demands is
//! taken.
//!
//! *Merged blocks and their inputs.* What was live covers everything that is left of a tenant, once.
//! So there is a choice of blocks that covers every stretch once, and since blocks are faithful, each
//! such choice is right. [`cover`] looks for it, for each group of blocks that overlap: it takes the
//! larger block first, of equal ones the newer, and never takes two that overlap. If every choice leaves something out (blocks
//! were deleted, or can't be read) the best is taken, which is a conflict.
//!
//! # What can't be told
//!
//! Blocks that were deleted for their age while their objects are still there become live again, to
//! be deleted again. Blocks of format version 1 don't say where they come from: each is taken as
//! live unless one that was merged of it is there. A log of incarnation 0 is on its writer's disk, so
//! nobody knows here what is left in it; if it was begun anew from 1 under the name of an old one,
//! old blocks look like copies of new ones. Tenants' settings, tokens and the shard map are in no
//! block.
//!
//! Whoever rebuilds ends all writers first: an entry acknowledged after the bucket was listed is in
//! no plan, though it is found if its log is, since every log without a fence is recovered.

mod chain;
mod cover;
mod state;
mod tenant;

use std::collections::BTreeMap;

use cairn_model::{BlockId, Stretch, TenantId, WriterId};

use crate::BlockMeta;

use self::chain::Chains;

/// A block that is in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub meta: BlockMeta,
    /// Where its rows come from; coalesced.
    pub origins: Vec<Stretch>,
    /// Blocks of unknown origin whose rows are in it; itself, if its own origin is not known.
    pub unknown: Vec<BlockId>,
    /// How many blocks of its commit there were, if it is of level 0.
    pub siblings: u32,
}

/// A log that is in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLog {
    pub writer: WriterId,
    pub incarnation: u64,
    /// The first entry that is there, or the next one if there is none.
    pub first: u64,
    /// Behind the last entry.
    pub end: u64,
    /// Nobody can append to it any more.
    pub is_fenced: bool,
}

/// What the catalog must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub live: Vec<BlockMeta>,
    pub dead: Vec<(BlockMeta, Dead)>,
    pub logs: Vec<LogPosition>,
    /// What is not as it should be. Without any, nothing is lost or doubled.
    pub conflicts: Vec<Conflict>,
    /// Live blocks that hold rows of unknown origin.
    pub unknown: usize,
}

/// How far a log is in blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPosition {
    pub writer: WriterId,
    /// 0: the one log of all incarnations.
    pub incarnation: u64,
    pub flushed_lsn: u64,
    /// Entries behind that in the bucket.
    pub left: u64,
    /// Whether the log is in the bucket and must be closed off and read to its end.
    pub is_unfinished: bool,
}

/// Why a block is not live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dead {
    /// Its commit never happened, and its rows are in the log.
    Uncommitted,
    /// Its commit never happened, since another one did, which begins at the same position.
    Outrun,
    /// Another block has the same stretch.
    Repeated,
    /// Its rows are in live blocks: it was merged, or is a merge that was refused.
    Covered,
    /// It overlaps a live block, and some of its rows are in none.
    Lost,
}

/// What can't be put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Live blocks of the tenant leave out some of what these hold, lest other rows be there twice.
    LeftOut {
        tenant: TenantId,
        blocks: Vec<BlockId>,
    },
    /// Blocks of a commit are missing, and so are the entries in the log; what is there is taken. Or
    /// a commit without any row followed one that is whole, and nothing is missing.
    Incomplete { stretch: Stretch, missing: u32 },
    /// The log ends before what blocks hold of it.
    Short { stretch: Stretch, end: u64 },
}

/// Decides; see the module for how.
pub fn plan(blocks: Vec<Found>, logs: &[FoundLog]) -> Plan {
    let mut plan = Plan::default();
    let mut chains = Chains::new(&blocks, logs);
    plan.conflicts = chains.decide();
    plan.logs = chains.positions();
    let mut tenants: BTreeMap<TenantId, Vec<Found>> = BTreeMap::new();
    for found in blocks {
        let tenant = found.meta.tenant.clone();
        tenants.entry(tenant).or_default().push(found);
    }
    for (tenant, found) in tenants {
        tenant::decide(&tenant, found, &chains, &mut plan);
    }
    plan
}

impl Found {
    /// The stretch, if this is a block as it was written for a commit, merged with nothing.
    fn attempt(&self) -> Option<&Stretch> {
        match &self.origins[..] {
            [one] if self.meta.level == 0 => Some(one),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
