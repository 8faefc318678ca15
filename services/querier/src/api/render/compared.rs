//! Two flame graphs beside each other.

use axum::response::Response;
use cairn_engine::{Flame, GroupBy, KeyBy};
use serde::Serialize;

use super::{Metadata, NODES_DEFAULT, metadata, range, trim};
use crate::api::flamebearer::Flamebearer;
use crate::api::http_error::body_of;
use crate::api::params::Params;
use crate::api::pyroscope::same_type;
use crate::api::texts;
use crate::error::{Error, Warning};
use crate::querier::{Rows, Session};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Compared {
    version: u8,
    flamebearer: Flamebearer,
    metadata: Metadata,
    left_ticks: i64,
    right_ticks: i64,
    timeline: Option<()>,
    groups: Option<()>,
    heatmap: Option<()>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

pub(super) async fn render_diff(session: Session, params: Params) -> Result<Response, Error> {
    let params = params.promql();
    let left = side(&session, &params, ["leftQuery", "leftFrom", "leftUntil"]).await?;
    let right = side(&session, &params, ["rightQuery", "rightFrom", "rightUntil"]).await?;
    same_type(&left, &right)?;
    let trim = trim(&params, NODES_DEFAULT);
    let metadata = metadata(&left.profile_type, "double");
    let (left, right) = futures::try_join!(
        session.stacks(&left, GroupBy::Nothing),
        session.stacks(&right, GroupBy::Nothing)
    )?;
    let warnings: Vec<Warning> = left.warnings.into_iter().chain(right.warnings).collect();
    let texts = texts(&warnings);
    let (left, right) = (left.value.partial, right.value.partial);
    let notes = session.notes.clone();
    let body = session.compute(move || {
        let flame = Flame::compare_trimmed(&left, &right, KeyBy::default(), &trim);
        notes.trimmed(&flame);
        let root = flame.nodes.first();
        let rendered = Compared {
            version: 1,
            flamebearer: Flamebearer::compared(&flame),
            metadata,
            left_ticks: root.map_or(0, |root| root.base_cumulative),
            right_ticks: root.map_or(0, |root| root.cumulative),
            timeline: None,
            groups: None,
            heatmap: None,
            warnings: texts,
        };
        serde_json::to_string(&rendered).map_err(|error| Error::Json(error.to_string()))
    });
    Ok(body_of("application/json", body.await?, &warnings))
}

/// One side says everything about itself.
async fn side(
    session: &Session,
    params: &Params,
    [query, from, until]: [&str; 3],
) -> Result<Rows, Error> {
    for name in [query, from, until] {
        if params.get(&[name]).is_none() {
            return Err(Error::Invalid(format!("{name} is required")));
        }
    }
    let range = range(session, params, [from, until])?;
    params.rows_of(session, query, range).await
}
