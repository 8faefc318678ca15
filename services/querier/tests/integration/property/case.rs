//! Random profiles, where they lie, and what is asked about them.

use cairn_block::{Head, Origin};
use cairn_engine::{Query, Question};
use cairn_model::{Labels, MatchOp, Matcher, ProfileType, Selector, TimeRange};
use proptest::prelude::*;

use super::cluster::Fate;
use super::shape::{Shape, shapes};
use crate::fixture::{SECOND, START};
use crate::model::{self, Made, Row, made, matchers, rows};

/// Blocks of one case; the place behind them is the tail.
pub(crate) const BLOCKS: usize = 3;
/// Between the times of two cases, so that they share a cluster and see nothing of each other.
const APART: i64 = 3600 * SECOND;
/// Seconds that times of some cases are multiples of, so that several profiles share one.
const COARSE: i64 = 8;
/// Stands for the model's largest value: reports add up several of it.
const LARGE: i64 = 1 << 40;

#[derive(Clone, Debug)]
pub(crate) struct Case {
    profiles: Vec<Placed>,
    pub(crate) fates: [Fate; BLOCKS],
    matchers: Vec<Matcher>,
    /// Seconds from the time of the case on, both included.
    range: (i64, i64),
    label: &'static str,
    sum_by: Vec<String>,
    step: i64,
    wants_delta: bool,
    shape: Shape,
}

#[derive(Clone, Debug)]
struct Placed {
    made: Made,
    at: usize,
    /// Where the same delivery was stored once more.
    again: Option<usize>,
}

/// What a case asks, of the rows that can be read.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) profile_type: ProfileType,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) range: TimeRange,
    /// To group by.
    pub(crate) label: &'static str,
    pub(crate) sum_by: Vec<String>,
    pub(crate) step: i64,
    pub(crate) shape: Shape,
    /// All that can be read.
    pub(crate) rows: Vec<Row>,
    /// When the profiles of the tail were taken.
    pub(crate) tail: Option<TimeRange>,
    /// Samples without a value, whose labels answers may name or not.
    pub(crate) has_zeros: bool,
}

/// What happens to what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Some deliveries are stored twice.
    Repeats,
    /// Blocks may be missing or damaged.
    Damage,
    /// Blocks may come too late, the first does.
    Lateness,
}

pub(crate) fn cases(fault: Fault) -> impl Strategy<Value = Case> {
    let label = prop::sample::select(vec!["thread", "size", "c", "a", "trace_id"]);
    let sum_by = prop::sample::subsequence(vec!["a", "b", "c", "thread"], 0..3);
    let asked = (
        (prop_oneof![Just(Vec::new()), matchers()], any::<bool>()),
        (0i64..10, 12i64..40),
        label,
        sum_by,
        prop::sample::select(vec![0, SECOND, 7 * SECOND]),
        shapes(),
    );
    let fate = prop::sample::select(match fault {
        Fault::Repeats => vec![Fate::Stored],
        Fault::Damage => vec![Fate::Stored, Fate::Missing, Fate::Corrupt],
        Fault::Lateness => vec![Fate::Stored, Fate::Late],
    });
    let first = match fault {
        Fault::Lateness => Just(Fate::Late).boxed(),
        Fault::Repeats | Fault::Damage => fate.clone().boxed(),
    };
    let repeats = fault == Fault::Repeats;
    // Most profiles have nothing below zero.
    let has_sign = prop::bool::weighted(0.25);
    let profiles = has_sign
        .prop_flat_map(move |has_sign| prop::collection::vec(placed(repeats, has_sign), 1..10));
    let likeness = (prop::bool::weighted(0.5), prop::bool::weighted(0.3));
    let profiles = (profiles, likeness).prop_map(|(mut profiles, (has_counter, is_coarse))| {
        if has_counter {
            profiles = of_one_counter(profiles);
        }
        if is_coarse {
            let times = profiles.iter_mut().map(|placed| &mut placed.made.time);
            times.for_each(|time| *time -= *time % COARSE);
        }
        profiles
    });
    let fates = (first, fate.clone(), fate);
    (profiles, fates, asked).prop_map(|(profiles, fates, asked)| {
        let ((matchers, wants_delta), range, label, sum_by, step, shape) = asked;
        Case {
            profiles,
            fates: fates.into(),
            // In a selector this is the type.
            matchers: matchers
                .into_iter()
                .filter(|m| m.name() != "__name__")
                .collect(),
            range,
            label,
            sum_by: sum_by.into_iter().map(str::to_owned).collect(),
            step,
            wants_delta,
            shape,
        }
    })
}

/// Makes half of the profiles those of one counter, which has what it began with in all of them.
fn of_one_counter(mut profiles: Vec<Placed>) -> Vec<Placed> {
    let first = profiles[0].made.clone();
    for (at, Placed { made, .. }) in profiles.iter_mut().enumerate() {
        if at % 2 != 0 {
            // Nobody stores both what counters grew by and how they stood.
            made.name = if first.name == "cpu" { "mem" } else { "cpu" };
            continue;
        }
        let samples = first.samples.iter().chain(&made.samples).cloned();
        *made = Made {
            time: made.time,
            duration: 0,
            samples: samples.collect(),
            ..first.clone()
        };
    }
    profiles
}

fn placed(repeats: bool, has_sign: bool) -> impl Strategy<Value = Placed> {
    let again = prop::option::weighted(0.3, 0..=BLOCKS);
    (made(), 0..=BLOCKS, again).prop_map(move |(mut made, at, again)| {
        for sample in &mut made.samples {
            for value in &mut sample.values {
                *value = (*value).min(LARGE);
                *value = if has_sign { *value } else { value.abs() };
            }
        }
        Placed {
            again: again.filter(|again| repeats && *again != at),
            made,
            at,
        }
    })
}

impl Case {
    /// Moves the profiles to a time of their own.
    pub(crate) fn at(mut self, number: i64) -> Self {
        let start = START + number * APART;
        for Placed { made, .. } in &mut self.profiles {
            made.time = start + made.time * SECOND;
            made.duration *= SECOND;
        }
        let (from, until) = self.range;
        self.range = (start + from * SECOND, start + until * SECOND);
        self
    }

    /// The profiles of each place; the last is the tail.
    pub(crate) fn heads(&self) -> Vec<Head> {
        let mut heads: Vec<Head> = (0..=BLOCKS).map(|_| Head::default()).collect();
        for (at, placed) in self.profiles.iter().enumerate() {
            for place in std::iter::once(placed.at).chain(placed.again) {
                append(&mut heads[place], &placed.made, at as u64 + 1);
            }
        }
        heads
    }

    fn tail(&self) -> Option<TimeRange> {
        let in_tail = |placed: &&Placed| placed.at == BLOCKS || placed.again == Some(BLOCKS);
        let times = self.profiles.iter().filter(in_tail);
        let times = times.map(|placed| placed.made.time);
        Some(TimeRange {
            start: times.clone().min()?,
            end: times.max()?,
        })
    }

    /// The question, and the rows that can be read.
    pub(crate) fn asked(&self) -> Asked {
        let is_readable = |place: usize| self.fates.get(place).is_none_or(|f| *f == Fate::Stored);
        let readable = self.profiles.iter().filter(|placed| is_readable(placed.at));
        let readable: Vec<Made> = readable.map(|placed| placed.made.clone()).collect();
        let zero = |made: &Made| {
            made.samples
                .iter()
                .any(|s| s.values[..made.types].contains(&0))
        };
        let has_zeros = self.profiles.iter().any(|placed| zero(&placed.made));
        let mut asked = Asked {
            profile_type: absent(),
            matchers: self.matchers.clone(),
            range: TimeRange {
                start: self.range.0,
                end: self.range.1,
            },
            label: self.label,
            sum_by: self.sum_by.clone(),
            step: self.step,
            shape: self.shape.clone(),
            rows: rows(&readable),
            tail: self.tail(),
            has_zeros,
        };
        if let Some(found) = asked.type_with_rows(self.wants_delta) {
            asked.profile_type = found;
        }
        asked
    }
}

/// A type that nothing has.
fn absent() -> ProfileType {
    "none:of:them:time:ns".parse().unwrap()
}

fn append(head: &mut Head, made: &Made, number: u64) {
    let origin = Origin {
        name: made.name.into(),
        labels: Labels::from_pairs(made.labels.iter().copied()).unwrap(),
        time: made.time,
        lsn: number,
        batch: number.into(),
    };
    head.append(&model::profile(made), &origin).unwrap();
}

impl Asked {
    /// A type that matches something: what reports say otherwise has tests of its own.
    fn type_with_rows(&self, wants_delta: bool) -> Option<ProfileType> {
        let matching = self
            .rows
            .iter()
            .filter(|row| row.matches(&self.query(None)));
        let types: Vec<ProfileType> = matching.map(|row| row.profile_type.clone()).collect();
        let wanted = types.iter().find(|of| of.delta == wants_delta);
        wanted.or(types.first()).cloned()
    }

    fn query(&self, profile_type: Option<ProfileType>) -> Query {
        Query {
            profile_type,
            matchers: self.matchers.clone(),
            range: self.range,
            weights: None,
            question: Question::LabelNames,
        }
    }

    /// The type of what counters grew by, of which only the counters themselves can be read.
    pub(crate) fn counters(&self) -> Option<(ProfileType, Vec<&Row>)> {
        let query = self.query(None);
        let matching: Vec<&Row> = self.rows.iter().filter(|row| row.matches(&query)).collect();
        let types = matching.iter().filter(|row| !row.profile_type.delta);
        let grown = types.map(|row| ProfileType {
            delta: true,
            ..row.profile_type.clone()
        });
        let is_alone = |of: &ProfileType| matching.iter().all(|row| row.profile_type != *of);
        // Those of which there is most.
        let of_counters = |of: ProfileType| {
            let counter = ProfileType {
                delta: false,
                ..of.clone()
            };
            let rows = matching.iter().copied();
            let rows: Vec<&Row> = rows.filter(|row| row.profile_type == counter).collect();
            (of, rows)
        };
        let all = grown.filter(is_alone).map(of_counters);
        all.max_by_key(|(_, rows)| rows.len())
    }

    /// The rows that a report is about.
    pub(crate) fn matching(&self) -> Vec<&Row> {
        let query = self.query(Some(self.profile_type.clone()));
        self.rows.iter().filter(|row| row.matches(&query)).collect()
    }

    /// Rows of the case's selector, and those of any type that another selector selects.
    pub(crate) fn matching_either(&self) -> Vec<&Row> {
        let mut query = self.query(None);
        query.matchers = self.shape.other.clone();
        let own = self.query(Some(self.profile_type.clone()));
        let rows = self.rows.iter();
        rows.filter(|row| row.matches(&own) || row.matches(&query))
            .collect()
    }

    pub(crate) fn other_selector(&self) -> String {
        let selector = Selector {
            profile_type: None,
            matchers: self.shape.other.clone(),
        };
        selector.to_string()
    }

    /// Rows of any type in the range.
    pub(crate) fn in_range(&self) -> Vec<&Row> {
        let TimeRange { start, end } = self.range;
        let within = |row: &&Row| start <= row.time && row.time <= end;
        self.rows.iter().filter(within).collect()
    }

    /// Whether the type still is what is asked for where only these rows match.
    pub(crate) fn stays_itself(&self, rows: &[&Row]) -> bool {
        !rows.is_empty()
    }

    /// As a selector.
    pub(crate) fn selector(&self) -> String {
        let selector = Selector {
            profile_type: Some(self.profile_type.clone()),
            matchers: self.matchers.clone(),
        };
        selector.to_string()
    }

    /// Bounds in milliseconds.
    pub(crate) fn millis(&self) -> (i64, i64) {
        let TimeRange { start, end } = self.range;
        (start / 1_000_000, end / 1_000_000)
    }

    /// The same where regular expressions may be taken to match from beginning to end.
    pub(crate) fn anchored(&self) -> String {
        anchored(Some(self.profile_type.clone()), &self.matchers)
    }

    /// Without the type.
    pub(crate) fn label_selector(&self) -> String {
        braced(anchored(None, &self.matchers))
    }

    pub(crate) fn other_anchored(&self) -> String {
        braced(anchored(None, &self.shape.other))
    }
}

/// Nothing that is asked of labels is said in braces.
fn braced(selector: String) -> String {
    match selector.is_empty() {
        true => "{}".to_owned(),
        false => selector,
    }
}

fn anchored(profile_type: Option<ProfileType>, matchers: &[Matcher]) -> String {
    let anchored = |matcher: &Matcher| match matcher.op() {
        MatchOp::Regex | MatchOp::NotRegex => {
            let value = format!(".*(?:{}).*", matcher.value());
            Matcher::new(matcher.name(), matcher.op(), &value).unwrap()
        }
        MatchOp::Equal | MatchOp::NotEqual => matcher.clone(),
    };
    let selector = Selector {
        profile_type,
        matchers: matchers.iter().map(anchored).collect(),
    };
    selector.to_string()
}
