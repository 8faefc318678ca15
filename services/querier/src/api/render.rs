//! Pyroscope's render: one flame graph and its timeline in one JSON answer.

mod compared;
mod timeline;

use std::collections::BTreeMap;

use axum::Router;
use axum::response::Response;
use cairn_engine::{Flame, GroupBy, KeyBy, Question, Series, Trim, callgraph, dot};
use cairn_model::{ProfileType, TimeRange};
use serde::Serialize;

use self::timeline::Timeline;
use crate::api::flamebearer::Flamebearer;
use crate::api::handle::answer;
use crate::api::http_error::body_of;
use crate::api::page::{names, total_series};
use crate::api::params::Params;
use crate::api::texts;
use crate::error::{Error, Warning};
use crate::querier::{Querier, Reply, Rows, Session};

/// What Pyroscope shows unless asked otherwise.
pub(crate) const NODES_DEFAULT: usize = 8192;
/// Functions in a graph of calls: of more, nobody can tell one line from another.
pub(crate) const CALLS_DEFAULT: usize = 100;
pub(crate) const NODES_MAX: usize = 1_048_576;

pub(crate) fn routes(querier: Querier) -> Router {
    Router::new()
        .route("/pyroscope/render", answer(render))
        .route("/pyroscope/render-diff", answer(compared::render_diff))
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
    let params = params.promql();
    let range = range(&session, &params, ["from", "until"])?;
    let rows = params.rows_of(&session, "query", range).await?;
    match params.get(&["format"]) {
        None | Some("json") => {}
        Some("dot") => return graph(session, params, rows).await,
        Some(other) => return Err(Error::Unsupported(format!("the format {other}"))),
    }
    let trim = trim(&params, NODES_DEFAULT);
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
    let metadata = metadata(&rows.profile_type, "single");
    let partial = stacks.value.partial;
    let notes = session.notes.clone();
    let body = session.compute(move || {
        let flame = Flame::trimmed(&partial, KeyBy::default(), &trim);
        notes.trimmed(&flame);
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

/// The graph of calls, for Graphviz.
async fn graph(session: Session, params: Params, rows: Rows) -> Result<Response, Error> {
    let Trim { nodes_max, .. } = trim(&params, CALLS_DEFAULT);
    let reply = session.stacks(&rows, GroupBy::Nothing).await?;
    let (partial, unit) = (reply.value.partial, rows.profile_type.sample_unit);
    let notes = session.notes.clone();
    let draw = move || {
        let flame = Flame::build(&partial, KeyBy::default());
        let graph = callgraph(&flame, nodes_max);
        notes.error(graph.max_error);
        dot(&flame, &graph, &unit)
    };
    let text = session.compute(draw).await;
    let content_type = "text/vnd.graphviz; charset=utf-8";
    Ok(body_of(content_type, text, &reply.warnings))
}

/// The last hour unless said otherwise. A bound of 0 is one that a client forgot to fill in.
fn range(session: &Session, params: &Params, [from, until]: [&str; 2]) -> Result<TimeRange, Error> {
    for name in [from, until] {
        if params.get(&[name]) == Some("0") {
            return Err(Error::Invalid(format!("{name} must not be 0")));
        }
    }
    params.named_range(session, &[from], &[until])
}

/// What is no number is no reason to refuse: clients send whatever is in their form.
fn trim(params: &Params, default: usize) -> Trim {
    let asked = params.count(&["maxNodes", "max-nodes"]);
    let nodes_max = match asked.ok().flatten() {
        None | Some(0) => default,
        Some(nodes) => nodes.min(NODES_MAX),
    };
    Trim {
        fraction: 0.0,
        nodes_max,
    }
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
fn metadata(profile_type: &ProfileType, format: &'static str) -> Metadata {
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
        format,
        spy_name: "",
        sample_rate,
        units,
        name: kind.to_owned(),
    }
}

async fn label_values(session: Session, params: Params) -> Result<Response, Error> {
    let params = params.promql();
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
