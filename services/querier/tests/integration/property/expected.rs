//! What reports must say, by looping over all rows.

use std::collections::{BTreeMap, BTreeSet};

use cairn_engine::{GroupBy, KeyBy};
use cairn_model::ProfileType;
use cairn_trie::{Group, GroupValue};

use super::stacks::Stack;
use crate::model::{self, Row, Sums};

/// Path of names, outermost first -> cumulative and flat value.
pub(crate) type Paths = BTreeMap<Vec<String>, (i64, i64)>;
/// Name -> cumulative and flat value.
pub(crate) type Table = BTreeMap<String, (i64, i64)>;
/// Caller and callee -> value, and whether the calls lead past others.
pub(crate) type Edges = BTreeMap<(String, String), (i64, bool)>;
/// File and line -> cumulative and flat value.
pub(crate) type Lines = BTreeMap<(String, i64), (i64, i64)>;
/// Level, name -> total and self of all bars: whose child a bar is is only to be seen where no bar
/// is narrower than nothing.
pub(crate) type Bars = BTreeMap<(usize, String), (i64, i64)>;
/// Labels -> time -> value, profiles, nanoseconds covered.
pub(crate) type Points = BTreeMap<BTreeMap<String, String>, BTreeMap<i64, (i64, i32, i64)>>;

/// Sums of these paths, outermost first, and of all above them.
pub(crate) fn tree(all: impl IntoIterator<Item = (Vec<String>, i64)>) -> Paths {
    let mut out = Paths::new();
    for (path, value) in all {
        for len in 0..=path.len() {
            let flat = if len == path.len() { value } else { 0 };
            add(&mut out, path[..len].to_vec(), (value, flat));
        }
    }
    without_zeros(out)
}

pub(crate) fn paths(stacks: &[Stack<'_>]) -> Paths {
    tree(stacks.iter().map(|stack| (stack.names(), stack.value())))
}

/// The same by what ends last.
pub(crate) fn inverted(stacks: &[Stack<'_>]) -> Paths {
    let path = |stack: &Stack<'_>| stack.names().into_iter().rev().collect();
    tree(stacks.iter().map(|stack| (path(stack), stack.value())))
}

/// Below the values of labels, if any is there.
pub(crate) fn grouped(stacks: &[Stack<'_>], labels: &[String], key_by: KeyBy) -> Paths {
    let path = |stack: &Stack<'_>| {
        let group = group_name(stack.row, labels).into_iter();
        group.chain(stack.keyed(key_by)).collect()
    };
    tree(stacks.iter().map(|stack| (path(stack), stack.value())))
}

/// What a flame graph calls the labels of a row, if it has any of them.
pub(crate) fn group_name(row: &Row, labels: &[String]) -> Option<String> {
    let pair = |label: &String| Some(format!("{label}={}", shown(row, label)?));
    let pairs: Vec<String> = labels.iter().filter_map(pair).collect();
    (!pairs.is_empty()).then(|| pairs.join(","))
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

pub(crate) fn bars(paths: &Paths) -> Bars {
    let mut all = Bars::new();
    for (path, sums) in paths {
        let name = path.last().cloned().unwrap_or_default();
        add(&mut all, (path.len(), name), *sums);
    }
    without_zeros(all)
}

/// Recursion counts once.
pub(crate) fn table(stacks: &[Stack<'_>]) -> Table {
    let mut out = Table::new();
    for stack in stacks {
        let calls = stack.names();
        for call in calls.iter().collect::<BTreeSet<_>>() {
            let flat = match calls.last() == Some(call) {
                true => stack.value(),
                false => 0,
            };
            add(&mut out, call.clone(), (stack.value(), flat));
        }
    }
    without_zeros(out)
}

/// Who calls whom among these functions, past all others: value, and whether there are others in
/// between.
pub(crate) fn edges(stacks: &[Stack<'_>], shown: &BTreeSet<String>) -> Edges {
    let mut out = Edges::new();
    for stack in stacks {
        let mut of_stack: BTreeMap<(String, String), bool> = BTreeMap::new();
        let mut caller: Option<(String, bool)> = None;
        for call in stack.names() {
            if !shown.contains(&call) {
                caller = caller.map(|(name, _)| (name, true));
                continue;
            }
            if let Some((name, hidden)) = caller {
                *of_stack.entry((name, call.clone())).or_default() |= hidden;
            }
            caller = Some((call, false));
        }
        for (pair, hidden) in of_stack {
            let edge = out.entry(pair).or_default();
            edge.0 += stack.value();
            edge.1 |= hidden;
        }
    }
    out.retain(|_, (value, _)| *value != 0);
    out
}

/// What a download holds: stacks and what `by` keeps apart.
pub(crate) fn samples(stacks: &[Stack<'_>], by: &GroupBy) -> Sums {
    without_empty(as_sent(stacks, by))
}

/// The same before empty labels are taken for absent ones.
pub(crate) fn as_sent(stacks: &[Stack<'_>], by: &GroupBy) -> Sums {
    let mut out = Sums::new();
    for stack in stacks {
        let sum = out.entry((stack.texts(), stack.row.group(by))).or_default();
        *sum += stack.value();
    }
    out
}

/// Values per stack, innermost place first.
pub(crate) fn ungrouped(all: impl IntoIterator<Item = (Vec<String>, i64)>) -> Sums {
    let mut out = Sums::new();
    for (stack, value) in all {
        *out.entry((stack, Group::default())).or_default() += value;
    }
    out.retain(|_, value| *value != 0);
    out
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

/// The lines of files of this name or ending in it: value once per stack, and of those that end
/// there.
pub(crate) fn lines(stacks: &[Stack<'_>], build_id: &str, file: &str) -> Lines {
    let mut out = Lines::new();
    for stack in stacks {
        let mut met = BTreeSet::new();
        for (depth, place) in stack.places.iter().enumerate() {
            for (at, call) in place.calls.iter().enumerate() {
                let path = call.file();
                let is_wanted = path == file || path.ends_with(&format!("/{file}"));
                if !is_wanted || !(build_id.is_empty() || place.binary == build_id) {
                    continue;
                }
                let line = (path.to_owned(), call.line);
                let flat = match (depth, at) {
                    (0, 0) => stack.value(),
                    _ => 0,
                };
                let cumulative = match met.insert(line.clone()) {
                    true => stack.value(),
                    false => 0,
                };
                add(&mut out, line, (cumulative, flat));
            }
        }
    }
    without_zeros(out)
}

/// The lowest value of a label that has one.
pub(crate) fn first(row: &Row, label: &str) -> Option<String> {
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

/// So many series with the largest sums, all if 0.
pub(crate) fn largest(all: Points, limit: usize) -> Points {
    if limit == 0 {
        return all;
    }
    let mut sized: Vec<(i64, BTreeMap<String, String>)> = Vec::new();
    for (labels, points) in &all {
        let size: i64 = points.values().map(|(value, ..)| value).sum();
        sized.push((-size, labels.clone()));
    }
    sized.sort();
    sized.truncate(limit);
    let kept: BTreeSet<BTreeMap<String, String>> =
        sized.into_iter().map(|(_, labels)| labels).collect();
    all.into_iter()
        .filter(|(labels, _)| kept.contains(labels))
        .collect()
}

/// The label sets of the profiles.
pub(crate) fn label_sets(rows: &[&Row]) -> BTreeSet<BTreeMap<String, String>> {
    let set = |row: &&Row| {
        let pairs = row.labels.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    rows.iter().map(set).collect()
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
