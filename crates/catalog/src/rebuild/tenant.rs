//! Blocks of one tenant: which of them are live together.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use cairn_model::{BlockId, Stretch, TenantId, WriterId};

use super::chain::{Chain, Chains};
use super::{Conflict, Dead, Found, Plan, cover};
use crate::BlockMeta;

type Log<'a> = (&'a WriterId, u64);

/// Puts each block among the live or the dead.
pub(super) fn decide(tenant: &TenantId, blocks: Vec<Found>, chains: &Chains, plan: &mut Plan) {
    let (blocks, dead) = sift(blocks, chains);
    plan.dead.extend(dead);
    let sets = Distances::of(&blocks).sets(&blocks, chains);
    let covering = cover::choose(&sets);
    for group in covering.groups.iter().filter(|group| group.left_out > 0) {
        let lost = |set: &&usize| covering.fates[**set] == cover::Fate::LeftOut;
        let lost = group.sets.iter().filter(lost);
        plan.conflicts.push(Conflict::LeftOut {
            tenant: tenant.clone(),
            blocks: lost.map(|set| blocks[*set].meta.id).collect(),
        });
    }
    for (found, fate) in blocks.into_iter().zip(covering.fates) {
        let is_doubtful = is_doubtful(&found, chains);
        match fate {
            cover::Fate::Chosen => {
                plan.unknown += usize::from(!found.unknown.is_empty());
                plan.live.push(found.meta);
            }
            _ if is_doubtful => plan.dead.push((found.meta, Dead::Outrun)),
            cover::Fate::Covered => plan.dead.push((found.meta, Dead::Covered)),
            cover::Fate::LeftOut => plan.dead.push((found.meta, Dead::Lost)),
        }
    }
}

/// Sorts out blocks of level 0 that may not have been committed, and all but the longest of those
/// that begin at the same position. Of those that can't have been, all but one with the same stretch.
fn sift(blocks: Vec<Found>, chains: &Chains) -> (Vec<Found>, Vec<(BlockMeta, Dead)>) {
    let mut kept: Vec<Found> = Vec::new();
    let mut dead = Vec::new();
    let mut longest: BTreeMap<(WriterId, u64, u64, Option<u64>), Found> = BTreeMap::new();
    for found in blocks {
        let Some(stretch) = found.attempt() else {
            kept.push(found);
            continue;
        };
        let flushed = chains.get(stretch).map_or(0, Chain::flushed);
        if stretch.to > flushed {
            dead.push((found.meta, Dead::Uncommitted));
            continue;
        }
        let Stretch {
            writer,
            incarnation,
            from,
            to,
        } = stretch.clone();
        let doubtful = is_doubtful(&found, chains).then_some(to);
        let key = (writer, incarnation, from, doubtful);
        let rank = |found: &Found| (found.origins[0].to, Reverse(found.meta.id));
        let (winner, loser) = match longest.remove(&key) {
            Some(other) if rank(&other) > rank(&found) => (other, Some(found)),
            other => (found, other),
        };
        longest.insert(key, winner);
        dead.extend(loser.map(|loser| (loser.meta, Dead::Repeated)));
    }
    kept.extend(longest.into_values());
    kept.sort_by_key(|found| found.meta.id);
    (kept, dead)
}

/// Whether the block was never committed, as far as the positions of its log tell.
fn is_doubtful(found: &Found, chains: &Chains) -> bool {
    let crosses = |stretch: &Stretch| {
        let chain = chains.get(stretch);
        chain.is_some_and(|chain| chain.is_crossed_by(stretch))
    };
    found.attempt().is_some_and(crosses)
}

/// What the tenant's blocks hold, cut at the ends of all their stretches and numbered.
struct Distances<'a> {
    /// Per log where a distance begins or ends, and the number of the first distance.
    cuts: BTreeMap<Log<'a>, (Vec<u64>, u32)>,
    unknown: BTreeMap<BlockId, u32>,
}

impl<'a> Distances<'a> {
    fn of(blocks: &'a [Found]) -> Self {
        let mut cuts: BTreeMap<Log<'a>, (Vec<u64>, u32)> = BTreeMap::new();
        for stretch in blocks.iter().flat_map(|found| &found.origins) {
            let (cuts, _) = cuts.entry(log_of(stretch)).or_default();
            cuts.extend([stretch.from.saturating_sub(1), stretch.to]);
        }
        let mut next = 0;
        for (cuts, first) in cuts.values_mut() {
            cuts.sort_unstable();
            cuts.dedup();
            *first = next;
            next += cuts.len() as u32;
        }
        let mut unknown = BTreeMap::new();
        for id in blocks.iter().flat_map(|found| &found.unknown) {
            unknown.entry(*id).or_insert_with(|| {
                next += 1;
                next - 1
            });
        }
        Self { cuts, unknown }
    }

    /// Numbers of what each block holds, ascending.
    fn sets(&self, blocks: &[Found], chains: &Chains) -> Vec<cover::Set> {
        let set = |found: &Found| {
            let mut set: Vec<u32> = Vec::new();
            for stretch in &found.origins {
                let (cuts, first) = &self.cuts[&log_of(stretch)];
                let at = |cut| *first + cuts.partition_point(|other| *other < cut) as u32;
                set.extend(at(stretch.from.saturating_sub(1))..at(stretch.to));
            }
            set.extend(found.unknown.iter().map(|id| self.unknown[id]));
            set.sort_unstable();
            set.dedup();
            cover::Set {
                elements: set,
                is_doubtful: is_doubtful(found, chains),
            }
        };
        blocks.iter().map(set).collect()
    }
}

fn log_of(stretch: &Stretch) -> Log<'_> {
    (&stretch.writer, stretch.incarnation)
}
