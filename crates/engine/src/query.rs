//! What can be asked, and what comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_model::{Labels, Matcher, ProfileType, TimeRange};
use cairn_trie::Partial;

use crate::repeats::Told;
use crate::weights::Weights;

/// Values of `trace_id` or `span_id` in one answer, at most: nobody picks one from a longer list.
pub const VALUES_MAX: usize = 1_000;

/// One question about the rows that match.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Rows of all types match if absent.
    pub profile_type: Option<ProfileType>,
    /// All must hold. A label of a single sample counts like one of its profile, which wins if both
    /// exist; `trace_id` and `span_id` are labels too, in lower-case hex.
    pub matchers: Vec<Matcher>,
    /// Profiles whose start lies within.
    pub range: TimeRange,
    /// How often each profile counts in sums per stack; all count once if absent.
    pub weights: Option<Arc<Weights>>,
    pub question: Question,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// Sums per stack.
    Stacks(GroupBy),
    /// Sums per time step and group of labels.
    Series {
        /// Nanoseconds; `0` keeps every timestamp apart.
        step: i64,
        /// Labels that stay apart; `None` keeps every label set apart.
        sum_by: Option<Vec<String>>,
    },
    LabelNames,
    /// Of `trace_id` and `span_id` at most [`VALUES_MAX`], the lowest.
    LabelValues(String),
    ProfileTypes,
}

/// What keeps two samples of one stack apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    Nothing,
    /// Labels of profiles or samples by name; absent ones are left out of the group.
    Labels(Vec<String>),
    /// All labels of single samples, links as `trace_id` and `span_id`: what a pprof file keeps.
    SampleLabels,
    /// The time, as label [`TIME_LABEL`], and the labels: of the sample where it says when it was
    /// taken, else of its profile.
    Times {
        /// Nanoseconds; times are the starts of steps. `0` keeps every time apart.
        step: i64,
        labels: Vec<String>,
    },
    /// The time at which the profile began, as label [`TIME_LABEL`], and the labels.
    Profiles {
        /// Nanoseconds; times are the starts of steps. `0` keeps every profile apart: label
        /// [`SERIES_LABEL`] then tells those of one time from each other.
        step: i64,
        labels: Vec<String>,
    },
}

/// The label of groups that holds nanoseconds since the Unix epoch.
pub const TIME_LABEL: &str = "__time__";

/// The label of groups that holds what [`crate::repeats::series_of`] says of a profile.
pub const SERIES_LABEL: &str = "__series__";

/// The start of the step that a time is in.
pub fn step_start(time: i64, step: i64) -> i64 {
    match step {
        step if step <= 0 => time,
        step => time.div_euclid(step).saturating_mul(step),
    }
}

/// The answer to a [`Question`], of one source or of many.
#[expect(
    clippy::large_enum_variant,
    reason = "answers are few and moved rarely; most are stacks"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Stacks(Partial),
    Series(Series),
    Names(BTreeSet<String>),
    ProfileTypes(BTreeSet<ProfileType>),
}

/// Values over time: group of labels -> start of step (nanoseconds) -> point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series(pub BTreeMap<Labels, BTreeMap<i64, Point>>);

/// One step of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    pub value: i64,
    /// Profiles summed.
    pub profiles: u64,
    /// Nanoseconds covered by the shortest of them.
    pub duration: i64,
    /// The value of the earliest profile in the step (the sum, if several share its time), for types
    /// that are not delta. Ask with `sum_by: None` and use [`Series::sum_by`] after the merge to have
    /// the earliest of each label set.
    pub first: i64,
    /// Time of the earliest profile in the step.
    pub first_time: i64,
    /// Time of the latest profile in the step: the same as `first_time` if all share one.
    pub last_time: i64,
    /// Period of the profiles, of the first seen if they differ.
    pub period: i64,
}

/// An answer and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Scanned {
    pub answer: Answer,
    pub stats: Stats,
    /// Does not travel with the answer, but beside it.
    pub told: Told,
}

/// Figures that add up over sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub profiles: u64,
    pub rows: u64,
    pub blocks: u64,
    /// Nanoseconds covered by the matching profiles, summed.
    pub duration: i64,
    /// Period of the matching profiles; `0` if they differ.
    pub period: i64,
    /// Times of the matching profiles; `None` if there are none.
    pub range: Option<TimeRange>,
    /// No call that was [folded](crate::FOLDED) for lack of memory had more than this.
    pub folded: u64,
    /// Whether series were left out for lack of memory.
    pub is_cut: bool,
}
