//! What the page says, against what the rows add up to.

use std::collections::BTreeMap;

use futures::future::{BoxFuture, join_all};
use serde_json::Value;

use super::case::Asked;
use super::expected::{self, Paths};
use super::stacks::stacks;
use super::{Place, names_agree, profiles, render};
use crate::fixture::{SECOND, encoded};
use crate::model::Row;

/// All of them, from one querier.
pub(crate) async fn check(place: &Place<'_>, asked: &Asked) {
    let rows = asked.matching();
    let range = range("from", "until", (asked.range.start, asked.range.end));
    let selected = format!("query={}&{range}", encoded(&asked.selector()));
    let all: [BoxFuture<'_, ()>; 6] = [
        Box::pin(graph(place, &rows, &selected)),
        Box::pin(series(place, asked, (&rows, &selected))),
        Box::pin(render::check(place, asked, &rows)),
        Box::pin(diff(place, asked, &rows)),
        Box::pin(names(place, asked, (&rows, &selected))),
        Box::pin(profiles::check(place, asked, &rows)),
    ];
    join_all(all).await;
}

async fn graph(place: &Place<'_>, rows: &[&Row], selected: &str) {
    let (graph, folded) = (
        format!("/api/v1/flamegraph?{selected}"),
        format!("/api/v1/folded?{selected}"),
    );
    let (graph, folded) = futures::join!(place.json(&graph), place.get(&folded));
    let expected = expected::paths(&stacks(rows));
    let said = place.said("page");
    assert_eq!(columns(&graph, "value", "self"), expected, "{said}");
    let text = String::from_utf8(folded.to_vec()).unwrap();
    // A line without a name may be any of several.
    let joined = expected
        .iter()
        .map(|(path, (_, flat))| (path.join(";"), *flat));
    let named = |(path, flat): &(String, i64)| !path.is_empty() && *flat != 0;
    let flat: BTreeMap<String, i64> = joined.filter(named).collect();
    let lines = text.lines().map(|line| {
        let (path, value) = line.rsplit_once(' ').unwrap();
        (path.to_owned(), value.parse::<i64>().unwrap())
    });
    let lines: BTreeMap<String, i64> = lines.filter(named).collect();
    assert_eq!(lines, flat, "{}", place.said("folded"));
}

async fn names(place: &Place<'_>, asked: &Asked, (rows, selected): (&[&Row], &str)) {
    let range = range("from", "until", (asked.range.start, asked.range.end));
    let of_label = format!("label={}&query={}", asked.label, encoded(&asked.anchored()));
    let (names, values) = (
        format!("/api/v1/labels?{selected}"),
        format!("/pyroscope/label-values?{of_label}&{range}"),
    );
    let (names, values) = futures::join!(place.json(&names), place.json(&values));
    let said = place.said("page's labels");
    names_agree(strings(&names), expected::names(rows, None), asked, &said);
    let expected = expected::names(rows, Some(asked.label));
    let said = place.said("label-values");
    names_agree(strings(&values), expected, asked, &said);
}

pub(crate) fn range(from: &str, until: &str, (start, end): (i64, i64)) -> String {
    format!("{from}={start}&{until}={end}")
}

pub(crate) fn strings(list: &Value) -> Vec<String> {
    let all = list.as_array().unwrap().iter();
    all.map(|text| text.as_str().unwrap().to_owned()).collect()
}

pub(crate) fn ints(list: &Value) -> Vec<i64> {
    let all = list.as_array().unwrap().iter();
    all.map(|value| value.as_i64().unwrap()).collect()
}

/// Sums by path of a graph in columns.
pub(crate) fn columns(graph: &Value, cumulative: &str, flat: &str) -> Paths {
    let names = strings(&graph["names"]);
    let (levels, labels) = (ints(&graph["level"]), ints(&graph["label"]));
    let (cumulative, flat) = (ints(&graph[cumulative]), ints(&graph[flat]));
    let mut path: Vec<String> = Vec::new();
    let mut paths = Paths::new();
    for (row, level) in levels.into_iter().enumerate() {
        path.truncate((level - 1).max(0) as usize);
        path.extend((level > 0).then(|| names[labels[row] as usize].clone()));
        expected::add(&mut paths, path.clone(), (cumulative[row], flat[row]));
    }
    expected::without_zeros(paths)
}

async fn series(place: &Place<'_>, asked: &Asked, (rows, selected): (&[&Row], &str)) {
    // Without names the page wants one series of everything, which snapshots have no name for.
    if asked.step == 0 || asked.sum_by.is_empty() {
        return;
    }
    let (step, names) = (asked.step / SECOND, asked.sum_by.join(","));
    let path = format!("/api/v1/series?{selected}&step={step}&group_by={names}");
    let found = place.json(&path).await;
    let times = found["ts"].as_array().unwrap().iter();
    let times: Vec<i64> = times.map(|time| time.as_f64().unwrap() as i64).collect();
    let mut got: BTreeMap<String, BTreeMap<i64, i64>> = BTreeMap::new();
    for (labels, values) in strings(&found["labels"])
        .into_iter()
        .zip(found["series"].as_array().unwrap())
    {
        let values = times.iter().zip(values.as_array().unwrap());
        let values = values.filter_map(|(time, value)| Some((*time, value.as_i64()?)));
        got.insert(labels, values.collect());
    }
    let points = expected::points(rows, &asked.profile_type, (asked.step, &asked.sum_by));
    let expected = points.into_iter().map(|(labels, points)| {
        let labels = cairn_model::Labels::from_pairs(labels).unwrap().to_string();
        let points = points
            .into_iter()
            .map(|(time, (value, ..))| (time / SECOND, value));
        (labels, points.collect())
    });
    assert_eq!(got, expected.collect(), "{}", place.said("page's series"));
}

/// The first half of the range, then the second.
async fn diff(place: &Place<'_>, asked: &Asked, rows: &[&Row]) {
    let (start, end) = (asked.range.start, asked.range.end);
    let middle = start + (end - start) / 2;
    let (base, compare): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.time <= middle);
    if !asked.stays_itself(&base) || !asked.stays_itself(&compare) {
        return;
    }
    let path = format!(
        "/api/v1/diff?query={}&{}&{}",
        encoded(&asked.selector()),
        range("from", "until", (start, middle)),
        range("b_from", "b_until", (middle + 1, end)),
    );
    let found = place.json(&path).await;
    let left = columns(&found, "value", "self");
    assert_eq!(
        left,
        expected::paths(&stacks(&base)),
        "{}",
        place.said("diff's base")
    );
    let right = columns(&found, "valueRight", "selfRight");
    assert_eq!(
        right,
        expected::paths(&stacks(&compare)),
        "{}",
        place.said("diff")
    );
}
