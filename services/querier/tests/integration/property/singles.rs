//! Profiles and spans one by one, by looping over all rows.

use std::collections::{BTreeMap, BTreeSet};

use super::expected::first;
use crate::model::Row;

/// Labels by name.
pub(crate) type Set = BTreeMap<String, String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Profiles,
    /// Of samples that are of one.
    Spans,
}

/// What tells one from the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Single {
    /// What it is grouped by.
    pub(crate) group: Set,
    /// Of the profile.
    pub(crate) labels: Set,
    pub(crate) time: i64,
    /// Trace and span.
    pub(crate) span: Option<(String, String)>,
}

/// What each adds up to. None if labels of samples hide whose they are.
pub(crate) fn singles(rows: &[&Row], group_by: &[String], of: Of) -> Option<BTreeMap<Single, i64>> {
    let is_wanted = |row: &&&Row| of == Of::Profiles || first(row, "span_id").is_some();
    let wanted: Vec<&Row> = rows.iter().filter(is_wanted).copied().collect();
    if !are_told_apart(rows, &wanted, (group_by, of)) {
        return None;
    }
    Some(parts(&wanted, group_by, of))
}

/// What rows of which it is known whose they are add up to.
pub(crate) fn parts(rows: &[&Row], group_by: &[String], of: Of) -> BTreeMap<Single, i64> {
    let mut out = BTreeMap::new();
    for row in rows {
        let id = |name| first(row, name).unwrap_or_default();
        if of == Of::Spans && id("span_id").is_empty() {
            continue;
        }
        let single = Single {
            group: shown(row, group_by.iter().map(String::as_str)),
            labels: labels(row),
            time: row.time,
            span: (of == Of::Spans).then(|| (id("trace_id"), id("span_id"))),
        };
        *out.entry(single).or_default() += row.value();
    }
    out
}

pub(crate) fn labels(row: &Row) -> Set {
    let pairs = row.labels.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Those labels of a row that have a value.
fn shown<'a>(row: &Row, names: impl IntoIterator<Item = &'a str>) -> Set {
    let pair = |name: &str| Some((name.to_owned(), first(row, name)?));
    names.into_iter().filter_map(pair).collect()
}

/// A sample may say of itself what another profile of the same time says of itself: nothing tells
/// then which of the two it is of.
fn are_told_apart(rows: &[&Row], wanted: &[&Row], (group_by, of): (&[String], Of)) -> bool {
    let mut times: BTreeMap<Set, BTreeSet<i64>> = BTreeMap::new();
    for row in rows {
        times.entry(labels(row)).or_default().insert(row.time);
    }
    let has_all = |set: &Set| group_by.iter().all(|name| set.contains_key(name));
    if of == Of::Profiles && times.keys().all(has_all) {
        return true;
    }
    let mut names: BTreeSet<&str> = times.keys().flatten().map(|(name, _)| &**name).collect();
    names.extend(group_by.iter().map(String::as_str));
    if of == Of::Spans {
        names.extend(["trace_id", "span_id"]);
    }
    // Spans are looked for between the first and the last profile of a label set.
    let is_there = |times: &BTreeSet<i64>, time: i64| match of {
        Of::Profiles => times.contains(&time),
        Of::Spans => times.first() <= Some(&time) && Some(&time) <= times.last(),
    };
    wanted.iter().all(|row| {
        let (own, all) = (labels(row), shown(row, names.iter().copied()));
        let is_other = |(set, times): (&Set, &BTreeSet<i64>)| {
            let fits = set.iter().all(|(name, value)| all.get(name) == Some(value));
            *set != own && set.len() >= own.len() && fits && is_there(times, row.time)
        };
        !times.iter().any(is_other)
    })
}

/// The rows of one profile.
pub(crate) fn of_profile<'a>(rows: &[&'a Row], (set, time): &(Set, i64)) -> Vec<&'a Row> {
    let is_of = |row: &&&Row| row.time == *time && labels(row) == *set;
    rows.iter().filter(is_of).copied().collect()
}

/// Ids of profiles: one each, wherever it is told.
#[derive(Default)]
pub(crate) struct Ids(BTreeMap<String, (Set, i64)>);

impl Ids {
    pub(crate) fn add(&mut self, id: &str, profile: (Set, i64), said: &str) {
        let other = self.0.iter().find(|(_, known)| **known == profile);
        let has_other = other.is_some_and(|(known, _)| known != id);
        assert!(!has_other, "{said}: {id} and {other:?} are one");
        let before = self.0.insert(id.to_owned(), profile.clone());
        let is_same = before.as_ref().is_none_or(|known| *known == profile);
        assert!(is_same, "{said}: {id} is of {before:?} and {profile:?}");
    }
}
