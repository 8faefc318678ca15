//! OTLP profiles over gRPC and HTTP.
//!
//! The request is not decoded by a schema: releases of the protocol differ, and the decoder tells
//! them apart.

mod grpc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cairn_chassis::Peer;
use cairn_wal::Digest;
use cairn_wire::opentelemetry::proto::collector::profiles::v1development as wire;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prost::Message;

use super::body::{self, Coding};
use super::caller::Caller;
use crate::error::{Error, Place, Refusal, Refusals};
use crate::ingester::Ingester;
use crate::push::{
    Altered, Decoded, Door, Push, REPLACED_STRINGS, Series, TRUNCATED_SAMPLES, TRUNCATED_STACKS,
};

pub(super) use grpc::Service;

pub(super) const PATH: &str = "/v1development/profiles";

/// How a request is written, and its answer with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

impl Form {
    fn of(headers: &HeaderMap) -> Option<Self> {
        match body::media_type(headers).as_str() {
            "application/x-protobuf" | "application/protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// `POST /v1development/profiles`
pub(crate) async fn http(
    State(ingester): State<Ingester>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let caller = Caller::of_http(&headers, peer);
    let Some(form) = Form::of(&headers) else {
        let accepted = [("accept-post", "application/x-protobuf, application/json")];
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, accepted).into_response();
    };
    let stored = async {
        let coding = Coding::of(&headers)?;
        let received = body::read(&ingester, (&caller, &headers), body).await?;
        let received = received.inflated(coding, &ingester).await?;
        store(&ingester, &caller, received.bytes.clone(), form).await
    };
    match stored.await {
        Ok(response) => answer(form, StatusCode::OK, &response),
        Err(error) => {
            caller.failed(&ingester, Door::Otlp, &error);
            refusal(form, &error)
        }
    }
}

fn answer(
    form: Form,
    status: StatusCode,
    message: &wire::ExportProfilesServiceResponse,
) -> Response {
    let body: Bytes = match form {
        Form::Protobuf => message.encode_to_vec().into(),
        Form::Json => json(message).to_string().into(),
    };
    (status, [(header::CONTENT_TYPE, form.content_type())], body).into_response()
}

fn json(message: &wire::ExportProfilesServiceResponse) -> serde_json::Value {
    match &message.partial_success {
        None => serde_json::json!({}),
        Some(partial) => serde_json::json!({ "partialSuccess": {
            // As JSON spells 64 bits.
            "rejectedProfiles": partial.rejected_profiles.to_string(),
            "errorMessage": partial.error_message,
        }}),
    }
}

/// Seconds after which a sender that was turned away may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Senders that wait for room are told 503, since some of them drop what is answered by 429.
fn refusal(form: Form, error: &Error) -> Response {
    let status = match error {
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        // Other codes of a slow body are no reason for these senders to try again.
        Error::SlowBody(_) | Error::Interrupted(_) => StatusCode::SERVICE_UNAVAILABLE,
        error => StatusCode::from_u16(cairn_wire::http_status(error.patient_code()))
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let code = cairn_wire::grpc_code(error.patient_code());
    let text = cairn_wire::public_text(error.code(), &error.to_string(), "").into_owned();
    let body: Bytes = match form {
        Form::Protobuf => wire::RpcStatus {
            code: code.into(),
            message: text,
        }
        .encode_to_vec()
        .into(),
        Form::Json => serde_json::json!({ "code": i32::from(code), "message": text })
            .to_string()
            .into(),
    };
    let content_type = [(header::CONTENT_TYPE, form.content_type())];
    let mut response = (status, content_type, body).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

/// Stores what can be stored, and tells what can't.
async fn store(
    ingester: &Ingester,
    caller: &Caller,
    bytes: Bytes,
    form: Form,
) -> Result<wire::ExportProfilesServiceResponse, Error> {
    let received = ingester.cx().clock().now();
    let limits = ingester.limits_for(&caller.tenant, bytes.len());
    let decode = move || decode(&bytes, form, &limits);
    let Decoded {
        series,
        mut refused,
        altered,
    } = ingester.cx().compute(decode).await?;
    let push = Push {
        tenant: caller.tenant.clone(),
        door: Door::Otlp,
        sender: caller.sender.clone(),
        received,
        from: None,
        until: None,
        normalized: true,
        series,
        tables: Vec::new(),
    };
    let outcome = ingester.take(push).await?;
    ingester
        .metering()
        .refused((&caller.tenant, Door::Otlp), &refused);
    ingester
        .metering()
        .altered((&caller.tenant, Door::Otlp), &altered);
    refused.extend(outcome.refused);
    let rejected = refused.len() + outcome.more;
    if rejected == 0 {
        return Ok(wire::ExportProfilesServiceResponse::default());
    }
    let refusals = Refusals {
        refused,
        more: outcome.more,
        stored: outcome.stored.profiles + outcome.stored.repeats,
    };
    let partial = wire::ExportProfilesPartialSuccess {
        rejected_profiles: rejected as i64,
        error_message: refusals.to_string(),
    };
    Ok(wire::ExportProfilesServiceResponse {
        partial_success: Some(partial),
    })
}

fn decode(bytes: &[u8], form: Form, limits: &cairn_model::Limits) -> Result<Decoded, Error> {
    let request = match form {
        Form::Protobuf => cairn_otlp::decode(bytes, limits),
        Form::Json => cairn_otlp::decode_json(bytes, limits),
    };
    let request = request.map_err(|error| Error::Malformed(error.to_string()))?;
    let mut decoded = Decoded {
        altered: altered(&request.counts),
        ..Decoded::default()
    };
    let sent = Digest::of(&[bytes]);
    for (place, profile) in request.profiles.into_iter().enumerate() {
        match profile {
            Ok(profile) => {
                let series = Series::decoded(profile.described, sent, place);
                decoded.series.push(series);
            }
            Err(refusal) => decoded.refused.push(Refusal {
                place: Place::Named(format!(
                    "resource {}, scope {}, profile {}",
                    refusal.resource, refusal.scope, refusal.profile
                )),
                reason: refusal.reason,
                kind: refusal.kind,
                bytes: refusal.bytes as u64,
            }),
        }
    }
    Ok(decoded)
}

fn altered(counts: &cairn_otlp::Counts) -> Vec<Altered> {
    let cairn_otlp::Counts {
        dropped_attributes,
        original_payloads,
        schema_urls,
        comments,
        odd_samples,
        times_left_out,
        truncated_samples,
        truncated_points,
        truncated_stacks,
        replaced_strings,
        unnamed_attributes,
        attributes_left_out,
        frame_types_left_out,
        lines_left_out,
        frames_left_out,
        units_left_out,
        odd_profile_ids,
    } = *counts;
    vec![
        (TRUNCATED_SAMPLES, truncated_samples),
        ("truncated_points", truncated_points),
        (TRUNCATED_STACKS, truncated_stacks),
        (REPLACED_STRINGS, replaced_strings),
        ("attributes_dropped_by_sender", dropped_attributes),
        ("original_payloads", original_payloads),
        ("schema_urls", schema_urls),
        ("comments", comments),
        ("odd_samples", odd_samples),
        ("times", times_left_out),
        ("unnamed_attributes", unnamed_attributes),
        ("attributes", attributes_left_out),
        ("frame_types", frame_types_left_out),
        ("lines", lines_left_out),
        ("frames", frames_left_out),
        ("units", units_left_out),
        ("odd_profile_ids", odd_profile_ids),
    ]
}
