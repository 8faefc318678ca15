//! Batches that were stored more than once.
//!
//! A delivery is one entry of one log. Of several deliveries of a profile the least counts, in the
//! order of logs and of positions in them. No block sees that order differently, so whoever leaves
//! repeats out, whichever blocks it compared, never leaves out the one that counts: blocks stay
//! right in any combination, also in one that a catalog made anew chose.

use cairn_model::{Labels, ProfileType};
use hashbrown::{HashMap, HashSet};

use crate::origins::LogName;
use crate::tables::{Index, Lsn, ProfileRow};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Hashes of batches.
pub type Batches = HashSet<u128, foldhash::fast::RandomState>;

/// Profiles, and the logs that they came from.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    pub index: &'a Index,
    /// What [`ProfileRow::log`] counts.
    pub logs: &'a [LogName],
}

/// What the inputs of a merge have in common with another block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// Per input and profile: whether the other block holds a lesser delivery of it.
    pub ours: Vec<Vec<bool>>,
    /// Per input: whether it holds a lesser delivery of one of the other block's profiles.
    pub theirs: Vec<bool>,
}

/// What two deliveries of one batch agree on, profile by profile.
#[derive(PartialEq, Eq, Hash)]
struct Sent<'a> {
    batch: u128,
    labels: &'a Labels,
    profile_type: &'a ProfileType,
    time: i64,
    total: i64,
}

/// Rank of the log, position in it.
type Delivery = (u32, Lsn);

/// Ranks of the logs of one index; those of unknown logs come last, each a log of its own.
struct Ranks {
    known: Vec<u32>,
    unknown: u32,
}

/// Per index and profile: whether it repeats one that came in a lesser delivery of its batch.
///
/// Equal profiles of one delivery were sent apart and all count.
pub(crate) fn repeats(all: &[Held<'_>]) -> Vec<Vec<bool>> {
    let ranks = Ranks::of(all);
    let mut least: Map<Sent<'_>, Delivery> = Map::default();
    for (held, ranks) in all.iter().zip(&ranks) {
        for (sent, delivery) in held.sent(ranks) {
            let least = least.entry(sent).or_insert(delivery);
            *least = delivery.min(*least);
        }
    }
    let repeated = |(held, ranks): (&Held<'_>, &Ranks)| {
        let rows = held.index.profiles.iter();
        let is_least = |row| least.get(&held.key(row)) == Some(&ranks.delivery(row));
        rows.map(|row| row.batch != 0 && !is_least(row)).collect()
    };
    all.iter().zip(&ranks).map(repeated).collect()
}

/// Compares the inputs of a merge with a block that stays outside of it. Of the latter, profiles of
/// unknown logs are not looked at: nobody could tell which delivery is less.
pub fn shared(inputs: &[Held<'_>], other: Held<'_>) -> Shared {
    let all: Vec<Held<'_>> = inputs.iter().copied().chain([other]).collect();
    let ranks = Ranks::of(&all);
    let (other_ranks, ranks) = ranks.split_last().expect("the other one is there");
    let mut theirs: Map<Sent<'_>, Delivery> = Map::default();
    for (sent, delivery) in other.sent(other_ranks) {
        if delivery.0 != other_ranks.unknown {
            let least = theirs.entry(sent).or_insert(delivery);
            *least = delivery.min(*least);
        }
    }
    let mut shared = Shared::default();
    for (held, ranks) in inputs.iter().zip(ranks) {
        let mut is_lesser = false;
        let mut is_repeat = |row: &ProfileRow| match theirs.get(&held.key(row)) {
            Some(their) if row.batch != 0 => {
                let our = ranks.delivery(row);
                is_lesser |= our < *their;
                *their < our
            }
            _ => false,
        };
        let rows = held.index.profiles.iter();
        shared.ours.push(rows.map(&mut is_repeat).collect());
        shared.theirs.push(is_lesser);
    }
    shared
}

impl<'a> Held<'a> {
    /// Batches of the profiles.
    pub fn batches(&self) -> impl Iterator<Item = u128> + use<'a> {
        let batches = self.index.profiles.iter().map(|row| row.batch);
        batches.filter(|batch| *batch != 0)
    }

    /// Profiles of which repeats can be told.
    fn sent(self, ranks: &Ranks) -> impl Iterator<Item = (Sent<'a>, Delivery)> {
        let rows = self.index.profiles.iter().filter(|row| row.batch != 0);
        rows.map(move |row| (self.key(row), ranks.delivery(row)))
    }

    fn key(&self, row: &ProfileRow) -> Sent<'a> {
        Sent {
            batch: row.batch,
            labels: &self.index.label_sets[row.label_set as usize],
            profile_type: &self.index.types[row.profile_type as usize],
            time: row.time,
            total: row.total,
        }
    }
}

impl Ranks {
    fn of(all: &[Held<'_>]) -> Vec<Self> {
        let mut logs: Vec<&LogName> = all.iter().flat_map(|held| held.logs).collect();
        logs.sort_unstable();
        logs.dedup();
        let ranks = |(at, held): (usize, &Held<'_>)| {
            let rank = |log| logs.binary_search(&log).expect("every log is in the list") as u32;
            Self {
                known: held.logs.iter().map(rank).collect(),
                unknown: (logs.len() + at) as u32,
            }
        };
        all.iter().enumerate().map(ranks).collect()
    }

    fn delivery(&self, row: &ProfileRow) -> Delivery {
        let rank = self.known.get(row.log as usize).copied();
        (rank.unwrap_or(self.unknown), row.lsn)
    }
}
