//! What clients see: the APIs of Parca and of Pyroscope, the JSON of the page, downloads.
//!
//! Each handler decodes, calls one function on domain types, encodes. An answer from which
//! something is missing says so in its headers, whatever the protocol.

pub(crate) mod connect;
pub(crate) mod export;
pub(crate) mod flamebearer;
pub(crate) mod grpc;
pub(crate) mod handle;
pub(crate) mod http_error;
pub(crate) mod page;
pub(crate) mod params;
pub(crate) mod parca;
pub(crate) mod pyroscope;
pub(crate) mod render;
pub(crate) mod time;

use std::time::Duration;

use cairn_model::TenantId;
use cairn_symbols::Mode;
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;

use crate::error::{Error, Warning, chain};
use crate::explain::Explain;
use crate::notes::Notes;
use crate::querier::{Querier, Session};

const PARTIAL: HeaderName = HeaderName::from_static("cairn-partial");
const WARNING: HeaderName = HeaderName::from_static("cairn-warning");
/// What there is to know about an answer from which nothing is missing.
const REMARK: HeaderName = HeaderName::from_static("cairn-remark");
/// How large a call may be that a trimmed flame graph does not show.
const MAX_ERROR: HeaderName = HeaderName::from_static("cairn-max-error");
const EXPLAIN: HeaderName = HeaderName::from_static("cairn-explain");
/// How a request over gRPC or Connect wants functions to be named.
const DEMANGLE: HeaderName = HeaderName::from_static("cairn-demangle");
/// Warnings in the headers of an answer; more than a few help nobody and may break a proxy.
const HEADER_WARNINGS_MAX: usize = 10;
const HEADER_WARNING_BYTES_MAX: usize = 300;

/// Who asks: whoever checks tokens leaves the tenant in the request.
pub(crate) fn tenant(extensions: &http::Extensions) -> TenantId {
    extensions
        .get::<TenantId>()
        .cloned()
        .unwrap_or_else(TenantId::anonymous)
}

/// One request: who asks, how long they wait, and how they want functions to be named.
pub(crate) fn session(
    querier: &Querier,
    (headers, extensions): (&HeaderMap, &http::Extensions),
    timeout: Option<Duration>,
) -> Result<Session, Error> {
    let mut session = querier.session(&tenant(extensions), timeout);
    if let Some(names) = headers.get(DEMANGLE) {
        session.names = Some(names_of(names.to_str().unwrap_or_default())?);
    }
    Ok(session)
}

pub(crate) fn names_of(text: &str) -> Result<Mode, Error> {
    match text {
        "none" => Ok(Mode::None),
        "simple" => Ok(Mode::Simple),
        "templates" => Ok(Mode::Templates),
        "full" => Ok(Mode::Full),
        _ => Err(Error::Invalid(format!(
            "invalid demangle: {text:?} is none of none, simple, templates, full"
        ))),
    }
}

/// Says in an answer's headers what is missing from it.
pub(crate) fn flag(headers: &mut HeaderMap, warnings: &[Warning]) {
    if warnings.is_empty() {
        return;
    }
    headers.insert(PARTIAL, HeaderValue::from_static("true"));
    let texts = warnings.iter().map(Warning::to_string);
    append(headers, &WARNING, texts);
}

/// Says in an answer's headers what else there is to know about it.
pub(crate) fn note(notes: &Notes, headers: &mut HeaderMap) {
    append(headers, &REMARK, notes.remarks().into_iter());
    let max_error = notes.max_error();
    if max_error > 0 {
        headers.insert(MAX_ERROR, HeaderValue::from(max_error));
    }
}

fn append(headers: &mut HeaderMap, name: &HeaderName, texts: impl Iterator<Item = String>) {
    for text in texts.take(HEADER_WARNINGS_MAX) {
        let text: String = text
            .chars()
            .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
            .take(HEADER_WARNING_BYTES_MAX)
            .collect();
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(name, value);
        }
    }
}

/// Tells in an answer's headers what it took, if the request wants to know.
pub(crate) fn explain(asked: &HeaderMap, explain: &Explain, headers: &mut HeaderMap) {
    if !asked.contains_key(EXPLAIN) {
        return;
    }
    let told = serde_json::to_string(&explain.summary().short());
    if let Some(value) = told.ok().and_then(|told| HeaderValue::try_from(told).ok()) {
        headers.insert(EXPLAIN, value);
    }
}

/// A failure as gRPC spells it, logged if it is a fault of ours.
pub(crate) fn status(error: &Error) -> Status {
    let text = chain(error);
    if let Error::Unsupported(_) = error {
        return cairn_wire::unimplemented(&text);
    }
    let code = error.code();
    if cairn_wire::http_status(code) >= 500 {
        tracing::warn!(error = text, "a query failed");
    }
    cairn_wire::status(code, &text)
}

/// Warnings as texts, each once.
pub(crate) fn texts(warnings: &[Warning]) -> Vec<String> {
    let texts: std::collections::BTreeSet<String> =
        warnings.iter().map(Warning::to_string).collect();
    texts.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_model::Code;

    #[test]
    fn partial_answers_are_flagged_in_plain_ascii() {
        let mut headers = HeaderMap::new();
        flag(&mut headers, &[]);
        assert!(headers.is_empty());
        let warning = Warning::new("01A", Code::Corrupt, "größe\nbad");
        flag(&mut headers, &vec![warning; 40]);
        assert_eq!(headers["cairn-partial"], "true");
        let all: Vec<_> = headers.get_all("cairn-warning").iter().collect();
        assert_eq!(all.len(), HEADER_WARNINGS_MAX);
        assert_eq!(all[0], "block 01A: corrupt: gr??e?bad");
    }

    #[test]
    fn what_is_not_supported_is_unimplemented_and_named() {
        let status = status(&Error::Unsupported("the report CALLGRAPH".to_owned()));
        assert_eq!(status.code(), tonic::Code::Unimplemented);
        assert!(status.message().contains("CALLGRAPH"));
    }
}
