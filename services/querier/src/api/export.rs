//! Downloads: a range as one pprof file, whole or for Go's compiler, as folded text, for
//! speedscope, or as a picture.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use cairn_engine::{Flame, GroupBy, KeyBy, Meta, NoSvg, Stats};
use http::{Extensions, HeaderValue, header};

use crate::api::handle::{answer, respond};
use crate::api::http_error::body_of;
use crate::api::page;
use crate::api::params::Params;
use crate::error::{Error, Warning};
use crate::querier::{Querier, Rows, Session, Stacks};

pub(crate) fn routes(querier: Querier) -> Router {
    Router::new()
        .route("/api/v1/profile.pb.gz", answer(pprof))
        .route("/api/v1/folded", answer(folded))
        .route("/api/v1/pgo.pb.gz", answer(pgo))
        .route("/api/v1/speedscope.json", answer(speedscope))
        .route("/api/v1/flamegraph.svg", answer(svg))
        .route("/api/v1/share/{id}", get(shared))
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
    let bytes = session.compute(encode).await;
    Ok(file(bytes, &reply.warnings))
}

/// What a link to a shared profile leads to.
async fn shared(
    State(querier): State<Querier>,
    Path(id): Path<String>,
    extensions: Extensions,
) -> Response {
    let params = Params::default();
    respond(&querier, &extensions, params, async |session, _| {
        Ok(file(session.shared(&id).await?.profile, &[]))
    })
    .await
}

fn file(bytes: impl Into<Body>, warnings: &[Warning]) -> Response {
    let mut response = body_of("application/octet-stream", bytes, warnings);
    response.headers_mut().insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"profile.pb.gz\""),
    );
    response
}

async fn folded(session: Session, params: Params) -> Result<Response, Error> {
    let rows = params.rows(&session).await?;
    let reply = session.stacks(&rows, GroupBy::Nothing).await?;
    let partial = reply.value.partial;
    let fold = move || cairn_engine::folded(&Flame::build(&partial, KeyBy::default()));
    let text = session.compute(fold).await;
    Ok(body_of("text/plain; charset=utf-8", text, &reply.warnings))
}

/// What `go build -pgo` reads.
async fn pgo(session: Session, params: Params) -> Result<Response, Error> {
    let rows = params.rows(&session).await?;
    let reply = session.stacks(&rows, GroupBy::Nothing).await?;
    let Stacks { partial, stats } = reply.value;
    let meta = meta(&rows, &stats);
    let encode = move || {
        let kept = cairn_engine::for_go(&partial);
        cairn_pprof::encode_gzip(&cairn_engine::profile(&kept, &meta))
    };
    let bytes = session.compute(encode).await;
    Ok(file(bytes, &reply.warnings))
}

/// A picture that needs nothing but a browser.
async fn svg(session: Session, params: Params) -> Result<Response, Error> {
    let rows = params.rows(&session).await?;
    let trim = page::trim(&session, &params)?;
    let reply = session.stacks(&rows, GroupBy::Nothing).await?;
    let (partial, of) = (reply.value.partial, rows.profile_type);
    let notes = session.notes.clone();
    let draw = move || {
        let flame = Flame::trimmed(&partial, KeyBy::default(), &trim);
        notes.trimmed(&flame);
        cairn_engine::svg(&flame, &of.to_string(), &of.sample_unit)
    };
    let picture = session.compute(draw).await;
    let picture = picture.map_err(|error| match error {
        NoSvg::Nothing => Error::NotFound("there is nothing to draw"),
        NoSvg::Draw(_) => Error::Picture(error),
    })?;
    Ok(body_of("image/svg+xml", picture, &reply.warnings))
}

async fn speedscope(session: Session, params: Params) -> Result<Response, Error> {
    let rows = params.rows(&session).await?;
    let reply = session.stacks(&rows, GroupBy::Nothing).await?;
    let (partial, of) = (reply.value.partial, rows.profile_type);
    let encode = move || {
        let flame = Flame::build(&partial, KeyBy::default());
        cairn_engine::speedscope(&flame, &of.to_string(), &of.sample_unit)
    };
    let text = session.compute(encode).await;
    let text = text.map_err(|error| Error::Json(error.to_string()))?;
    Ok(body_of("application/json", text, &reply.warnings))
}
