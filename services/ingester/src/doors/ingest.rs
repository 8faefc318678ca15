//! Pyroscope's `POST /ingest`: a profile in one of many formats as the body or in a form, everything
//! else in the query string.

mod about;
mod form;
mod format;

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cairn_chassis::Peer;
use cairn_jfr::LabelsSnapshot;
use cairn_model::{Described, Limits};
use cairn_wal::{Digest, NAME_LABEL};
use http::{HeaderMap, StatusCode, header};

use self::about::About;
use self::form::{Form, display_names, unprocessable};
use self::format::{Format, Meaning};
use super::body::{self, Coding, Received};
use super::caller::Caller;
use crate::error::Error;
use crate::ingester::Ingester;
use crate::push::{
    Altered, Decoded, Door, Naming, Push, REPLACED_STRINGS, Raw, Series, TRUNCATED_SAMPLES,
    TRUNCATED_STACKS,
};

pub(crate) async fn ingest(
    State(ingester): State<Ingester>,
    RawQuery(query): RawQuery,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let query = query.unwrap_or_default();
    let caller = Caller::of_http(&headers, peer);
    match store(&ingester, &caller, (&query, &headers), body).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            caller.failed(&ingester, Door::Ingest, &error);
            error_response(http_status(&error), &error)
        }
    }
}

pub(super) fn http_status(error: &Error) -> u16 {
    match error {
        Error::TooLarge { .. } => 413,
        Error::Unprocessable(_) | Error::Refused(_) => 422,
        Error::SlowBody(_) | Error::Interrupted(_) => 408,
        error => cairn_wire::http_status(error.code()),
    }
}

/// Seconds after which a sender that was turned away may try again.
const RETRY_AFTER: &str = "5";

/// `{"code", "message"}`, which is also Connect's form of an error.
pub(super) fn error_response(status: u16, error: &Error) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let code = cairn_wire::connect_code(error.code());
    let json = cairn_wire::connect::error(code, &error.to_string());
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    let mut response = (status, content_type, json).into_response();
    if matches!(status.as_u16(), 429 | 503) {
        let after = http::HeaderValue::from_static(RETRY_AFTER);
        response.headers_mut().insert(header::RETRY_AFTER, after);
    }
    response
}

async fn store(
    ingester: &Ingester,
    caller: &Caller,
    (query, headers): (&str, &HeaderMap),
    body: Body,
) -> Result<(), Error> {
    let received = ingester.cx().clock().now();
    let about = About::parse(query, received).map_err(Error::Malformed)?;
    let (format, boundary) = format::of(about.format.as_deref(), headers);
    let mut coding = Coding::of(headers)?;
    let mut bytes = body::read(ingester, (caller, headers), body).await?;
    let form = match boundary {
        None => {
            if format == Format::Pprof && !coding.is_pprof_s_own(&bytes.bytes) {
                bytes = bytes.inflated(coding, ingester).await?;
            }
            Form {
                profile: bytes.bytes.clone(),
                ..Form::default()
            }
        }
        Some(boundary) => {
            bytes = bytes.inflated(coding, ingester).await?;
            coding = Coding::Plain;
            let field = if format == Format::Jfr {
                "jfr"
            } else {
                "profile"
            };
            form::read(bytes.bytes.clone(), boundary, field).await?
        }
    };
    let mut altered = Vec::new();
    let series = match format {
        Format::Pprof => vec![pprof(&about, form)?],
        Format::Jfr | Format::Text(_) => {
            // Also what says nothing about it may be compressed.
            let coding = match Coding::guess(&form.profile) {
                Coding::Plain => coding,
                told => told,
            };
            let packed = Form {
                profile: Bytes::new(),
                ..form
            };
            let profile = bytes.replaced(form.profile);
            let profile = profile.inflated(coding, ingester).await?;
            let decoded = decode(
                (ingester, caller),
                (query, &about, format),
                &profile,
                packed,
            )
            .await?;
            altered = decoded.altered;
            decoded.series
        }
    };
    let push = Push {
        tenant: caller.tenant.clone(),
        door: Door::Ingest,
        sender: caller.sender.clone(),
        received,
        from: about.from,
        until: about.until,
        normalized: false,
        series,
        tables: Vec::new(),
    };
    ingester.push_altered(push, &altered).await
}

fn pprof(about: &About, form: Form) -> Result<Series, Error> {
    Ok(Series {
        naming: Naming::ByTypes(display_names(&form.sample_type_config)?),
        labels: about.labels.clone(),
        profiles: vec![Raw::pprof(form.profile)],
        sample_rate: about.sample_rate,
        sample_type_config: form.sample_type_config,
    })
}

/// One series per profile that the body holds.
async fn decode(
    (ingester, caller): (&Ingester, &Caller),
    (query, about, format): (&str, &About, Format),
    profile: &Received,
    form: Form,
) -> Result<Decoded, Error> {
    let (limits, bytes) = (
        ingester.limits_for(&caller.tenant, profile.bytes.len()),
        profile.bytes.clone(),
    );
    let meaning = Meaning::of(about);
    let mut labels = about.labels.clone();
    if matches!(format, Format::Text(_)) {
        // What the application's name says of the values is no part of the service's name.
        let service = labels
            .iter_mut()
            .find(|(name, value)| name == "service_name" && *value == about.app);
        if let Some((_, service)) = service {
            service.clone_from(&meaning.app);
        }
    }
    let span = match (about.from, about.until, about.is_average) {
        (Some(from), Some(until), false) => (from, until.saturating_sub(from).max(0)),
        (from, ..) => (from.unwrap_or(0), 0),
    };
    let rate = about.sample_rate;
    let query = query.to_owned();
    let decode = move || {
        let (described, altered) = match format {
            Format::Text(format) => texts(format, &bytes, &meaning, &limits)?,
            _ => recording(&bytes, &form.labels, rate, &limits)?,
        };
        let sent = Digest::of(&[query.as_bytes(), &bytes, &form.labels]);
        let series =
            |(place, described)| Series::decoded(finished(described, &labels, span), sent, place);
        Ok(Decoded {
            series: described.into_iter().enumerate().map(series).collect(),
            refused: Vec::new(),
            altered,
        })
    };
    ingester.cx().compute(decode).await
}

fn texts(
    format: cairn_formats::Format,
    bytes: &[u8],
    meaning: &Meaning,
    limits: &Limits,
) -> Result<(Vec<Described>, Vec<Altered>), Error> {
    let decoded = cairn_formats::decode(format, bytes, &meaning.unit, limits);
    let mut decoded = decoded.map_err(|error| unprocessable(error.to_string()))?;
    for described in &mut decoded.profiles {
        let name = &mut described.name;
        name.get_or_insert_with(|| meaning.name.to_owned());
    }
    let mut altered = decoded.skipped;
    altered.push((TRUNCATED_SAMPLES, decoded.truncated_samples));
    altered.push((TRUNCATED_STACKS, decoded.truncated_stacks));
    altered.push((REPLACED_STRINGS, decoded.replaced_strings));
    Ok((decoded.profiles, altered))
}

/// Bytes of a recording's labels after inflating.
const LABELS_BYTES_MAX: usize = 8 << 20;

fn recording(
    bytes: &[u8],
    labels: &Bytes,
    sample_rate: u32,
    limits: &Limits,
) -> Result<(Vec<Described>, Vec<Altered>), Error> {
    let labels = Coding::guess(labels).inflate(labels, LABELS_BYTES_MAX)?;
    let snapshot: Option<LabelsSnapshot> = match labels.is_empty() {
        true => None,
        false => {
            let snapshot = cairn_jfr::labels_snapshot(&labels, limits);
            Some(snapshot.map_err(|error| unprocessable(error.to_string()))?)
        }
    };
    let options = cairn_jfr::Options {
        sample_rate,
        threads: false,
    };
    let decoded = cairn_jfr::decode(bytes, snapshot.as_ref(), &options, limits);
    let decoded = decoded.map_err(|error| unprocessable(error.to_string()))?;
    let altered = vec![
        (TRUNCATED_SAMPLES, decoded.truncated_samples),
        (TRUNCATED_STACKS, decoded.truncated_stacks),
        ("unnamed_labels", decoded.unnamed_labels),
        ("events_without_meaning", decoded.skipped.values().sum()),
    ];
    Ok((decoded.profiles, altered))
}

/// With the labels of the request, and its span of time where the format has none.
fn finished(
    mut described: Described,
    labels: &[(String, String)],
    (from, duration): (i64, i64),
) -> Described {
    let is_new = |(name, _): &&(String, String)| {
        name != NAME_LABEL && !described.labels.iter().any(|(known, _)| known == name)
    };
    let added: Vec<_> = labels.iter().filter(is_new).cloned().collect();
    described.labels.extend(added);
    if let Some((_, name)) = labels.iter().find(|(name, _)| name == NAME_LABEL) {
        described.name = Some(name.clone());
    }
    if described.profile.time == 0 {
        described.profile.time = from;
    }
    if described.profile.duration == 0 {
        described.profile.duration = duration;
    }
    described
}
