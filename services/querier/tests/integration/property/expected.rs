//! What reports must say, by looping over all rows.

use std::collections::{BTreeMap, BTreeSet};

use cairn_engine::GroupBy;
use cairn_model::ProfileType;
use cairn_trie::{Group, GroupValue};

use super::names::{calls, location};
use crate::model::{self, Row, Sums, expected_sums};

/// Path of names, outermost first -> cumulative and flat value.
pub(crate) type Paths = BTreeMap<Vec<String>, (i64, i64)>;
/// Name -> cumulative and flat value.
pub(crate) type Table = BTreeMap<String, (i64, i64)>;
/// Labels -> time -> value, profiles, nanoseconds covered.
pub(crate) type Points = BTreeMap<BTreeMap<String, String>, BTreeMap<i64, (i64, i32, i64)>>;

/// Below the value of a label, if one is given.
pub(crate) fn paths(rows: &[&Row], label: Option<&str>) -> Paths {
    let mut out = Paths::new();
    for row in rows.iter().filter(|row| row.sample.is_some()) {
        let mut path: Vec<String> = label
            .and_then(|label| shown(row, label))
            .into_iter()
            .collect();
        path.extend(calls(row));
        for len in 0..=path.len() {
            let flat = if len == path.len() { row.value() } else { 0 };
            add(&mut out, path[..len].to_vec(), (row.value(), flat));
        }
    }
    without_zeros(out)
}

pub(crate) fn add<K: Ord>(
    to: &mut BTreeMap<K, (i64, i64)>,
    key: K,
    (cumulative, flat): (i64, i64),
) {
    let sums = to.entry(key).or_default();
    sums.0 += cumulative;
    sums.1 += flat;
}

/// What adds up to nothing may be there or not.
pub(crate) fn without_zeros<K: Ord>(mut all: BTreeMap<K, (i64, i64)>) -> BTreeMap<K, (i64, i64)> {
    all.retain(|_, sums| *sums != (0, 0));
    all
}

/// As columns without a sign hold it.
pub(crate) fn unsigned<K: Ord>(all: BTreeMap<K, (i64, i64)>) -> BTreeMap<K, (i64, i64)> {
    let shown = all
        .into_iter()
        .map(|(key, (a, b))| (key, (a.max(0), b.max(0))));
    without_zeros(shown.collect())
}

/// Recursion counts once.
pub(crate) fn table(rows: &[&Row]) -> Table {
    let mut out = Table::new();
    for row in rows.iter().filter(|row| row.sample.is_some()) {
        let calls = calls(row);
        for call in calls.iter().collect::<BTreeSet<_>>() {
            let flat = if calls.last() == Some(call) {
                row.value()
            } else {
                0
            };
            add(&mut out, call.clone(), (row.value(), flat));
        }
    }
    without_zeros(out)
}

/// What a download holds: stacks and labels of samples.
pub(crate) fn samples(rows: &[&Row]) -> Sums {
    let expected = expected_sums(rows, &GroupBy::SampleLabels);
    let named = expected
        .into_iter()
        .map(|((stack, group), value)| ((stack.into_iter().map(location).collect(), group), value));
    without_empty(named.collect())
}

/// In a pprof an empty label is an absent one.
pub(crate) fn without_empty(sums: Sums) -> Sums {
    let mut out = Sums::new();
    for ((stack, Group(mut pairs)), value) in sums {
        pairs.retain(|(_, value)| *value != GroupValue::Str("".into()));
        *out.entry((stack, Group(pairs))).or_default() += value;
    }
    out.retain(|_, value| *value != 0);
    out
}

/// The lowest value of a label that has one.
fn first(row: &Row, label: &str) -> Option<String> {
    let mut texts: Vec<String> = row.label(label).iter().map(model::text).collect();
    texts.retain(|text| !text.is_empty());
    texts.sort();
    texts.into_iter().next()
}

/// The value that a group of this one label shows: values of one kind sort before those of another.
pub(crate) fn shown(row: &Row, label: &str) -> Option<String> {
    let group = row.group(&GroupBy::Labels(vec![label.to_owned()]));
    group.0.first().map(|(_, value)| model::text(value))
}

/// One profile's part of a point.
struct Part<'a> {
    row: &'a Row,
    value: i64,
}

/// Values over time: spans add up, of snapshots the first of each label set counts.
pub(crate) fn points(
    rows: &[&Row],
    profile_type: &ProfileType,
    (step, sum_by): (i64, &[String]),
) -> Points {
    let time = |row: &Row| {
        if step == 0 {
            row.time
        } else {
            row.time.div_euclid(step) * step
        }
    };
    let by_sample = |row: &Row| {
        let pairs = sum_by
            .iter()
            .filter_map(|name| Some((name.clone(), first(row, name)?)));
        pairs.collect::<BTreeMap<String, String>>()
    };
    let by_set = |row: &Row| {
        let pairs = row
            .labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        pairs.collect::<BTreeMap<String, String>>()
    };
    let mut parts: BTreeMap<(BTreeMap<String, String>, i64), BTreeMap<usize, Part<'_>>> =
        BTreeMap::new();
    for row in rows {
        let group = if profile_type.delta {
            by_sample(row)
        } else {
            by_set(row)
        };
        let of_profile = parts.entry((group, time(row))).or_default();
        let part = of_profile
            .entry(row.profile)
            .or_insert(Part { row, value: 0 });
        part.value += row.value();
    }
    let mut points = Points::new();
    for ((mut group, time), parts) in parts {
        let times = || parts.values().map(|part| part.row.time);
        let (Some(from), Some(until)) = (times().min(), times().max()) else {
            continue;
        };
        let counted = parts
            .values()
            .filter(|part| profile_type.delta || part.row.time == from);
        let value: i64 = counted.map(|part| part.value).sum();
        let covered = parts
            .values()
            .map(|part| part.row.duration)
            .min()
            .unwrap_or(0);
        let duration = match profile_type.delta {
            false => 0,
            true if step == 0 || from == until => covered,
            true => step,
        };
        if !profile_type.delta && !sum_by.is_empty() {
            group.retain(|name, _| sum_by.contains(name));
        }
        let point = points.entry(group).or_default().entry(time).or_default();
        point.0 += value;
        point.1 += parts.len() as i32;
        point.2 = duration;
    }
    points
}

/// The values of a label, or the names of all labels.
pub(crate) fn names(rows: &[&Row], label: Option<&str>) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = match label {
        None => rows.iter().flat_map(|row| row.names()).collect(),
        Some(label) => {
            let values = rows.iter().flat_map(|row| row.label(label));
            values.map(|value| model::text(&value)).collect()
        }
    };
    names.remove("");
    names
}
