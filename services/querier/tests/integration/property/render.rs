//! What Pyroscope's render says, of one selection or of two beside each other, against what the rows
//! add up to.

use std::collections::BTreeMap;

use cairn_wire::querier::v1::Level;
use serde_json::Value;

use super::case::Asked;
use super::expected::{self, Bars, Points};
use super::pages::{ints, range, strings};
use super::stacks::stacks;
use super::{Place, read, trimmed};
use crate::fixture::{SECOND, encoded};
use crate::model::Row;

/// Steps of a timeline over a minute.
const STEP: i64 = 15 * SECOND;

pub(crate) async fn check(place: &Place<'_>, asked: &Asked, rows: &[&Row]) {
    futures::join!(
        Box::pin(single(place, asked, rows)),
        Box::pin(by_label(place, asked, rows)),
    );
    // Whose child a bar is is only to be seen where no bar is narrower than nothing.
    if rows.iter().all(|row| row.value() >= 0) {
        futures::join!(
            Box::pin(few_nodes(place, asked, rows)),
            Box::pin(double(place, asked, rows)),
        );
    }
}

fn path(asked: &Asked, more: &str) -> String {
    let range = range("from", "until", (asked.range.start, asked.range.end));
    let query = encoded(&asked.anchored());
    format!("/pyroscope/render?query={query}&{range}{more}")
}

async fn single(place: &Place<'_>, asked: &Asked, rows: &[&Row]) {
    let found = place.json(&path(asked, "")).await;
    let bearer = &found["flamebearer"];
    let expected = expected::bars(&expected::paths(&stacks(rows)));
    assert_eq!(bars(bearer), expected, "{}", place.said("render"));
    let total: i64 = rows.iter().map(|row| row.value()).sum();
    assert_eq!(bearer["numTicks"], total);
    let points = expected::points(rows, &asked.profile_type, (STEP, &[]));
    let said = place.said("timeline");
    assert_eq!(timeline(&found["timeline"]), summed(points), "{said}");
}

/// A timeline for each value of a label besides that of all.
async fn by_label(place: &Place<'_>, asked: &Asked, rows: &[&Row]) {
    let Some(label) = asked.sum_by.first() else {
        return;
    };
    let found = place.json(&path(asked, &format!("&groupBy={label}"))).await;
    let said = place.said(&format!("timelines by {label}"));
    let by = std::slice::from_ref(label);
    let mut points = expected::points(rows, &asked.profile_type, (STEP, by));
    let groups = found["groups"].as_object().unwrap().iter();
    let mut groups: BTreeMap<String, _> = groups
        .map(|(value, found)| (value.clone(), timeline(found)))
        .collect();
    let mut expected: BTreeMap<String, _> = BTreeMap::new();
    while let Some((labels, of_value)) = points.pop_first() {
        let value = labels.into_values().next().unwrap_or_default();
        let of_value = Points::from([(BTreeMap::new(), of_value)]);
        expected.insert(value, summed(of_value));
    }
    for timelines in [&mut groups, &mut expected] {
        timelines.retain(|_, of| !of.is_empty());
    }
    assert_eq!(groups, expected, "{said}");
}

async fn few_nodes(place: &Place<'_>, asked: &Asked, rows: &[&Row]) {
    let max = asked.shape.nodes_max;
    let found = place.json(&path(asked, &format!("&maxNodes={max}"))).await;
    let bearer = &found["flamebearer"];
    let found = read::levels(&strings(&bearer["names"]), &levels(bearer), (4, 0));
    let whole = expected::paths(&stacks(rows));
    let said = place.said("render, trimmed");
    trimmed::check(&found, &whole, (max, "other"), &said);
}

/// The first half of the range, then the second.
async fn double(place: &Place<'_>, asked: &Asked, rows: &[&Row]) {
    let (start, end) = (asked.range.start, asked.range.end);
    let middle = start + (end - start) / 2;
    let (left, right): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.time <= middle);
    // Of a side where nothing matches nobody knows the type.
    if !asked.stays_itself(&left) || !asked.stays_itself(&right) {
        return;
    }
    let query = encoded(&asked.anchored());
    let path = format!(
        "/pyroscope/render-diff?leftQuery={query}&{}&rightQuery={query}&{}",
        range("leftFrom", "leftUntil", (start, middle)),
        range("rightFrom", "rightUntil", (middle + 1, end)),
    );
    let found = place.json(&path).await;
    let said = place.said("render-diff");
    let bearer = &found["flamebearer"];
    let (names, levels) = (strings(&bearer["names"]), levels(bearer));
    for (rows, ticks, at) in [(left, "leftTicks", 0), (right, "rightTicks", 3)] {
        let side: i64 = rows.iter().map(|row| row.value()).sum();
        assert_eq!(found[ticks], side, "{said}: {ticks}");
        let side = read::levels(&names, &levels, (7, at));
        assert_eq!(side, expected::paths(&stacks(&rows)), "{said}: {ticks}");
    }
}

fn levels(bearer: &Value) -> Vec<Level> {
    let levels = bearer["levels"].as_array().unwrap().iter();
    let level = |bars| Level { values: ints(bars) };
    levels.map(level).collect()
}

/// Seconds -> value, if it is not 0.
fn timeline(found: &Value) -> BTreeMap<i64, i64> {
    let step = STEP / SECOND;
    assert_eq!(found["durationDelta"], step);
    let start = found["startTime"].as_i64().unwrap();
    let samples = ints(&found["samples"]).into_iter();
    let timed = (0..).zip(samples);
    let timed = timed.map(|(at, value): (i64, i64)| (start + at * step, value));
    timed.filter(|(_, value)| *value != 0).collect()
}

fn summed(points: Points) -> BTreeMap<i64, i64> {
    let mut all: BTreeMap<i64, i64> = BTreeMap::new();
    for (time, (value, ..)) in points.into_values().flatten() {
        *all.entry(time / SECOND).or_default() += value;
    }
    all.retain(|_, value| *value != 0);
    all
}

fn bars(bearer: &Value) -> Bars {
    let names = strings(&bearer["names"]);
    let mut all = Bars::new();
    for (level, bars) in bearer["levels"].as_array().unwrap().iter().enumerate() {
        for bar in ints(bars).chunks(4) {
            let name = match level {
                0 => String::new(),
                _ => names[bar[3] as usize].clone(),
            };
            expected::add(&mut all, (level, name), (bar[1], bar[2]));
        }
    }
    expected::without_zeros(all)
}
