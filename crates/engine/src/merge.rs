//! Adds answers up.
//!
//! Answers may arrive in any order and may themselves be merged ones. Owns no deduplication: a
//! source that is added twice counts twice.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::{Code, ProfileType};
use cairn_trie::Merger;

use crate::query::{Answer, Point, Question, Scanned, Series, Stats, VALUES_MAX, step_start};
use crate::repeats::Told;

/// Accumulates the answers to one question.
#[derive(Debug)]
pub struct Merge {
    answer: Partly,
    stats: Stats,
    told: Told,
}

#[derive(Debug)]
enum Partly {
    Stacks(Box<Merger>),
    Series(Series),
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
        let answer = match question {
            Question::Stacks(_) => Partly::Stacks(Box::default()),
            Question::Series { .. } => Partly::Series(Series::default()),
            Question::LabelValues(name) if is_id(name) => Partly::Ids(BTreeSet::new()),
            Question::LabelNames | Question::LabelValues(_) => Partly::Names(BTreeSet::new()),
            Question::ProfileTypes => Partly::ProfileTypes(BTreeSet::new()),
        };
        Self {
            answer,
            stats: Stats::default(),
            told: Told::default(),
        }
    }

    pub fn add(&mut self, scanned: Scanned) -> Result<(), WrongAnswer> {
        let Scanned {
            answer,
            stats,
            told,
        } = scanned;
        match (&mut self.answer, answer) {
            (Partly::Stacks(merger), Answer::Stacks(partial)) => merger.add(partial),
            (Partly::Series(sum), Answer::Series(series)) => sum.add(series),
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
            Partly::Stacks(merger) => Answer::Stacks(merger.finish()),
            Partly::Series(series) => Answer::Series(series),
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
