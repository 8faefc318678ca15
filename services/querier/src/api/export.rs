//! Downloads: a range as one pprof file, or as folded text.

use axum::Router;
use axum::response::Response;
use cairn_engine::{Flame, GroupBy, KeyBy, Meta, Stats};
use http::{HeaderValue, header};

use crate::api::handle::answer;
use crate::api::http_error::body_of;
use crate::api::params::Params;
use crate::error::Error;
use crate::querier::{Querier, Rows, Session, Stacks};

pub(crate) fn routes(querier: Querier) -> Router {
    Router::new()
        .route("/api/v1/profile.pb.gz", answer(pprof))
        .route("/api/v1/folded", answer(folded))
        .with_state(querier)
}

/// What a merged profile says of itself: when its first part began, and what its parts cover in all.
pub(crate) fn meta(rows: &Rows, stats: &Stats) -> Meta {
    Meta {
        profile_type: rows.profile_type.clone(),
        time: stats.range.map_or(rows.range.start, |range| range.start),
        duration: stats.duration,
        period: stats.period,
    }
}

/// Everything as it was sent: stacks, labels and links of samples; nothing is trimmed.
async fn pprof(session: Session, params: Params) -> Result<Response, Error> {
    let rows = params.rows(&session).await?;
    let reply = session.stacks(&rows, GroupBy::SampleLabels).await?;
    let Stacks { partial, stats } = reply.value;
    let meta = meta(&rows, &stats);
    let encode = move || cairn_pprof::encode_gzip(&cairn_engine::profile(&partial, &meta));
    let bytes = session.querier.cx().compute(encode).await;
    let mut response = body_of("application/octet-stream", bytes, &reply.warnings);
    response.headers_mut().insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"profile.pb.gz\""),
    );
    Ok(response)
}

async fn folded(session: Session, params: Params) -> Result<Response, Error> {
    let rows = params.rows(&session).await?;
    let reply = session.stacks(&rows, GroupBy::Nothing).await?;
    let partial = reply.value.partial;
    let fold = move || cairn_engine::folded(&Flame::build(&partial, KeyBy::default()));
    let text = session.querier.cx().compute(fold).await;
    Ok(body_of("text/plain; charset=utf-8", text, &reply.warnings))
}
