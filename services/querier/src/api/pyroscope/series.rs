//! Values over time.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use cairn_engine::{GroupBy, Point, Series};
use cairn_model::{Labels, TimeRange};
use cairn_trie::Partial;
use cairn_wire::querier::v1::{SelectSeriesRequest, SelectSeriesResponse};
use cairn_wire::types::v1::{self as types, StackTraceSelector, TimeSeriesAggregationType};

use super::exemplars;
use super::rows::{Asked, NANOS_PER_MILLI};
use super::stacks::select;
use crate::error::Error;
use crate::group::OfGroup;
use crate::querier::{Reply, Rows, Session};

/// Steps of one series for which stacks, or slots, are kept apart.
pub(super) const STEPS_MAX: i64 = 11_000;

pub(super) async fn select_series(
    session: Session,
    request: SelectSeriesRequest,
) -> Result<Reply<SelectSeriesResponse>, Error> {
    let SelectSeriesRequest {
        profile_type_id,
        label_selector,
        start,
        end,
        group_by,
        step,
        aggregation,
        stack_trace_selector,
        limit,
        exemplar_type,
    } = request;
    let rows = Asked {
        profile_type: &profile_type_id,
        selector: &label_selector,
        start,
        end,
    }
    .rows()?;
    let step = step_nanos(step)?;
    let aggregation = aggregation.unwrap_or_default();
    let aggregation = TimeSeriesAggregationType::try_from(aggregation)
        .map_err(|_| Error::Invalid(format!("unknown aggregation {aggregation}")))?;
    let limit = limit_of(limit)?;
    let selector = stack_trace_selector.unwrap_or_default();
    let is_whole = selector == StackTraceSelector::default();
    let exemplars = exemplars::wanted(exemplar_type)?;
    let rows = session.resolve(rows).await?;
    let found = match is_whole {
        true => session.series(&rows, step, Some(group_by.clone())).await?,
        false => {
            let by = (step, group_by.clone());
            let asked = of_stacks(&session, &rows, by, (selector.clone(), aggregation));
            Box::pin(asked).await?
        }
    };
    let Reply {
        value: series,
        mut warnings,
    } = found;
    let mut largest = BTreeMap::new();
    if let Some(of) = exemplars {
        let singles = match is_whole {
            true => Box::pin(session.singles(&rows, &group_by, of)).await?,
            false => {
                let select = move |partial| select(partial, selector);
                Box::pin(session.singles_of_stacks(&rows, (&group_by, of), select)).await?
            }
        };
        warnings.extend(singles.warnings);
        largest = exemplars::largest(singles.value, step);
    }
    let exemplars = |labels: &Labels, time: i64| {
        let single = largest.get(&(labels.clone(), time));
        let told = single.map(|single| exemplars::told(single, &rows.profile_type, &group_by));
        told.into_iter().collect()
    };
    let value = SelectSeriesResponse {
        series: told(series, rows.range, (aggregation, limit), exemplars),
    };
    Ok(Reply { value, warnings })
}

/// Sums of the stacks that are selected, by time and labels. For averages, a profile without any of
/// them counts as well.
async fn of_stacks(
    session: &Session,
    rows: &Rows,
    (step, labels): (i64, Vec<String>),
    (selector, aggregation): (StackTraceSelector, TimeSeriesAggregationType),
) -> Result<Reply<Series>, Error> {
    let span = rows.range.end.saturating_sub(rows.range.start);
    if span / step > STEPS_MAX {
        return Err(Error::Invalid(format!(
            "more than {STEPS_MAX} steps with stack_trace_selector: choose a longer step"
        )));
    }
    let all = match aggregation {
        TimeSeriesAggregationType::Sum => None,
        TimeSeriesAggregationType::Average => {
            Some(session.series(rows, step, Some(labels.clone())).await?)
        }
    };
    let Reply {
        value,
        mut warnings,
    } = session
        .stacks(rows, GroupBy::Profiles { step, labels })
        .await?;
    let sum = move || sums(&select(value.partial, selector));
    let mut value = session.compute(sum).await?;
    if let Some(all) = all {
        count_profiles(&mut value, &all.value);
        warnings.extend(all.warnings);
    }
    Ok(Reply { value, warnings })
}

/// How many profiles each sum is of.
fn count_profiles(sums: &mut Series, all: &Series) {
    for (labels, points) in &mut sums.0 {
        let all = all.0.get(labels);
        for (time, point) in points {
            let of = all.and_then(|points| points.get(time));
            point.profiles = of.map_or(0, |of| of.profiles);
        }
    }
}

/// The time of each group, and the rest of it: the labels of a series. What was folded for lack of
/// memory is of no time, and left out.
fn sums(partial: &Partial) -> Result<Series, Error> {
    let groups = partial.groups.iter().map(OfGroup::read);
    let groups = groups.collect::<Result<Vec<_>, _>>()?;
    let mut series = Series::default();
    for value in &partial.values {
        let of = &groups[value.group as usize];
        let Some(time) = of.time else {
            continue;
        };
        let points = series.0.entry(of.labels.clone()).or_default();
        let point = points.entry(time).or_default();
        point.value = point.value.wrapping_add(value.value);
    }
    Ok(series)
}

/// Seconds, at least a millisecond.
pub(super) fn step_nanos(seconds: f64) -> Result<i64, Error> {
    let millis = seconds * 1e3;
    if millis.is_finite() && (1.0..=1e15).contains(&millis) {
        return Ok((millis.round() as i64).saturating_mul(NANOS_PER_MILLI));
    }
    Err(Error::Invalid(format!(
        "step is {seconds}; it must be seconds, at least 0.001"
    )))
}

/// `0` and nothing stand for all.
pub(super) fn limit_of(asked: Option<i64>) -> Result<usize, Error> {
    match asked {
        None | Some(0) => Ok(usize::MAX),
        Some(asked) => usize::try_from(asked)
            .map_err(|_| Error::Invalid(format!("limit is {asked}; it must not be negative"))),
    }
}

/// The largest `limit` series, largest first, if there are more; else all by their labels.
fn told(
    Series(series): Series,
    range: TimeRange,
    (aggregation, limit): (TimeSeriesAggregationType, usize),
    exemplars: impl Fn(&Labels, i64) -> Vec<types::Exemplar>,
) -> Vec<types::Series> {
    let value = |point: &Point| match aggregation {
        TimeSeriesAggregationType::Sum => point.value as f64,
        TimeSeriesAggregationType::Average => point.value as f64 / point.profiles.max(1) as f64,
    };
    let mut sized: Vec<(i128, types::Series)> = series
        .into_iter()
        .map(|(labels, points)| {
            let size = points.values().map(|point| i128::from(point.value)).sum();
            let point = |(time, point): (&i64, &Point)| types::Point {
                value: value(point),
                // The first step may begin before what was asked for.
                timestamp: (*time).max(range.start).div_euclid(NANOS_PER_MILLI),
                exemplars: exemplars(&labels, *time),
            };
            let told = types::Series {
                labels: cairn_wire::pairs_of_labels(&labels),
                points: points.iter().map(point).collect(),
            };
            (size, told)
        })
        .collect();
    if sized.len() > limit {
        // Stable: equal ones stay in the order of their labels.
        sized.sort_by_key(|(size, _)| Reverse(*size));
        sized.truncate(limit);
    }
    sized.into_iter().map(|(_, series)| series).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_at_least_a_millisecond() {
        assert_eq!(step_nanos(15.0).expect("valid"), 15_000_000_000);
        assert_eq!(step_nanos(0.001).expect("valid"), 1_000_000);
        for bad in [0.0, -1.0, 0.0001, f64::NAN, f64::INFINITY, 1e300] {
            assert!(step_nanos(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn points_are_sums_or_averages_and_limits_keep_the_largest() {
        let labels = |pod| Labels::from_pairs([("pod", pod)]).expect("valid");
        let point = |value, profiles| Point {
            value,
            profiles,
            ..Point::default()
        };
        let second = 1_000_000_000;
        let series = Series(BTreeMap::from([
            (labels("a"), BTreeMap::from([(0, point(6, 3))])),
            (
                labels("b"),
                BTreeMap::from([(0, point(5, 1)), (15 * second, point(4, 2))]),
            ),
        ]));
        let range = TimeRange {
            start: 7 * second,
            end: 60 * second,
        };
        let shown = |aggregation, limit| -> Vec<(String, Vec<(i64, f64)>)> {
            let none = |_: &Labels, _| Vec::new();
            let all = told(series.clone(), range, (aggregation, limit), none);
            let points = |of: types::Series| {
                let points = of.points.iter().map(|p| (p.timestamp, p.value));
                (of.labels[0].value.clone(), points.collect())
            };
            all.into_iter().map(points).collect()
        };
        let (a, b) = ("a".to_owned(), "b".to_owned());
        assert_eq!(
            shown(TimeSeriesAggregationType::Sum, usize::MAX),
            [
                (a.clone(), vec![(7_000, 6.0)]),
                (b.clone(), vec![(7_000, 5.0), (15_000, 4.0)])
            ]
        );
        assert_eq!(
            shown(TimeSeriesAggregationType::Average, 1),
            [(b, vec![(7_000, 5.0), (15_000, 2.0)])]
        );
        assert!(limit_of(Some(-1)).is_err());
    }
}
