//! Adds answers up.
//!
//! Answers may arrive in any order and may themselves be merged ones. Owns no deduplication: a
//! source that is added twice counts twice.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::{Code, ProfileType};
use cairn_trie::{Merger, Partial};

use crate::query::{Answer, Point, Question, Scanned, Series, Stats, VALUES_MAX, step_start};
use crate::repeats::Told;
use crate::select::{fold_groups, largest};
use crate::size::{POINT_BYTES, group_bytes, labels_bytes, partial_bytes, series_bytes};

/// Accumulates the answers to one question.
#[derive(Debug)]
pub struct Merge {
    answer: Partly,
    stats: Stats,
    told: Told,
    bytes_max: usize,
}

/// What calls are summed up in for which a query has no memory.
pub const FOLDED: &str = "(folded)";

#[derive(Debug)]
enum Partly {
    Stacks(Box<Stacks>),
    /// And about how much memory they take.
    Series(Series, usize),
    Names(BTreeSet<String>),
    /// Values of a label that has one per request: only the first few are kept.
    Ids(BTreeSet<String>),
    ProfileTypes(BTreeSet<ProfileType>),
}

/// Somebody answered another question than the one that was asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer of another kind than the question")]
pub struct WrongAnswer;

impl WrongAnswer {
    pub fn code(&self) -> Code {
        Code::Internal
    }
}

impl Merge {
    pub fn new(question: &Question) -> Self {
        Self::within(question, usize::MAX)
    }

    /// The answer takes about this much memory at most, besides what is added next. Of stacks the
    /// smallest groups are folded into one and the smallest calls into one below each parent;
    /// [`Stats::folded`] says how much that may hide. Series and points that come too late are left
    /// out, and [`Stats::is_cut`] says so.
    pub fn within(question: &Question, bytes_max: usize) -> Self {
        let answer = match question {
            Question::Stacks(_) => Partly::Stacks(Box::default()),
            Question::Series { .. } => Partly::Series(Series::default(), 0),
            Question::LabelValues(name) if is_id(name) => Partly::Ids(BTreeSet::new()),
            Question::LabelNames | Question::LabelValues(_) => Partly::Names(BTreeSet::new()),
            Question::ProfileTypes => Partly::ProfileTypes(BTreeSet::new()),
        };
        Self {
            answer,
            stats: Stats::default(),
            told: Told::default(),
            bytes_max,
        }
    }

    pub fn add(&mut self, scanned: Scanned) -> Result<(), WrongAnswer> {
        let Scanned {
            answer,
            stats,
            told,
        } = scanned;
        match (&mut self.answer, answer) {
            (Partly::Stacks(stacks), Answer::Stacks(partial)) => {
                let hidden = stacks.add(partial, self.bytes_max);
                self.stats.folded = self.stats.folded.saturating_add(hidden);
            }
            (Partly::Series(sum, bytes), Answer::Series(series)) => {
                *bytes += series_bytes(&series);
                if *bytes > self.bytes_max {
                    // What is there twice was counted twice.
                    *bytes = series_bytes(sum) + series_bytes(&series);
                }
                match *bytes > self.bytes_max {
                    true => {
                        let room = self.bytes_max.saturating_sub(series_bytes(sum));
                        self.stats.is_cut |= sum.add_within(series, room);
                        *bytes = series_bytes(sum);
                    }
                    false => sum.add(series),
                }
            }
            (Partly::Names(all), Answer::Names(names)) => all.extend(names),
            (Partly::Ids(all), Answer::Names(names)) => {
                all.extend(names);
                keep_first(all);
            }
            (Partly::ProfileTypes(all), Answer::ProfileTypes(types)) => all.extend(types),
            _ => return Err(WrongAnswer),
        }
        self.stats.add(&stats);
        self.told.add(told);
        Ok(())
    }

    pub fn finish(self) -> Scanned {
        let answer = match self.answer {
            Partly::Stacks(stacks) => Answer::Stacks(stacks.merger.finish()),
            Partly::Series(series, _) => Answer::Series(series),
            Partly::Names(names) | Partly::Ids(names) => Answer::Names(names),
            Partly::ProfileTypes(types) => Answer::ProfileTypes(types),
        };
        Scanned {
            answer,
            stats: self.stats,
            told: self.told,
        }
    }
}

/// Stacks that are added up.
#[derive(Debug, Default)]
struct Stacks {
    merger: Merger,
    /// About how much memory they take, what is not merged yet counted apart.
    bytes: usize,
}

impl Stacks {
    /// Says what the largest call had that was folded.
    fn add(&mut self, partial: Partial, bytes_max: usize) -> u64 {
        self.bytes += partial_bytes(&partial);
        self.merger.add(partial);
        if self.bytes <= bytes_max {
            return 0;
        }
        let sum = std::mem::take(&mut self.merger).finish();
        // Half, so that this is not done anew for whatever comes next.
        let (sum, hidden) = fitted(sum, bytes_max / 2);
        self.bytes = partial_bytes(&sum);
        self.merger.add(sum);
        hidden
    }
}

/// Groups take half of the memory at most, so that there is some for calls.
fn fitted(mut sum: Partial, bytes_max: usize) -> (Partial, u64) {
    let part = |count: usize, bytes_max: usize, bytes: usize| {
        (count as u128 * bytes_max as u128 / bytes.max(1) as u128) as usize
    };
    let (groups, mut hidden) = (group_bytes(&sum), 0);
    if partial_bytes(&sum) > bytes_max && groups > bytes_max / 2 {
        let kept = part(sum.groups.len(), bytes_max / 2, groups);
        (sum, hidden) = fold_groups(sum, kept, FOLDED);
    }
    // What is left has other symbols and values per node than what is not.
    let mut nodes = sum.trie.len();
    while partial_bytes(&sum) > bytes_max && nodes > 0 {
        nodes = part(nodes, bytes_max, partial_bytes(&sum)).min(nodes / 2);
        let (smaller, more) = largest(&sum, nodes, FOLDED);
        sum = smaller;
        hidden = hidden.saturating_add(more);
    }
    (sum, hidden)
}

/// Whether a label has about one value per request.
pub(crate) fn is_id(label: &str) -> bool {
    matches!(label, "trace_id" | "span_id")
}

pub(crate) fn keep_first(values: &mut BTreeSet<String>) {
    while values.len() > VALUES_MAX {
        values.pop_last();
    }
}

impl Stats {
    /// Sums the figures; the periods stay only if they agree.
    pub fn add(&mut self, other: &Self) {
        self.period = match (self.profiles, other.profiles) {
            (0, _) => other.period,
            (_, 0) => self.period,
            _ if self.period == other.period => self.period,
            _ => 0,
        };
        self.profiles += other.profiles;
        self.rows += other.rows;
        self.blocks += other.blocks;
        self.duration = self.duration.saturating_add(other.duration);
        self.folded = self.folded.saturating_add(other.folded);
        self.is_cut |= other.is_cut;
        self.range = match (self.range, other.range) {
            (Some(a), Some(b)) => Some(a.union(&b)),
            (a, b) => a.or(b),
        };
    }
}

impl Point {
    /// Sums the values; the earliest profiles of either decide about `first`.
    pub fn add(&mut self, other: &Self) {
        if other.profiles == 0 {
            return;
        }
        if self.profiles == 0 {
            *self = *other;
            return;
        }
        self.value = self.value.wrapping_add(other.value);
        self.profiles += other.profiles;
        self.duration = self.duration.min(other.duration);
        self.last_time = self.last_time.max(other.last_time);
        match self.first_time.cmp(&other.first_time) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => self.first = self.first.wrapping_add(other.first),
            std::cmp::Ordering::Greater => {
                (self.first, self.first_time) = (other.first, other.first_time);
            }
        }
    }
}

impl Series {
    /// Adds point to point.
    pub fn add(&mut self, other: Self) {
        if self.0.is_empty() {
            *self = other;
            return;
        }
        for (labels, points) in other.0 {
            let sums: &mut BTreeMap<i64, Point> = self.0.entry(labels).or_default();
            for (time, point) in points {
                sums.entry(time).or_default().add(&point);
            }
        }
    }

    /// Adds to points that are there, and others as long as there is room for them; says whether some
    /// are left out.
    fn add_within(&mut self, other: Self, mut room: usize) -> bool {
        let mut is_cut = false;
        for (labels, points) in other.0 {
            if !self.0.contains_key(&labels) {
                let first = labels_bytes(&labels) + POINT_BYTES;
                if points.is_empty() || first > room {
                    is_cut |= !points.is_empty();
                    continue;
                }
                room -= labels_bytes(&labels);
            }
            let sums = self.0.entry(labels).or_default();
            for (time, point) in points {
                if !sums.contains_key(&time) {
                    let Some(rest) = room.checked_sub(POINT_BYTES) else {
                        is_cut = true;
                        continue;
                    };
                    room = rest;
                }
                sums.entry(time).or_default().add(&point);
            }
        }
        is_cut
    }

    /// Sums the points of each step, which begins at a multiple of `step` nanoseconds; `0` keeps
    /// every time apart.
    pub fn stepped(self, step: i64) -> Self {
        if step <= 0 {
            return self;
        }
        let mut out = Self::default();
        for (labels, points) in self.0 {
            let sums = out.0.entry(labels).or_default();
            for (time, point) in points {
                sums.entry(step_start(time, step)).or_default().add(&point);
            }
        }
        out
    }

    /// Sums the series that agree in `names`, `first` included: what types that are not delta need,
    /// once all sources of the single label sets are merged.
    pub fn sum_by(&self, names: &[String]) -> Self {
        let mut out = Self::default();
        for (labels, points) in &self.0 {
            let kept = labels
                .iter()
                .filter(|(name, _)| names.iter().any(|wanted| wanted == name));
            let group =
                cairn_model::Labels::from_pairs(kept).expect("a part of valid labels is valid");
            let sums = out.0.entry(group).or_default();
            for (time, point) in points {
                let sum = sums.entry(*time).or_default();
                let first = sum.first.wrapping_add(point.first);
                sum.add(point);
                sum.first = first;
                sum.first_time = sum.first_time.min(point.first_time);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::{Function, Line, NONE};
    use cairn_testkit::generator::Rng;
    use cairn_trie::{Interner, Trie, TrieBuilder, Value};

    use super::*;
    use crate::{Flame, GroupBy, KeyBy, Kind};

    /// Stacks of up to five calls of ten functions, with what each has.
    fn some(rng: &mut Rng) -> Partial {
        let mut interner = Interner::default();
        let mut trie = TrieBuilder::default();
        let mut values: BTreeMap<u32, i64> = BTreeMap::new();
        for _ in 0..50 {
            let mut node = Trie::ROOT;
            for _ in 0..=rng.below(5) {
                let name = interner.str(&format!("f{}", rng.below(10)));
                let function = interner.function(Function {
                    name,
                    ..Function::default()
                });
                let line = Line {
                    function,
                    ..Line::default()
                };
                node = trie.child(node, interner.location(NONE, 0, &[line]));
            }
            *values.entry(node).or_default() += 1 + rng.below(1000) as i64;
        }
        let values = values.into_iter();
        let values = values.map(|(node, value)| Value {
            node,
            group: 0,
            value,
        });
        Partial {
            symbols: interner.into_symbols(),
            trie: trie.into_trie(),
            values: values.collect(),
            ..Partial::default()
        }
    }

    /// Path of names -> what the call has.
    fn calls(partial: &Partial) -> BTreeMap<Vec<String>, i64> {
        let flame = Flame::build(partial, KeyBy::default());
        let mut paths: Vec<Vec<String>> = Vec::new();
        let mut calls = BTreeMap::new();
        for node in &flame.nodes {
            let mut path = match node.kind {
                Kind::Root => Vec::new(),
                _ => paths[node.parent as usize].clone(),
            };
            path.push(flame.name(node).into_owned());
            calls.insert(path.clone(), node.cumulative);
            paths.push(path);
        }
        calls
    }

    #[test]
    fn what_there_is_no_memory_for_is_bounded_by_what_is_said() {
        let mut rng = Rng::new(7);
        let question = Question::Stacks(GroupBy::Nothing);
        for _ in 0..20 {
            let (mut whole, mut tight) = (Merge::new(&question), Merge::within(&question, 20_000));
            for _ in 0..20 {
                let scanned = Scanned {
                    answer: Answer::Stacks(some(&mut rng)),
                    stats: Stats::default(),
                    told: Told::default(),
                };
                whole.add(scanned.clone()).expect("stacks");
                tight.add(scanned).expect("stacks");
            }
            let (whole, tight) = (whole.finish(), tight.finish());
            assert_eq!(whole.stats.folded, 0);
            let bound = tight.stats.folded as i64;
            let (Answer::Stacks(whole), Answer::Stacks(tight)) = (whole.answer, tight.answer)
            else {
                panic!("stacks");
            };
            assert!(partial_bytes(&tight) <= 20_000);
            assert_eq!(whole.total(), tight.total());
            let (whole, tight) = (calls(&whole), calls(&tight));
            assert!(tight.len() < whole.len() && bound > 0);
            for (path, value) in &whole {
                let shown = tight.get(path).copied().unwrap_or(0);
                assert!(
                    (0..=bound).contains(&(value - shown)),
                    "{path:?} {value} {shown}"
                );
            }
            let folded = |path: &Vec<String>| path.iter().any(|name| name == FOLDED);
            assert!(
                tight
                    .keys()
                    .all(|path| folded(path) || whole.contains_key(path))
            );
        }
    }
}
