//! Failures and partial answers over plain HTTP.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use super::{flag, status};
use crate::error::{Error, Warning};

/// `{message}`, under the status that the failure has in HTTP.
pub(crate) fn failure(error: &Error) -> Response {
    let told = status(error);
    let code = match error {
        Error::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
        error => StatusCode::from_u16(cairn_wire::http_status(error.code()))
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let number = told.code() as i32;
    let body = serde_json::json!({ "code": number, "message": told.message(), "details": [] });
    let mut response = body_of("application/json", body.to_string(), &[]);
    *response.status_mut() = code;
    response
}

/// An answer that says in its headers what is missing from it.
pub(crate) fn body_of(
    content_type: &'static str,
    body: impl Into<Body>,
    warnings: &[Warning],
) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // An answer about now is wrong a second later.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    flag(headers, warnings);
    response
}
