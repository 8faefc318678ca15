//! Pyroscope's render: one flame graph and its timeline in one JSON answer.

mod flamebearer;
mod timeline;

use std::collections::BTreeMap;

use axum::Router;
use axum::response::Response;
use cairn_engine::{Flame, GroupBy, KeyBy, Question, Series, Trim};
use cairn_model::ProfileType;
use serde::Serialize;

use self::flamebearer::Flamebearer;
use self::timeline::Timeline;
use crate::api::handle::answer;
use crate::api::http_error::body_of;
use crate::api::page::{names, total_series};
use crate::api::params::Params;
use crate::api::texts;
use crate::error::{Error, Warning};
use crate::querier::{Querier, Reply, Rows, Session};

/// What Pyroscope shows unless asked otherwise.
const NODES_DEFAULT: usize = 8192;
const NODES_MAX: usize = 1_000_000;

pub(crate) fn routes(querier: Querier) -> Router {
    Router::new()
        .route("/pyroscope/render", answer(render))
        .route("/pyroscope/label-values", answer(label_values))
        .with_state(querier)
}

#[derive(Serialize)]
struct Rendered {
    version: u8,
    flamebearer: Flamebearer,
    metadata: Metadata,
    timeline: Timeline,
    groups: Option<BTreeMap<String, Timeline>>,
    heatmap: Option<()>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    format: &'static str,
    spy_name: &'static str,
    sample_rate: u32,
    units: &'static str,
    name: String,
}

async fn render(session: Session, params: Params) -> Result<Response, Error> {
    match params.get(&["format"]) {
        None | Some("json") => {}
        Some(other) => return Err(Error::Unsupported(format!("the format {other}"))),
    }
    let rows = params.rows(&session).await?;
    let nodes_max = match params.count(&["maxNodes", "max-nodes"])? {
        None | Some(0) => NODES_DEFAULT,
        Some(nodes) => nodes.min(NODES_MAX),
    };
    let trim = Trim {
        fraction: 0.0,
        nodes_max,
    };
    let step = timeline::step(rows.range);
    let groups_by = params.list("groupBy").into_iter().next();
    let sum_by: Vec<String> = groups_by.iter().cloned().collect();
    let (stacks, series) = futures::try_join!(
        session.stacks(&rows, GroupBy::Nothing),
        total_series(&session, &rows, step, sum_by)
    )?;
    let (timeline, groups) = timelines(&rows, step, groups_by.as_deref(), &series);
    let warnings: Vec<Warning> = stacks.warnings.into_iter().chain(series.warnings).collect();
    let texts = texts(&warnings);
    let metadata = metadata(&rows.profile_type);
    let partial = stacks.value.partial;
    let body = session.querier.cx().compute(move || {
        let flame = Flame::build(&partial, KeyBy::default()).trim(&trim);
        let rendered = Rendered {
            version: 1,
            flamebearer: Flamebearer::of(&flame),
            metadata,
            timeline,
            groups,
            heatmap: None,
            warnings: texts,
        };
        serde_json::to_string(&rendered).map_err(|error| Error::Json(error.to_string()))
    });
    Ok(body_of("application/json", body.await?, &warnings))
}

/// The timeline of everything, and one per value of a label.
fn timelines(
    rows: &Rows,
    step: i64,
    label: Option<&str>,
    series: &Reply<Series>,
) -> (Timeline, Option<BTreeMap<String, Timeline>>) {
    let all = series.value.sum_by(&[]);
    let profile_type = &rows.profile_type;
    let of = |points| Timeline::of(profile_type, rows.range, step, points);
    let empty = BTreeMap::new();
    let total = of(all.0.values().next().unwrap_or(&empty));
    let groups = label.map(|label| {
        let group = |(labels, points): (&cairn_model::Labels, _)| {
            let value = labels.get(label).unwrap_or_default().to_owned();
            (value, of(points))
        };
        series.value.0.iter().map(group).collect()
    });
    (total, groups)
}

/// Units as Pyroscope's page knows them.
fn metadata(profile_type: &ProfileType) -> Metadata {
    let kind = profile_type.sample_type.as_str();
    let (units, sample_rate) = match (kind, profile_type.sample_unit.as_str()) {
        ("cpu", "nanoseconds") => ("samples", 1_000_000_000),
        ("delay", "nanoseconds") => ("lock_nanoseconds", 100),
        ("contentions", _) => ("lock_samples", 100),
        ("goroutine" | "goroutines", _) => ("goroutines", 100),
        (_, "bytes") => ("bytes", 100),
        (_, "nanoseconds") => ("samples", 1_000_000_000),
        ("samples", _) => ("samples", 100),
        _ => ("objects", 100),
    };
    Metadata {
        format: "single",
        spy_name: "",
        sample_rate,
        units,
        name: kind.to_owned(),
    }
}

async fn label_values(session: Session, params: Params) -> Result<Response, Error> {
    let label = params
        .get(&["label", "name"])
        .ok_or_else(|| Error::Invalid("label is required".to_owned()))?
        .to_owned();
    let values = names(&session, &params, Question::LabelValues(label)).await?;
    let body =
        serde_json::to_string(&values.value).map_err(|error| Error::Json(error.to_string()))?;
    Ok(body_of("application/json", body, &values.warnings))
}

#[cfg(test)]
mod tests;
