//! QueryRange: values over time.

use cairn_engine::{Point, Series};
use cairn_model::{Labels, ProfileType, Selector, TimeRange};
use cairn_wire::parca::profilestore::v1alpha1::LabelSet;
use cairn_wire::parca::query::v1alpha1::{
    MetricsSample, MetricsSeries, QueryRangeRequest, QueryRangeResponse, ValueType,
};

use super::types::nanos;
use crate::error::Error;
use crate::querier::{Reply, Rows, Session};

/// Clients compare this text.
const NO_DATA: &str = "No data found for the query, try a different query or time range or no data has been written to be queried yet.";

pub(super) async fn query_range(
    session: Session,
    request: QueryRangeRequest,
) -> Result<Reply<QueryRangeResponse>, Error> {
    let QueryRangeRequest {
        query,
        start,
        end,
        limit,
        step,
        sum_by,
    } = request;
    let required = |name: &str| Error::Invalid(format!("{name} is required"));
    if query.is_empty() {
        return Err(required("query"));
    }
    let range = TimeRange {
        start: nanos(&start.ok_or_else(|| required("start"))?)?,
        end: nanos(&end.ok_or_else(|| required("end"))?)?,
    };
    if range.end <= range.start {
        return Err(Error::Invalid("start must be before end".to_owned()));
    }
    let step = step.map_or(0, |step| cairn_wire::nanos_of_duration(&step));
    if step < 0 {
        return Err(Error::Invalid("step must not be negative".to_owned()));
    }
    let (profile_type, matchers) = Selector::parse_typed(&query)?;
    let rows = session
        .resolve(Rows {
            profile_type,
            matchers,
            range,
        })
        .await?;
    let found = values(&session, &rows, step, sum_by).await?;
    let series = render(&rows.profile_type, step, limit as usize, found.value);
    match (series.is_empty(), found.warnings.as_slice()) {
        (true, []) => Err(Error::NotFound(NO_DATA)),
        // "No data" would be a lie: nobody knows what is in what could not be read.
        (true, [first, ..]) => Err(Error::Unread(first.to_string())),
        (false, _) => Ok(Reply {
            value: QueryRangeResponse { series },
            warnings: found.warnings,
        }),
    }
}

/// The series of a type: spans of time add up in the engine, of snapshots the first of each label
/// set counts, so those are summed once all sources are merged.
pub(crate) async fn values(
    session: &Session,
    rows: &Rows,
    step: i64,
    sum_by: Vec<String>,
) -> Result<Reply<Series>, Error> {
    if rows.profile_type.delta {
        return session.series(rows, step, Some(sum_by)).await;
    }
    let all = session.series(rows, step, None).await?;
    Ok(match sum_by.is_empty() {
        true => all,
        false => all.map(|series| series.sum_by(&sum_by)),
    })
}

/// What one point is worth: `(value, per second, duration)`.
pub(crate) fn value(profile_type: &ProfileType, step: i64, point: &Point) -> (i64, f64, i64) {
    if !profile_type.delta {
        return (point.first, point.first as f64, 0);
    }
    let counts = counts_samples(profile_type);
    let value = match counts {
        true => point.value.saturating_mul(point.period.max(1)),
        false => point.value,
    };
    let alone = step == 0 || point.first_time == point.last_time;
    let duration = if alone { point.duration } else { step };
    let unit = match counts {
        true => &profile_type.period_unit,
        false => &profile_type.sample_unit,
    };
    // Nanoseconds per nanosecond are cores; everything else is units per second.
    let seconds = match unit.as_str() {
        "nanoseconds" => duration as f64,
        _ => duration as f64 / 1e9,
    };
    let per_second = if duration > 0 {
        value as f64 / seconds
    } else {
        0.0
    };
    (value, per_second, duration)
}

/// Samples stand for periods, so a count of samples is shown as what the period measures.
fn counts_samples(profile_type: &ProfileType) -> bool {
    profile_type.sample_type == "samples" && profile_type.sample_unit == "count"
}

/// The largest `limit` series, by label set; `0` means all.
fn render(
    profile_type: &ProfileType,
    step: i64,
    limit: usize,
    Series(series): Series,
) -> Vec<MetricsSeries> {
    let value_type = |kind: &str, unit: &str| ValueType {
        r#type: kind.to_owned(),
        unit: unit.to_owned(),
    };
    let period_type = value_type(&profile_type.period_type, &profile_type.period_unit);
    let sample_type = match profile_type.delta && counts_samples(profile_type) {
        true => period_type.clone(),
        false => value_type(&profile_type.sample_type, &profile_type.sample_unit),
    };
    let mut sized: Vec<(i128, Labels, Vec<MetricsSample>)> = Vec::new();
    for (labels, points) in series {
        let samples: Vec<MetricsSample> = points
            .iter()
            .map(|(time, point)| {
                let (value, value_per_second, duration) = value(profile_type, step, point);
                MetricsSample {
                    timestamp: Some(cairn_wire::timestamp(*time)),
                    value,
                    value_per_second,
                    duration,
                    count: i32::try_from(point.profiles).unwrap_or(i32::MAX),
                }
            })
            .collect();
        let size = samples.iter().map(|sample| i128::from(sample.value)).sum();
        sized.push((size, labels, samples));
    }
    if limit > 0 && sized.len() > limit {
        sized.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        sized.truncate(limit);
        sized.sort_by(|a, b| a.1.cmp(&b.1));
    }
    let series = sized.into_iter().map(|(_, labels, samples)| MetricsSeries {
        labelset: Some(LabelSet::from(&labels)),
        samples,
        period_type: Some(period_type.clone()),
        sample_type: Some(sample_type.clone()),
    });
    series.collect()
}

#[cfg(test)]
mod tests;
