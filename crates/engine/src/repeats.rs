//! Profiles that were stored more than once, by writers that did not know of each other: a client
//! sent one again, and by then another ingester took it.
//!
//! Three steps, of which the second and third are rarely needed. Sources tell in passing which series
//! they hold over which times. Where two hold one series over the same time, they are asked in which
//! deliveries it came. What was delivered twice is left out of all sources but one. All three look at
//! the same profiles: what a log got after the first counts in none. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash};

use cairn_block::{Index, Lsn, ProfileRow};
use cairn_model::{BlockId, Labels, ProfileType, TimeRange, WriterId};

/// A block, or the rows of a writer that are in no block, by a hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId(pub u64);

/// Times over which a source holds profiles of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub source: SourceId,
    /// A hash of labels and type.
    pub series: u64,
    pub times: TimeRange,
}

/// One profile as it came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    pub sent: Sent,
    pub source: SourceId,
    /// One delivery is one log entry of one source.
    pub lsn: Lsn,
}

/// What all deliveries of a profile agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    pub series: u64,
    pub batch: u128,
    pub time: i64,
    pub total: i64,
}

/// What sources are asked about repeats besides the question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    pub stretches: bool,
    /// Of these series.
    pub deliveries: BTreeSet<u64>,
    /// These are to be left out.
    pub without: BTreeSet<Delivery>,
    /// So is what came after this log entry.
    pub until: Option<Lsn>,
}

/// What sources tell about repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub stretches: Vec<Stretch>,
    pub deliveries: Vec<Delivery>,
    /// There was more than [`TOLD_MAX`] to tell.
    pub is_cut_off: bool,
    /// The last log entry with a profile that matches, if stretches were asked for.
    pub last: Option<Lsn>,
}

/// Stretches, and deliveries, that one answer may tell of.
pub const TOLD_MAX: usize = 200_000;

impl Ask {
    pub const NOTHING: Self = Self {
        stretches: false,
        deliveries: BTreeSet::new(),
        without: BTreeSet::new(),
        until: None,
    };
}

impl SourceId {
    pub fn block(id: &BlockId) -> Self {
        Self(hash(id))
    }

    /// The rows of one incarnation of a writer, wherever they are read.
    pub fn log(writer: &WriterId, incarnation: u64) -> Self {
        Self(hash(&(writer.as_str(), incarnation)))
    }
}

impl Told {
    pub fn add(&mut self, other: Self) {
        self.stretches.extend(other.stretches);
        self.deliveries.extend(other.deliveries);
        self.is_cut_off |= other.is_cut_off;
        self.last = self.last.max(other.last);
        self.is_cut_off |= self.stretches.len() > TOLD_MAX || self.deliveries.len() > TOLD_MAX;
        self.stretches.truncate(TOLD_MAX);
        self.deliveries.truncate(TOLD_MAX);
    }
}

/// Series that several sources hold over the same time, by source.
pub fn shared(stretches: &[Stretch]) -> BTreeMap<SourceId, BTreeSet<u64>> {
    let mut sorted: Vec<&Stretch> = stretches.iter().collect();
    sorted.sort_unstable_by_key(|stretch| (stretch.series, stretch.times.start));
    let mut end = i64::MIN;
    let mut meets_last = |last: &&Stretch, next: &&Stretch| {
        end = match last.series == next.series {
            true => end.max(last.times.end),
            false => i64::MIN,
        };
        last.series == next.series && next.times.start <= end
    };
    let mut shared: BTreeMap<SourceId, BTreeSet<u64>> = BTreeMap::new();
    for meeting in sorted.chunk_by(|last, next| meets_last(last, next)) {
        if meeting
            .iter()
            .any(|other| other.source != meeting[0].source)
        {
            for stretch in meeting {
                let series = shared.entry(stretch.source).or_default();
                series.insert(stretch.series);
            }
        }
    }
    shared
}

/// What to leave out of which source: of every profile that was delivered several times, all but one.
pub fn repeated(mut deliveries: Vec<Delivery>) -> BTreeMap<SourceId, BTreeSet<Delivery>> {
    deliveries.sort_unstable();
    let mut without: BTreeMap<SourceId, BTreeSet<Delivery>> = BTreeMap::new();
    for of_profile in deliveries.chunk_by(|one, next| one.sent == next.sent) {
        let first = (of_profile[0].source, of_profile[0].lsn);
        // Equal profiles of one delivery were sent apart and all count.
        for delivery in of_profile.iter().filter(|d| (d.source, d.lsn) != first) {
            let of_source = without.entry(delivery.source).or_default();
            of_source.insert(delivery.clone());
        }
    }
    without
}

/// What one source is asked, and what it tells.
#[derive(Debug)]
pub(crate) struct Teller<'a> {
    source: SourceId,
    index: &'a Index,
    ask: &'a Ask,
    /// Hashes by label set and type, as far as they were needed.
    series: HashMap<(u32, u32), u64>,
    stretches: BTreeMap<u64, TimeRange>,
    deliveries: Vec<Delivery>,
    last: Option<Lsn>,
}

impl<'a> Teller<'a> {
    pub(crate) fn new(source: SourceId, index: &'a Index, ask: &'a Ask) -> Self {
        Self {
            source,
            index,
            ask,
            series: HashMap::new(),
            stretches: BTreeMap::new(),
            deliveries: Vec::new(),
            last: None,
        }
    }

    /// Whether the profile is to be left out.
    pub(crate) fn is_without(&mut self, row: &ProfileRow) -> bool {
        let is_later = self.ask.until.is_some_and(|until| row.lsn > until);
        is_later
            || !self.ask.without.is_empty() && {
                let delivery = self.delivery(row);
                self.ask.without.contains(&delivery)
            }
    }

    /// Notes a profile that matches.
    pub(crate) fn note(&mut self, row: &ProfileRow) {
        let Ask {
            stretches,
            deliveries,
            ..
        } = self.ask;
        if *stretches {
            self.last = self.last.max(Some(row.lsn));
        }
        // Of batches without a hash repeats can't be told.
        if row.batch == 0 || !stretches && deliveries.is_empty() {
            return;
        }
        let series = self.series(row);
        if *stretches {
            let times = TimeRange {
                start: row.time,
                end: row.time,
            };
            let stretch = self.stretches.entry(series).or_insert(times);
            *stretch = stretch.union(&times);
        }
        if deliveries.contains(&series) {
            let delivery = self.delivery(row);
            self.deliveries.push(delivery);
        }
    }

    pub(crate) fn finish(self) -> Told {
        let source = self.source;
        let stretches = self.stretches.into_iter();
        let stretches = stretches.map(|(series, times)| Stretch {
            source,
            series,
            times,
        });
        let mut told = Told::default();
        told.add(Told {
            stretches: stretches.collect(),
            deliveries: self.deliveries,
            is_cut_off: false,
            last: self.last,
        });
        told
    }

    fn delivery(&mut self, row: &ProfileRow) -> Delivery {
        Delivery {
            sent: Sent {
                series: self.series(row),
                batch: row.batch,
                time: row.time,
                total: row.total,
            },
            source: self.source,
            lsn: row.lsn,
        }
    }

    /// What stands for the row's series.
    pub(crate) fn series(&mut self, row: &ProfileRow) -> u64 {
        let index = self.index;
        let known = self.series.entry((row.label_set, row.profile_type));
        *known.or_insert_with(|| {
            let labels = &index.label_sets[row.label_set as usize];
            series_of(labels, &index.types[row.profile_type as usize])
        })
    }
}

/// What stands for the profiles of one type and label set; the same in all processes of one build.
pub fn series_of(labels: &Labels, profile_type: &ProfileType) -> u64 {
    hash(&(labels, profile_type))
}

/// The same in all processes of one build.
fn hash(value: &impl Hash) -> u64 {
    foldhash::quality::FixedState::with_seed(0).hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(source: u64, series: u64, start: i64, end: i64) -> Stretch {
        Stretch {
            source: SourceId(source),
            series,
            times: TimeRange { start, end },
        }
    }

    fn delivery(source: u64, lsn: Lsn, batch: u128) -> Delivery {
        Delivery {
            sent: Sent {
                series: 7,
                batch,
                time: 5,
                total: 9,
            },
            source: SourceId(source),
            lsn,
        }
    }

    #[test]
    fn a_series_is_shared_where_two_sources_hold_it_at_the_same_time() {
        let stretches = [
            stretch(1, 10, 0, 9),
            stretch(2, 10, 9, 20),
            stretch(3, 10, 21, 30),
            // Of one source alone.
            stretch(1, 11, 0, 9),
            stretch(1, 11, 5, 7),
            // A long one meets all.
            stretch(4, 12, 0, 100),
            stretch(5, 12, 1, 2),
            stretch(6, 12, 50, 60),
        ];
        let shared = shared(&stretches);
        let expected = [(1, 10), (2, 10), (4, 12), (5, 12), (6, 12)];
        let expected =
            expected.map(|(source, series)| (SourceId(source), BTreeSet::from([series])));
        assert_eq!(shared, BTreeMap::from(expected));
    }

    #[test]
    fn of_several_deliveries_one_counts_with_all_that_is_in_it() {
        let deliveries = vec![
            delivery(2, 4, 1),
            // Sent apart, in one request.
            delivery(1, 8, 1),
            delivery(1, 8, 1),
            delivery(1, 9, 1),
            delivery(3, 3, 2),
        ];
        let without = repeated(deliveries);
        let expected = [
            (SourceId(1), BTreeSet::from([delivery(1, 9, 1)])),
            (SourceId(2), BTreeSet::from([delivery(2, 4, 1)])),
        ];
        assert_eq!(without, BTreeMap::from(expected));
    }
}
