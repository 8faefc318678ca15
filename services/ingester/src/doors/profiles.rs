//! `POST /api/v1/profiles`: pprof files as `curl` sends them, as the body or as fields of a form.
//!
//! Labels are parameters: `?label=service_name=cart&label=region=eu`.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use cairn_chassis::Peer;
use cairn_wal::NAME_LABEL;
use http::{HeaderMap, header};

use super::body::{self, Coding};
use super::caller::Caller;
use super::{attime, ingest};
use crate::error::Error;
use crate::ingester::Ingester;
use crate::push::{Door, Naming, Push, Raw, Series};

/// Parts of a form, so that a hostile one costs no more than its bytes.
const FORM_PARTS_MAX: usize = 1_024;

pub(super) async fn profiles(
    State(ingester): State<Ingester>,
    RawQuery(query): RawQuery,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let caller = Caller::of_http(&headers, peer);
    let query = query.unwrap_or_default();
    match store(&ingester, &caller, (&query, &headers), body).await {
        Ok(profiles) => Json(serde_json::json!({ "profiles": profiles })).into_response(),
        Err(error) => {
            caller.failed(&ingester, Door::Profiles, &error);
            ingest::error_response(ingest::http_status(&error), &error)
        }
    }
}

/// Gives how many profiles were stored.
async fn store(
    ingester: &Ingester,
    caller: &Caller,
    (query, headers): (&str, &HeaderMap),
    body: Body,
) -> Result<usize, Error> {
    let received = ingester.cx().clock().now();
    let about = About::parse(query, received).map_err(Error::Malformed)?;
    let coding = Coding::of(headers)?;
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(|value| multer::parse_boundary(value).ok());
    let read = body::read(ingester, (caller, headers), body).await?;
    let read = read.inflated(coding, ingester).await?;
    let files = match boundary {
        None => vec![read.bytes.clone()],
        Some(boundary) => files(read.bytes.clone(), boundary).await?,
    };
    let count = files.len();
    let push = Push {
        tenant: caller.tenant.clone(),
        door: Door::Profiles,
        sender: caller.sender.clone(),
        received,
        from: about.from,
        until: about.until,
        normalized: false,
        series: vec![Series {
            labels: about.labels,
            naming: Naming::ByTypes(Vec::new()),
            profiles: files.into_iter().map(Raw::pprof).collect(),
            ..Series::default()
        }],
        tables: Vec::new(),
    };
    ingester.push(push).await?;
    Ok(count)
}

async fn files(bytes: Bytes, boundary: String) -> Result<Vec<Bytes>, Error> {
    let invalid = |error: multer::Error| Error::Malformed(format!("invalid form: {error}"));
    let stream = futures::stream::once(async { Ok::<_, std::convert::Infallible>(bytes) });
    let mut parts = multer::Multipart::new(stream, boundary);
    let mut files = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(invalid)? {
        if files.len() >= FORM_PARTS_MAX {
            let text = format!("the form has more than {FORM_PARTS_MAX} parts");
            return Err(Error::Malformed(text));
        }
        files.push(part.bytes().await.map_err(invalid)?);
    }
    match files.is_empty() {
        true => Err(Error::Malformed("the form has no parts".to_owned())),
        false => Ok(files),
    }
}

/// What the query string says.
#[derive(Debug, PartialEq)]
struct About {
    labels: Vec<(String, String)>,
    from: Option<i64>,
    until: Option<i64>,
}

/// Of profiles that don't say whose they are.
const UNKNOWN_SERVICE: &str = "unknown_service";

impl About {
    fn parse(query: &str, now: i64) -> Result<Self, String> {
        let mut about = Self {
            labels: Vec::new(),
            from: None,
            until: None,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "label" => {
                    let pair = value.split_once('=').filter(|(name, _)| !name.is_empty());
                    let (label, value) = pair.ok_or_else(|| {
                        let shown: String = value.chars().take(100).collect();
                        format!("label {shown:?} is not name=value")
                    })?;
                    about.labels.push((label.to_owned(), value.to_owned()));
                }
                "name" => about
                    .labels
                    .push((NAME_LABEL.to_owned(), value.into_owned())),
                "from" => about.from = Some(attime::parse(&value, now)?),
                "until" => about.until = Some(attime::parse(&value, now)?),
                _ => {
                    let shown: String = name.chars().take(100).collect();
                    return Err(format!(
                        "there is no parameter {shown:?}: use label=name=value, name, from, until"
                    ));
                }
            }
        }
        if !about.labels.iter().any(|(name, _)| name == "service_name") {
            let service = ("service_name".to_owned(), UNKNOWN_SERVICE.to_owned());
            about.labels.push(service);
        }
        Ok(about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_parameters() {
        let query = "label=service_name=cart&label=url=a%3Db%26c&name=heap&from=1700000000";
        let about = About::parse(query, 0).expect("valid");
        let pairs = [
            ("service_name", "cart"),
            ("url", "a=b&c"),
            ("__name__", "heap"),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(about.labels, pairs);
        assert_eq!(about.from, Some(1_700_000_000_000_000_000));
        let about = About::parse("", 0).expect("valid");
        assert_eq!(about.labels[0].1, UNKNOWN_SERVICE);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (query, why) in [
            ("label=cart", "is not name=value"),
            ("label==x", "is not name=value"),
            ("service=cart", "no parameter \"service\""),
            ("from=soon", "invalid time"),
        ] {
            let error = About::parse(query, 0).expect_err(query);
            assert!(error.contains(why), "{query}: {error}");
        }
    }
}
