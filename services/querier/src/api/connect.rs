//! Unary calls over Connect.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use cairn_wire::connect::Codec;
use http::{Extensions, HeaderMap, StatusCode, header};
use prost::{Message, Name};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;

use super::http_error::body_of;
use super::{session, status};
use crate::error::Error;
use crate::querier::{Querier, Reply, Session};

const TIMEOUT: &str = "connect-timeout-ms";

/// A path of a call, from the function that answers it.
pub(crate) fn unary<Q, A, F>(call: fn(Session, Q) -> F) -> MethodRouter<Querier>
where
    Q: Message + Name + Default + 'static,
    A: Message + Name + 'static,
    F: Future<Output = Result<Reply<A>, Error>> + Send + 'static,
{
    post(
        move |State(querier): State<Querier>,
              headers: HeaderMap,
              extensions: Extensions,
              body: Body| async move {
            answer(&querier, (&headers, &extensions), body, call).await
        },
    )
}

pub(crate) async fn answer<Q, A, F>(
    querier: &Querier,
    (headers, extensions): (&HeaderMap, &Extensions),
    body: Body,
    call: impl FnOnce(Session, Q) -> F,
) -> Response
where
    Q: Message + Name + Default,
    A: Message + Name + 'static,
    F: Future<Output = Result<Reply<A>, Error>>,
{
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let Some(codec) = Codec::of(content_type.unwrap_or_default()) else {
        let accepted = [("accept-post", Codec::ACCEPTED)];
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, accepted).into_response();
    };
    let answered = async {
        let session = session(querier, (headers, extensions), timeout(headers)?)?;
        let asked = session.clone();
        let answered = async {
            let max = querier.config().limits.message_bytes_max;
            let body = axum::body::to_bytes(body, max).await;
            let body = body.map_err(|error| {
                Error::Invalid(format!(
                    "read the body (message_bytes_max is {max}): {error}"
                ))
            })?;
            let request = codec.decode(body);
            let request = request.map_err(|error| Error::Invalid(error.to_string()))?;
            call(asked, request).await
        };
        let Reply { value, warnings } = session.deadline.bound(answered).await?;
        let encode = move || codec.encode(&value);
        let bytes = session.compute(encode).await;
        let mut response = body_of(codec.content_type(), bytes, &warnings);
        super::note(&session.notes, response.headers_mut());
        super::explain(headers, &session.explain, response.headers_mut());
        Ok(response)
    };
    answered.await.unwrap_or_else(|error| failure(&error))
}

/// Compression both ways, if the client wants it.
pub(crate) fn compressed(router: Router<Querier>) -> Router<Querier> {
    // Answers are large and networks fast.
    let answers = CompressionLayer::new().quality(CompressionLevel::Fastest);
    router
        .layer(answers)
        .layer(RequestDecompressionLayer::new())
}

/// A failure as Connect spells it.
pub(crate) fn failure(error: &Error) -> Response {
    let told = status(error);
    let (code, http) = match error {
        Error::Unsupported(_) => ("unimplemented", 501),
        error => {
            let code = error.code();
            (
                cairn_wire::connect_code(code),
                cairn_wire::http_status(code),
            )
        }
    };
    let body = cairn_wire::connect::error(code, told.message());
    let mut response = body_of("application/json", body, &[]);
    *response.status_mut() =
        StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// Up to ten digits of milliseconds.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let is_valid = (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let millis = is_valid.then(|| text.parse().ok()).flatten();
    let millis = millis.ok_or_else(|| Error::Invalid(format!("invalid {TIMEOUT}: {text:?}")))?;
    Ok(Some(Duration::from_millis(millis)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_milliseconds() {
        let read = |text: &str| {
            let value = http::HeaderValue::from_str(text).expect("a header");
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static(TIMEOUT), value)]);
            timeout(&headers).ok().flatten()
        };
        assert_eq!(read("1500"), Some(Duration::from_millis(1500)));
        for bad in ["", "-1", "1s", "12345678901"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(timeout(&HeaderMap::new()).expect("none"), None);
    }
}
