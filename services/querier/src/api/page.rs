//! The JSON of the web page. Errors are `{message}`.

mod flame;
mod profiles;
mod trace;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use cairn_engine::{Flame, GroupBy, KeyBy, Question, Series, Trim};
use cairn_model::{ProfileType, TimeRange};
use cairn_trie::Partial;
use http::Extensions;
use serde::Serialize;
use tower_http::compression::CompressionLayer;

use crate::api::handle::{answer, respond};
use crate::api::http_error::body_of;
use crate::api::params::Params;
use crate::api::parca::range;
use crate::api::texts;
use crate::api::time::{nanos, span};
use crate::error::{Error, Warning};
use crate::notes::Notes;
use crate::profile_id::profile_ids;
use crate::querier::{Querier, Reply, Rows, Session};

const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Points of a series if the request names no step.
const POINTS: i64 = 300;
/// Nodes that a request may ask for.
const NODES_MAX: usize = 1_000_000;

pub(crate) fn routes(querier: Querier) -> Router {
    Router::new()
        .route("/api/v1/profile-types", answer(profile_types))
        .route("/api/v1/labels", answer(labels))
        .route("/api/v1/labels/{name}/values", get(values))
        .route("/api/v1/series", answer(series))
        .route("/api/v1/profiles", answer(profiles::profiles))
        .route("/api/v1/flamegraph", answer(flamegraph))
        .route("/api/v1/diff", answer(diff))
        .route("/api/v1/explain", answer(explain))
        .route("/api/v1/traces/{trace_id}", get(trace::trace))
        .layer(CompressionLayer::new())
        .with_state(querier)
}

#[derive(Serialize)]
struct TypeRow {
    id: String,
    name: String,
    unit: &'static str,
    delta: bool,
}

#[derive(Debug, Serialize, PartialEq)]
struct SeriesColumns {
    /// Seconds.
    ts: Vec<f64>,
    labels: Vec<String>,
    series: Vec<Vec<Option<i64>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

async fn profile_types(session: Session, params: Params) -> Result<Response, Error> {
    let types = session.types(params.range_or_all(&session)?, &[]).await?;
    let rows: Vec<TypeRow> = types.value.iter().map(type_row).collect();
    json(&rows, &types.warnings)
}

fn type_row(profile_type: &ProfileType) -> TypeRow {
    TypeRow {
        id: profile_type.to_string(),
        name: format!("{} {}", profile_type.name, profile_type.sample_type),
        unit: unit(profile_type),
        delta: profile_type.delta,
    }
}

/// The unit as the page's components know it.
fn unit(profile_type: &ProfileType) -> &'static str {
    match profile_type.sample_unit.as_str() {
        "nanoseconds" => "ns",
        "bytes" => "bytes",
        _ => "short",
    }
}

async fn labels(session: Session, params: Params) -> Result<Response, Error> {
    let names = names(&session, &params, Question::LabelNames).await?;
    json(&names.value, &names.warnings)
}

async fn values(
    State(querier): State<Querier>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    extensions: Extensions,
) -> Response {
    let params = Params::parse(&query.unwrap_or_default());
    respond(&querier, &extensions, params, async |session, params| {
        let names = names(&session, &params, Question::LabelValues(name)).await?;
        json(&names.value, &names.warnings)
    })
    .await
}

/// Names or values among the rows that `type` and `query` select, or among all.
pub(crate) async fn names(
    session: &Session,
    params: &Params,
    question: Question,
) -> Result<Reply<Vec<String>>, Error> {
    let range = params.range_or_all(session)?;
    let selector = params.selector("query")?;
    let query = session.query_of(selector, (range, question)).await?;
    session.names(&query).await
}

async fn series(session: Session, params: Params) -> Result<Response, Error> {
    let rows = params.rows(&session).await?;
    let step = step(&params, rows.range)?;
    let sum_by = params.list("group_by");
    let found = total_series(&session, &rows, step, sum_by).await?;
    let columns = columns(&rows.profile_type, step, &found);
    json(&columns, &found.warnings)
}

fn step(params: &Params, range: TimeRange) -> Result<i64, Error> {
    match params.get(&["step"]) {
        Some(text) => span(text)
            .map(nanos)
            .filter(|step| *step > 0)
            .ok_or_else(|| Error::Invalid(format!("invalid step {text:?}: use seconds or 15s"))),
        None => {
            let seconds = range.end.saturating_sub(range.start) / NANOS_PER_SECOND;
            Ok((seconds / POINTS).max(1) * NANOS_PER_SECOND)
        }
    }
}

/// One series without groups, whatever the type: the page draws a total unless asked for more.
pub(crate) async fn total_series(
    session: &Session,
    rows: &Rows,
    step: i64,
    sum_by: Vec<String>,
) -> Result<Reply<Series>, Error> {
    let alone = sum_by.is_empty() && !rows.profile_type.delta;
    let found = range::values(session, rows, step, sum_by).await?;
    Ok(match alone {
        true => found.map(|series| series.sum_by(&[])),
        false => found,
    })
}

fn columns(profile_type: &ProfileType, step: i64, found: &Reply<Series>) -> SeriesColumns {
    let all = &found.value.0;
    let mut times: Vec<i64> = all
        .values()
        .flat_map(|points| points.keys().copied())
        .collect();
    times.sort_unstable();
    times.dedup();
    let series = all.values().map(|points| {
        let value = |time: &i64| {
            let point = points.get(time)?;
            Some(range::value(profile_type, step, point).0)
        };
        times.iter().map(value).collect()
    });
    SeriesColumns {
        labels: all.keys().map(ToString::to_string).collect(),
        series: series.collect(),
        ts: times
            .iter()
            .map(|time| *time as f64 / NANOS_PER_SECOND as f64)
            .collect(),
        warnings: texts(&found.warnings),
    }
}

async fn flamegraph(session: Session, params: Params) -> Result<Response, Error> {
    let prefix = params.each("stack_prefix");
    let trim = trim(&session, &params)?;
    let (rows, reply) = match profile_ids("profile_id", &params.each("profile_id"))? {
        None => {
            let rows = params.rows(&session).await?;
            let reply = session.stacks(&rows, GroupBy::Nothing).await?;
            (rows, reply)
        }
        Some(ids) => {
            let asked = params.asked("query", params.range(&session)?)?;
            Box::pin(session.stacks_of(asked, &ids)).await?
        }
    };
    let (partial, warnings) = (reply.value.partial, reply.warnings);
    let unit = unit(&rows.profile_type);
    let texts = texts(&warnings);
    let name = format!(
        "page {} {:?} {prefix:?} {trim:?} {texts:?}",
        rows.profile_type, rows.matchers
    );
    let draw = move |of: &[Partial], notes: &Notes| {
        // What lies below one call: the nodes that may be shown are all for it.
        let below = (!prefix.is_empty()).then(|| cairn_engine::below(of[0].clone(), &prefix));
        let shown = below.as_ref().unwrap_or(&of[0]);
        let flame = Flame::trimmed(shown, KeyBy::default(), &trim);
        notes.trimmed(&flame);
        encode(&flame::single(&flame, unit, texts))
    };
    let body = session.report(name, vec![partial], draw).await?;
    Ok(body_of("application/json", body, &warnings))
}

/// What a flame graph takes, instead of the flame graph.
async fn explain(session: Session, params: Params) -> Result<Response, Error> {
    let rows = params.rows(&session).await?;
    let reply = session.stacks(&rows, GroupBy::Nothing).await?;
    json(&session.explain.summary(), &reply.warnings)
}

async fn diff(session: Session, params: Params) -> Result<Response, Error> {
    let prefix = params.each("stack_prefix");
    let a = params.rows(&session).await?;
    let range = params.named_range(&session, &["b_from", "from"], &["b_until", "until"])?;
    let b_query = if params.get(&["b_query"]).is_some() {
        "b_query"
    } else {
        "query"
    };
    let b = params.rows_of(&session, b_query, range).await?;
    let trim = trim(&session, &params)?;
    let (base, compare) = futures::try_join!(
        session.stacks(&a, GroupBy::Nothing),
        session.stacks(&b, GroupBy::Nothing)
    )?;
    let warnings: Vec<Warning> = base.warnings.into_iter().chain(compare.warnings).collect();
    let texts = texts(&warnings);
    let unit = unit(&b.profile_type);
    let (base, compare) = (base.value.partial, compare.value.partial);
    let notes = session.notes.clone();
    let body = session.compute(move || {
        let (base, compare) = (
            cairn_engine::below(base, &prefix),
            cairn_engine::below(compare, &prefix),
        );
        let flame = Flame::compare_trimmed(&base, &compare, KeyBy::default(), &trim);
        notes.trimmed(&flame);
        encode(&flame::compared(&flame, unit, texts))
    });
    Ok(body_of("application/json", body.await?, &warnings))
}

pub(crate) fn trim(session: &Session, params: &Params) -> Result<Trim, Error> {
    let default = session.querier.config().limits.flamegraph_nodes;
    let nodes = match params.count(&["max_nodes", "maxNodes"])? {
        None | Some(0) => default,
        Some(nodes) => nodes.min(NODES_MAX),
    };
    Ok(Trim {
        fraction: 0.0,
        nodes_max: nodes,
    })
}

fn json<T: Serialize>(value: &T, warnings: &[Warning]) -> Result<Response, Error> {
    Ok(body_of("application/json", encode(value)?, warnings))
}

fn encode<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Json(error.to_string()))
}

#[cfg(test)]
mod tests;
