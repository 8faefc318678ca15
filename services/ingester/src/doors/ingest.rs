//! Pyroscope's `POST /ingest`: pprof as the body or in a form, everything else in the query string.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cairn_wal::{Encoding, NAME_LABEL};
use http::{HeaderMap, StatusCode, header};

use super::body::{self, Coding};
use super::{attime, tenant_of};
use crate::error::{Error, Place, Refusal, Refusals};
use crate::ingester::Ingester;
use crate::push::{Door, Naming, Push, Raw, Series};

pub(super) async fn ingest(
    State(ingester): State<Ingester>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let query = query.unwrap_or_default();
    match store(&ingester, &query, &headers, body).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            ingester.failed(Door::Ingest, &error);
            error_response(http_status(&error), &error)
        }
    }
}

fn http_status(error: &Error) -> u16 {
    match error {
        Error::TooLarge { .. } => 413,
        Error::Refused(_) | Error::Unsupported(_) => 422,
        Error::SlowBody(_) | Error::Interrupted(_) => 408,
        error => cairn_wire::http_status(error.code()),
    }
}

/// Seconds after which a sender that was turned away may try again.
const RETRY_AFTER: &str = "5";

/// `{"code", "message"}`, which is also Connect's form of an error.
pub(super) fn error_response(status: u16, error: &Error) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = serde_json::json!({
        "code": cairn_wire::connect_code(error.code()),
        "message": error.to_string(),
    });
    let mut response = (status, axum::Json(json)).into_response();
    if matches!(status.as_u16(), 429 | 503) {
        let after = http::HeaderValue::from_static(RETRY_AFTER);
        response.headers_mut().insert(header::RETRY_AFTER, after);
    }
    response
}

async fn store(
    ingester: &Ingester,
    query: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Error> {
    let received = ingester.cx().clock().now();
    let about = About::parse(query, received).map_err(Error::Malformed)?;
    let boundary = check_format(about.format.as_deref(), headers)?;
    let coding = Coding::of(headers)?;
    let mut bytes = body::read(ingester, headers, body).await?;
    let form = match boundary {
        // pprof may be gzip as it is, so the coding of a bare one need not be undone.
        None => Form {
            profile: bytes.bytes.clone(),
            sample_type_config: String::new(),
        },
        Some(boundary) => {
            bytes = bytes.inflated(coding, ingester).await?;
            read_form(bytes.bytes.clone(), boundary).await?
        }
    };
    let push = Push {
        tenant: tenant_of(headers),
        door: Door::Ingest,
        received,
        from: about.from,
        until: about.until,
        encoding: Encoding::Pprof,
        normalized: false,
        series: vec![Series {
            naming: Naming::ByTypes(display_names(&form.sample_type_config)?),
            labels: about.labels,
            profiles: vec![Raw {
                bytes: form.profile,
                executables: Vec::new(),
            }],
            sample_rate: about.sample_rate,
            sample_type_config: form.sample_type_config,
        }],
    };
    ingester.push(push).await
}

/// What the query string says.
#[derive(Debug, PartialEq)]
struct About {
    labels: Vec<(String, String)>,
    from: Option<i64>,
    until: Option<i64>,
    sample_rate: u32,
    format: Option<String>,
}

/// What senders that don't say so sample with.
const SAMPLE_RATE: u32 = 100;

impl About {
    fn parse(query: &str, now: i64) -> Result<Self, String> {
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let get = |wanted: &str| {
            let found = pairs.iter().find(|(name, _)| name == wanted);
            found
                .map(|(_, value)| value.as_ref())
                .filter(|value| !value.is_empty())
        };
        let time = |name| get(name).map(|text| attime::parse(text, now)).transpose();
        let (app, tags) = parse_name(get("name").ok_or("the parameter \"name\" is missing")?)?;
        Ok(Self {
            labels: labels(app, tags, get("spyName").unwrap_or("unknown")),
            from: time("from")?,
            until: time("until")?,
            sample_rate: get("sampleRate")
                .and_then(|rate| rate.parse().ok())
                .unwrap_or(SAMPLE_RATE),
            format: get("format").map(str::to_ascii_lowercase),
        })
    }
}

/// `app.name{key=value,...}`
fn parse_name(text: &str) -> Result<(&str, BTreeMap<&str, &str>), String> {
    let (app, tags) = match text.split_once('{') {
        None => (text, None),
        Some((app, rest)) => {
            let closed = rest.trim_end().strip_suffix('}');
            (
                app,
                Some(closed.ok_or("the name's labels do not end with '}'")?),
            )
        }
    };
    if app.trim().is_empty() {
        return Err("the name of the application is empty".to_owned());
    }
    let mut map = BTreeMap::new();
    for tag in tags.unwrap_or_default().split(',') {
        if tag.trim().is_empty() {
            continue;
        }
        let (key, value) = tag
            .split_once('=')
            .ok_or_else(|| format!("label {tag:?} of the name has no '='"))?;
        map.insert(key.trim(), value.trim());
    }
    Ok((app.trim(), map))
}

/// Labels that begin with two underscores are ours, but for these.
const KEPT: [&str; 2] = [NAME_LABEL, "__session_id__"];

fn labels<'a>(
    app: &'a str,
    mut tags: BTreeMap<&'a str, &'a str>,
    spy: &'a str,
) -> Vec<(String, String)> {
    tags.retain(|name, _| !name.starts_with("__") || KEPT.contains(name));
    tags.entry("service_name").or_insert(app);
    tags.entry("pyroscope_spy").or_insert(spy);
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    tags.into_iter().map(owned).collect()
}

/// The boundary if the body is a form; an error if the body can't be pprof.
fn check_format(format: Option<&str>, headers: &HeaderMap) -> Result<Option<String>, Error> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let boundary = multer::parse_boundary(content_type).ok();
    match format {
        Some("pprof") => Ok(boundary),
        Some(format) => {
            let format: String = format.chars().take(40).collect();
            Err(Error::Unsupported(format!("format={format}")))
        }
        None if content_type.contains("+trie") => Err(Error::Unsupported("a trie".to_owned())),
        None if content_type.contains("+tree") => Err(Error::Unsupported("a tree".to_owned())),
        None if boundary.is_some() => Ok(boundary),
        None => Err(Error::Unsupported(
            "folded text (the format of bodies that are no form and have no format=pprof)"
                .to_owned(),
        )),
    }
}

/// The parts of a form that count.
#[derive(Debug, Default)]
struct Form {
    profile: Bytes,
    sample_type_config: String,
}

/// Parts of a form, so that a hostile one costs no more than its bytes.
const FORM_PARTS_MAX: usize = 64;

async fn read_form(bytes: Bytes, boundary: String) -> Result<Form, Error> {
    let invalid = |error: multer::Error| unprocessable(format!("invalid form: {error}"));
    let stream = futures::stream::once(async { Ok::<_, std::convert::Infallible>(bytes) });
    let mut parts = multer::Multipart::new(stream, boundary);
    let mut profile = None;
    let mut form = Form::default();
    for _ in 0..FORM_PARTS_MAX {
        let Some(part) = parts.next_field().await.map_err(invalid)? else {
            form.profile =
                profile.ok_or_else(|| unprocessable("the form has no field \"profile\""))?;
            return Ok(form);
        };
        match part.name() {
            Some("profile") => profile = Some(part.bytes().await.map_err(invalid)?),
            Some("sample_type_config") => {
                let bytes = part.bytes().await.map_err(invalid)?;
                form.sample_type_config = String::from_utf8_lossy(&bytes).into_owned();
            }
            Some("prev_profile") => {
                return Err(unprocessable(
                    "unsupported client version: it sends prev_profile",
                ));
            }
            // Reading the next part skips this one.
            _ => {}
        }
    }
    Err(unprocessable("the form has too many parts"))
}

/// Display names of sample types. They decide what the profile is called.
fn display_names(config: &str) -> Result<Vec<(String, String)>, Error> {
    #[derive(serde::Deserialize)]
    struct SampleType {
        #[serde(default, rename = "display-name")]
        display_name: String,
    }
    if config.trim().is_empty() {
        return Ok(Vec::new());
    }
    let types: BTreeMap<String, SampleType> = serde_json::from_str(config)
        .map_err(|error| unprocessable(format!("invalid sample_type_config: {error}")))?;
    let named = types.into_iter().map(|(name, t)| (name, t.display_name));
    Ok(named.filter(|(_, display)| !display.is_empty()).collect())
}

fn unprocessable(reason: impl Into<String>) -> Error {
    Error::Refused(Refusals {
        refused: vec![Refusal {
            place: Place::Form,
            reason: reason.into(),
            kind: "form",
        }],
        more: 0,
        stored: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_labels() {
        let query = "name=go.demo%7B__session_id__%3D77%2C__x__%3D1%2Cotel.scope.name%3Dcom.a%2Fgo%7D\
                     &spyName=gospy&from=1795365579997631877&sampleRate=-1";
        let about = About::parse(query, 0).expect("valid");
        let labels: Vec<_> = about
            .labels
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        let expected = [
            "__session_id__=77",
            "otel.scope.name=com.a/go",
            "pyroscope_spy=gospy",
            "service_name=go.demo",
        ];
        assert_eq!(labels, expected);
        assert_eq!(about.from, Some(1_795_365_579_997_631_877));
        assert_eq!((about.until, about.sample_rate), (None, 100));
        let kept = About::parse("name=a%7Bservice_name=b%7D", 0).expect("valid");
        assert!(
            kept.labels
                .contains(&("service_name".to_owned(), "b".to_owned()))
        );
    }

    #[test]
    fn bad_metadata_says_why() {
        for (query, why) in [
            ("", "\"name\" is missing"),
            ("name=", "\"name\" is missing"),
            ("name={a=b}", "application is empty"),
            ("name=a{b=c", "do not end with '}'"),
            ("name=a{b}", "has no '='"),
            ("name=a&from=tomorrow", "invalid time"),
        ] {
            let error = About::parse(query, 0).expect_err(query);
            assert!(error.contains(why), "{query}: {error}");
        }
    }

    #[test]
    fn only_pprof_is_taken() {
        let headers = |content_type: &str| {
            let value = content_type.parse().expect("a header");
            HeaderMap::from_iter([(header::CONTENT_TYPE, value)])
        };
        let form = headers("multipart/form-data; boundary=x");
        assert_eq!(
            check_format(None, &form).expect("a form"),
            Some("x".to_owned())
        );
        let bare = headers("binary/octet-stream");
        assert_eq!(check_format(Some("pprof"), &bare).expect("pprof"), None);
        for (format, content_type) in [
            (Some("jfr"), "multipart/form-data; boundary=x"),
            (Some("speedscope"), "text/plain"),
            (None, "binary/octet-stream+tree"),
            (None, "text/plain"),
        ] {
            let error = check_format(format, &headers(content_type)).expect_err("unsupported");
            assert!(error.to_string().contains("send pprof"), "{error}");
        }
    }
}
