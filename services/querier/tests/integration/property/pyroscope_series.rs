//! Values over time through Pyroscope's API.

use std::collections::BTreeMap;

use cairn_wire::querier::v1::{SelectSeriesRequest, SelectSeriesResponse};
use cairn_wire::types::v1::{StackTraceSelector, TimeSeriesAggregationType};

use super::expected::first;
use super::pyroscope::{NANOS_PER_MILLI, Pyroscope};
use super::stacks::below;
use crate::fixture::SECOND;
use crate::model::Row;

/// Labels -> milliseconds -> value.
pub(crate) type Series = BTreeMap<BTreeMap<String, String>, BTreeMap<i64, f64>>;
/// Labels -> start of the step -> value and profiles.
type Steps = BTreeMap<BTreeMap<String, String>, BTreeMap<i64, (i64, Vec<usize>)>>;

pub(crate) async fn check(pyroscope: &Pyroscope<'_>, rows: &[&Row]) {
    let step = step(pyroscope);
    let mut steps = Steps::new();
    for row in rows {
        let time = row.time.div_euclid(step) * step;
        add(&mut steps, pyroscope, (row, time));
    }
    let (names, selector) = pyroscope.call_site();
    let limit = pyroscope.asked.shape.limit;
    let sum = TimeSeriesAggregationType::Sum;
    let average = TimeSeriesAggregationType::Average;
    let (sums, averages, selected, over_all) = futures::join!(
        ask(pyroscope, sum, (None, limit)),
        ask(pyroscope, average, (None, limit)),
        ask(pyroscope, sum, (Some(selector.clone()), 0)),
        ask(pyroscope, average, (Some(selector), 0)),
    );
    for (aggregation, found) in [(sum, sums), (average, averages)] {
        let said = pyroscope.said(&format!("SelectSeries, {aggregation:?}"));
        assert_eq!(
            found,
            shown(pyroscope, &steps, (aggregation, limit)),
            "{said}"
        );
    }

    // Without a call site these are values of profiles, of which some have no stack.
    if names.is_empty() {
        return;
    }
    // A profile without any of the stacks counts as well.
    steps.values_mut().for_each(|points| {
        points.values_mut().for_each(|(value, _)| *value = 0);
    });
    for stack in below(pyroscope.stacks(), &names) {
        let time = stack.row.time.div_euclid(step) * step;
        add(&mut steps, pyroscope, (stack.row, time));
    }
    for (aggregation, found) in [(sum, selected), (average, over_all)] {
        let said = pyroscope.said(&format!("SelectSeries, {aggregation:?} below {names:?}"));
        let expected = without_nothing(shown(pyroscope, &steps, (aggregation, 0)));
        assert_eq!(without_nothing(found), expected, "{said}");
    }
}

/// What adds up to nothing may be there or not.
pub(crate) fn without_nothing(mut all: Series) -> Series {
    for points in all.values_mut() {
        points.retain(|_, value| *value != 0.0);
    }
    all.retain(|_, points| !points.is_empty());
    all
}

pub(crate) fn step(pyroscope: &Pyroscope<'_>) -> i64 {
    match pyroscope.asked.step {
        0 => 3 * SECOND,
        step => step,
    }
}

fn add(steps: &mut Steps, pyroscope: &Pyroscope<'_>, (row, time): (&Row, i64)) {
    let names = pyroscope.asked.sum_by.iter();
    let labels = names.filter_map(|name| Some((name.clone(), first(row, name)?)));
    let points = steps.entry(labels.collect()).or_default();
    let (value, profiles) = points.entry(time).or_default();
    *value += row.value();
    if !profiles.contains(&row.profile) {
        profiles.push(row.profile);
    }
}

/// The largest series, as clients see them.
fn shown(
    pyroscope: &Pyroscope<'_>,
    steps: &Steps,
    (aggregation, limit): (TimeSeriesAggregationType, usize),
) -> Series {
    let mut sized = Vec::new();
    for (labels, points) in steps {
        let size: i64 = points.values().map(|(value, _)| value).sum();
        sized.push((-size, labels));
    }
    sized.sort();
    match limit {
        0 => {}
        limit => sized.truncate(limit),
    }
    let start = pyroscope.asked.range.start;
    let point = |(time, (value, profiles)): (&i64, &(i64, Vec<usize>))| {
        let value = match aggregation {
            TimeSeriesAggregationType::Sum => *value as f64,
            TimeSeriesAggregationType::Average => *value as f64 / profiles.len() as f64,
        };
        ((*time).max(start) / NANOS_PER_MILLI, value)
    };
    let of = |labels: &BTreeMap<String, String>| steps[labels].iter().map(point).collect();
    let series = sized.into_iter();
    series
        .map(|(_, labels)| (labels.clone(), of(labels)))
        .collect()
}

pub(crate) async fn ask(
    pyroscope: &Pyroscope<'_>,
    aggregation: TimeSeriesAggregationType,
    (stack_trace_selector, limit): (Option<StackTraceSelector>, usize),
) -> Series {
    let asked = pyroscope.asked;
    let (start, end) = asked.millis();
    let request = SelectSeriesRequest {
        profile_type_id: asked.profile_type.to_string(),
        label_selector: asked.label_selector(),
        start,
        end,
        group_by: asked.sum_by.clone(),
        step: step(pyroscope) as f64 / SECOND as f64,
        aggregation: Some(aggregation.into()),
        stack_trace_selector,
        limit: Some(limit as i64),
        ..SelectSeriesRequest::default()
    };
    let found: SelectSeriesResponse = pyroscope.client.ask("SelectSeries", request).await;
    let mut out = Series::new();
    for series in found.series {
        let labels = series
            .labels
            .into_iter()
            .map(|pair| (pair.name, pair.value));
        let points = series.points.into_iter().map(|of| (of.timestamp, of.value));
        let before = out.insert(labels.collect(), points.collect());
        assert_eq!(before, None, "a series twice");
    }
    out
}
