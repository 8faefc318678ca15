//! The same API as plain HTTP and JSON, under the paths that grpc-gateway gives it.

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use bytes::Bytes;
use cairn_wire::json::{self, Defaults};
use http::Extensions;
use prost::{Message, Name};

use super::{labels, query, range, series, share, types};
use crate::api::http_error::{body_of, failure};
use crate::api::{note, tenant, texts};
use crate::error::Error;
use crate::notes::Notes;
use crate::querier::{Querier, Reply, Session};

pub(crate) fn routes(querier: Querier) -> Router {
    Router::new()
        .route("/api/profiles/query_range", answer(range::query_range))
        .route("/api/profiles/query", answer(query::query))
        .route("/api/profiles/types", answer(types::profile_types))
        .route("/api/profiles/labels", answer(labels::labels))
        .route(
            "/api/profiles/labels/{label_name}/values",
            answer(labels::values),
        )
        .route(
            "/api/profiles/has_profile_data",
            answer(types::has_profile_data),
        )
        .route("/api/profiles/series", answer(series::series))
        .route("/api/profiles/share", post(share_profile))
        .with_state(querier)
}

/// The message is the body, in JSON.
async fn share_profile(
    State(querier): State<Querier>,
    extensions: Extensions,
    body: Bytes,
) -> Response {
    let request = match json::from_json(&body) {
        Ok(request) => request,
        Err(error) => return failure(&Error::Invalid(error.to_string())),
    };
    let session = querier.session(&tenant(&extensions), None);
    let (deadline, notes) = (session.deadline.clone(), session.notes.clone());
    match deadline.bound(share::share_profile(session, request)).await {
        Ok(reply) => encode(&reply, &notes),
        Err(error) => failure(&error),
    }
}

/// Parts of the path and parameters of the query are fields of the message.
fn answer<Q, A, F>(call: fn(Session, Q) -> F) -> MethodRouter<Querier>
where
    Q: Message + Name + Default + Send + 'static,
    A: Message + Name + Send + 'static,
    F: Future<Output = Result<Reply<A>, Error>> + Send + 'static,
{
    get(
        move |State(querier): State<Querier>,
              Path(path): Path<Vec<(String, String)>>,
              RawQuery(raw): RawQuery,
              extensions: Extensions| async move {
            let raw = raw.unwrap_or_default();
            let pairs = form_urlencoded::parse(raw.as_bytes())
                .into_owned()
                .chain(path);
            let request = match json::from_query::<Q, _, _>(pairs) {
                Ok(request) => request,
                Err(error) => return failure(&Error::Invalid(error.to_string())),
            };
            let session = querier.session(&tenant(&extensions), None);
            let (deadline, notes) = (session.deadline.clone(), session.notes.clone());
            match deadline.bound(call(session, request)).await {
                Ok(reply) => encode(&reply, &notes),
                Err(error) => failure(&error),
            }
        },
    )
}

fn encode<A: Message + Name>(reply: &Reply<A>, notes: &Notes) -> Response {
    let mut body = json::to_json(&reply.value, Defaults::Shown);
    if !reply.warnings.is_empty() {
        body = with_warnings(&body, &texts(&reply.warnings));
    }
    let mut response = body_of("application/json", body, &reply.warnings);
    note(notes, response.headers_mut());
    response
}

/// Adds a field `warnings`, which no message has, to the text of one: some are nested more deeply than
/// is read.
fn with_warnings(body: &str, texts: &[String]) -> String {
    let fields = body.trim_end().strip_suffix('}').unwrap_or_default();
    let comma = if fields.trim_end().ends_with('{') {
        ""
    } else {
        ","
    };
    format!("{fields}{comma}\"warnings\":{}}}", serde_json::json!(texts))
}
