//! What counters have grown by over time and one by one, through Pyroscope's API.

use std::collections::BTreeMap;

use cairn_engine::GroupBy;
use cairn_wire::types::v1::TimeSeriesAggregationType;

use super::Place;
use super::case::Asked;
use super::growth::{Grown, Step};
use super::pyroscope::{NANOS_PER_MILLI, Pyroscope};
use super::singles::{Of, Set, Single};
use super::{pyroscope_exemplars, pyroscope_heatmap, pyroscope_series};
use crate::model::Row;

/// Of one point, or one profile.
type Steps<'a, K> = BTreeMap<K, Vec<&'a Step<'a>>>;

pub(crate) async fn check(place: &Place<'_>, asked: &Asked, (rows, steps): (&[&Row], &[Step<'_>])) {
    let pyroscope = Pyroscope::of(place, asked, rows);
    let by = |step: &Step<'_>| shown(&step.labels, &asked.sum_by);
    let mut singles: Steps<'_, Single> = BTreeMap::new();
    for step in steps {
        let single = Single {
            group: by(step),
            labels: step.labels.clone(),
            time: step.time,
            span: None,
        };
        singles.entry(single).or_default().push(step);
    }
    let values = singles.iter().map(|(single, steps)| {
        let value = steps.iter().map(|step| step.value()).sum();
        (single.clone(), value)
    });
    let values: BTreeMap<Single, i64> = values.collect();
    let of = (Of::Profiles, &asked.sum_by[..]);
    futures::join!(
        Box::pin(series(&pyroscope, steps)),
        Box::pin(exemplars(&pyroscope, values.clone())),
        Box::pin(pyroscope_heatmap::check_singles(
            &pyroscope,
            Some(values),
            of
        )),
        Box::pin(of_stacks(place, asked, (rows, steps), singles)),
    );
}

fn shown(labels: &Set, names: &[String]) -> Set {
    let mut labels = labels.clone();
    labels.retain(|name, _| names.contains(name));
    labels
}

/// By labels, and the start of the step in nanoseconds.
fn points<'a>(pyroscope: &Pyroscope<'_>, steps: &'a [Step<'a>]) -> Steps<'a, (Set, i64)> {
    let length = pyroscope_series::step(pyroscope);
    let mut points: Steps<'_, (Set, i64)> = BTreeMap::new();
    for step in steps {
        let time = step.time.div_euclid(length) * length;
        let key = (shown(&step.labels, &pyroscope.asked.sum_by), time);
        points.entry(key).or_default().push(step);
    }
    points
}

fn as_series(
    pyroscope: &Pyroscope<'_>,
    values: impl Iterator<Item = ((Set, i64), i64)>,
) -> pyroscope_series::Series {
    let mut series = pyroscope_series::Series::new();
    for ((labels, time), value) in values {
        let time = time.max(pyroscope.asked.range.start) / NANOS_PER_MILLI;
        series.entry(labels).or_default().insert(time, value as f64);
    }
    series
}

async fn series(pyroscope: &Pyroscope<'_>, steps: &[Step<'_>]) {
    let points = points(pyroscope, steps).into_iter();
    let values = points.map(|(key, of)| (key, of.iter().map(|step| step.value()).sum()));
    let expected = as_series(pyroscope, values);
    let sum = TimeSeriesAggregationType::Sum;
    let found = pyroscope_series::ask(pyroscope, sum, (None, 0)).await;
    let said = pyroscope.said("SelectSeries of growth");
    assert_eq!(found, expected, "{said}");
}

async fn exemplars(pyroscope: &Pyroscope<'_>, values: BTreeMap<Single, i64>) {
    let of = (Of::Profiles, &pyroscope.asked.sum_by[..]);
    let found = pyroscope_exemplars::ask(pyroscope, of, None).await;
    let said = pyroscope.said("exemplars of growth");
    pyroscope_exemplars::check_points(pyroscope, found, (values, of.1), &said);
}

/// What stacks below some calls grew by: in each step of time, and up to each profile.
async fn of_stacks(
    place: &Place<'_>,
    asked: &Asked,
    (rows, steps): (&[&Row], &[Step<'_>]),
    singles: Steps<'_, Single>,
) {
    let (names, selector) = Pyroscope::of(place, asked, rows).call_site();
    if names.is_empty() {
        return;
    }
    let below = |grown: &Grown<'_>| -> Option<i64> {
        let all = grown.stacks.iter();
        let all = all.filter(|(stack, ..)| stack.names().starts_with(&names));
        let values: Vec<i64> = all.map(|(.., value)| *value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    };
    let grown = |of: &[&Step<'_>]| Grown::of(of, &GroupBy::Nothing).has_shrunk;
    let points = points(&Pyroscope::of(place, asked, rows), steps);
    let has_shrunk = points.values().any(|of| grown(of));
    let place = &place.shrinking(has_shrunk);
    let pyroscope = Pyroscope::of(place, asked, rows);
    let values = points.into_iter().filter_map(|(key, of)| {
        let grown = Grown::of(&of, &GroupBy::Nothing);
        Some((key, below(&grown)?))
    });
    let expected = as_series(&pyroscope, values);
    let sum = TimeSeriesAggregationType::Sum;
    let found = pyroscope_series::ask(&pyroscope, sum, (Some(selector.clone()), 0)).await;
    let said = pyroscope.said(&format!("SelectSeries of growth below {names:?}"));
    assert_eq!(found, expected, "{said}");

    // What shrank up to one profile may have grown over all steps of a point, and none is told.
    let has_shrunk = has_shrunk || singles.values().any(|of| grown(of));
    if has_shrunk {
        return;
    }
    let values = singles.into_iter().filter_map(|(single, of)| {
        let grown = Grown::of(&of, &GroupBy::Nothing);
        Some((single, below(&grown)?))
    });
    let of = (Of::Profiles, &asked.sum_by[..]);
    let found = pyroscope_exemplars::ask(&pyroscope, of, Some(selector)).await;
    let said = pyroscope.said(&format!("exemplars of growth below {names:?}"));
    pyroscope_exemplars::check_points(&pyroscope, found, (values.collect(), of.1), &said);
}
