//! One plain HTTP request: who asks, until when, and what becomes of a failure.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use http::Extensions;

use super::http_error::failure;
use super::params::Params;
use super::{names_of, note, tenant};
use crate::error::Error;
use crate::querier::{Querier, Session};

/// A GET handler from a function of the session and the URL's parameters.
pub(crate) fn answer<F>(call: fn(Session, Params) -> F) -> MethodRouter<Querier>
where
    F: Future<Output = Result<Response, Error>> + Send + 'static,
{
    get(
        move |State(querier): State<Querier>, RawQuery(query): RawQuery, extensions: Extensions| async move {
            let params = Params::parse(&query.unwrap_or_default());
            respond(&querier, &extensions, params, call).await
        },
    )
}

pub(crate) async fn respond<F>(
    querier: &Querier,
    extensions: &Extensions,
    params: Params,
    call: impl FnOnce(Session, Params) -> F,
) -> Response
where
    F: Future<Output = Result<Response, Error>>,
{
    let mut session = querier.session(&tenant(extensions), None);
    match params.get(&["demangle"]).map(names_of) {
        Some(Ok(names)) => session.names = Some(names),
        Some(Err(error)) => return failure(&error),
        None => {}
    }
    let (deadline, notes) = (session.deadline.clone(), session.notes.clone());
    match deadline.bound(call(session, params)).await {
        Ok(mut response) => {
            note(&notes, response.headers_mut());
            response
        }
        Err(error) => failure(&error),
    }
}
