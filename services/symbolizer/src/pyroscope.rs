//! `debuginfo.v1alpha1.DebuginfoService` over Connect, and the plain upload beside it: what Grafana
//! Alloy and Pyroscope's own command speak. It knows neither sizes nor hashes nor ids of uploads, so
//! there is one upload of a build at a time.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use cairn_model::{BuildId, FileKind, TenantId};
use cairn_wire::connect::Codec;
use cairn_wire::debuginfo::v1alpha1 as wire;
use futures::StreamExt;
use http::{HeaderMap, StatusCode, header};
use prost::{Message, Name};
use wire::file_metadata::Type;
use wire::object_metadata::State as Progress;

use crate::error::Error;
use crate::grpc::told;
use crate::record::{Reason, Upload};
use crate::records::Place;
use crate::uploads::{Announced, Entry, Uploads};

const SERVICE: &str = "/debuginfo.v1alpha1.DebuginfoService";
/// Bytes of the message of a call.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Digits of a build id that this service takes.
const GNU_DIGITS: std::ops::RangeInclusive<usize> = 2..=40;
/// What is said here of a file of which nothing is known. All other reasons are those of Parca.
const FIRST: &str = "First time we see this Build ID, therefore please upload!";

type Shared = Arc<Uploads>;

pub(crate) fn routes(uploads: Shared) -> Router {
    let path = |method: &str| format!("{SERVICE}/{method}");
    Router::new()
        .route(&path("ShouldInitiateUpload"), unary(should_initiate))
        .route(&path("UploadFinished"), unary(finished))
        .route(&path("ListDebuginfo"), unary(list))
        .route(&path("DeleteDebuginfo"), unary(delete))
        .route(&path("Upload/{gnu_build_id}"), post(upload))
        .with_state(uploads)
}

/// A path of a call, from the function that answers it.
fn unary<Q, A, F>(call: fn(Shared, Q) -> F) -> MethodRouter<Shared>
where
    Q: Message + Name + Default + 'static,
    A: Message + Name + 'static,
    F: Future<Output = Result<A, Error>> + Send + 'static,
{
    post(
        move |State(uploads): State<Shared>, headers: HeaderMap, body: Body| async move {
            let content_type = headers.get(header::CONTENT_TYPE);
            let content_type = content_type.and_then(|value| value.to_str().ok());
            let Some(codec) = Codec::of(content_type.unwrap_or_default()) else {
                let accepted = [("accept-post", Codec::ACCEPTED)];
                return (StatusCode::UNSUPPORTED_MEDIA_TYPE, accepted).into_response();
            };
            let answered = async {
                let body = axum::body::to_bytes(body, MESSAGE_BYTES_MAX).await;
                let body = body.map_err(|error| Error::Invalid(error.to_string()))?;
                let request = codec.decode(body);
                let request = request.map_err(|error| Error::Invalid(error.to_string()))?;
                call(uploads, request).await
            };
            match answered.await {
                Ok(answer) => {
                    let content_type = [(header::CONTENT_TYPE, codec.content_type())];
                    (content_type, codec.encode(&answer)).into_response()
                }
                Err(error) => failure(&error),
            }
        },
    )
}

/// A failure as Connect spells it.
fn failure(error: &Error) -> Response {
    let (code, status) = match error {
        Error::NotNow(_) | Error::Unasked(_) => ("failed_precondition", 400),
        error => (
            cairn_wire::connect_code(error.code()),
            cairn_wire::http_status(error.code()),
        ),
    };
    let body = cairn_wire::connect::error(code, told(error).message());
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status_of(status), content_type, body).into_response()
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Closed by default: while there are no tokens, everything belongs to `anonymous`.
fn place(build_id: BuildId, kind: FileKind) -> Place {
    Place {
        tenant: TenantId::anonymous(),
        build_id,
        kind,
    }
}

fn gnu(text: &str) -> Result<BuildId, Error> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_hex && GNU_DIGITS.contains(&text.len()) {
        true => Ok(BuildId::parse(text)?),
        false => Err(Error::Invalid(format!("invalid gnuBuildID {text:?}"))),
    }
}

async fn should_initiate(
    uploads: Shared,
    request: wire::ShouldInitiateUploadRequest,
) -> Result<wire::ShouldInitiateUploadResponse, Error> {
    let invalid = |text: &str| Error::Invalid(format!("invalid request: {text}"));
    let file = request.file.ok_or_else(|| invalid("init.File == nil"))?;
    let kind = match file.r#type() {
        Type::ExecutableFull => FileKind::Executable,
        Type::ExecutableNoText => FileKind::Debuginfo,
        Type::Unspecified => {
            let text = format!("init.File.Type({}) is not valid", file.r#type);
            return Err(invalid(&text));
        }
    };
    let build_id = gnu(&file.gnu_build_id).map_err(|error| invalid(&error.to_string()))?;
    let others = [&file.go_build_id, &file.otel_file_id];
    let others = others.into_iter().filter(|text| !text.is_empty());
    let place = place(build_id, kind);
    let is_hash = file.gnu_build_id.eq_ignore_ascii_case(&file.otel_file_id);
    let announced = Announced {
        also: others
            .map(|text| BuildId::parse(text))
            .collect::<Result<_, _>>()?,
        is_gnu: !is_hash,
        is_hash,
        ..Announced::default()
    };
    let mut reason = uploads.wants_of_agents(&place, &announced).await?;
    if reason.is_wanted() {
        match uploads.begin(&place, announced).await {
            Ok(_) => {}
            // Another was first.
            Err(Error::Unasked(other) | Error::Unwanted(other)) => reason = other,
            Err(error) => return Err(error),
        }
    }
    Ok(wire::ShouldInitiateUploadResponse {
        should_initiate_upload: reason.is_wanted(),
        reason: match reason {
            Reason::New => FIRST,
            reason => reason.text(),
        }
        .to_owned(),
    })
}

/// The upload of this build that is under way, the last one that began.
async fn under_way(
    uploads: &Uploads,
    build_id: &BuildId,
) -> Result<(Option<(Place, Upload)>, bool), Error> {
    let (mut found, mut is_known) = (None::<(Place, Upload)>, false);
    for kind in [FileKind::Executable, FileKind::Debuginfo] {
        let place = place(build_id.clone(), kind);
        let (_, record) = uploads.files().records().read(&place).await?;
        is_known |= record.is_some();
        let Some(upload) = record.and_then(|record| record.upload) else {
            continue;
        };
        let is_later = found
            .as_ref()
            .is_none_or(|(_, other)| other.started_unix_ms < upload.started_unix_ms);
        if is_later {
            found = Some((place, upload));
        }
    }
    Ok((found, is_known))
}

async fn upload(
    State(uploads): State<Shared>,
    Path(gnu_build_id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let received = async {
        let build_id = gnu(&gnu_build_id)?;
        let (found, _) = under_way(&uploads, &build_id).await?;
        let Some((place, upload)) = found else {
            return Err(Error::NotNow("no pending upload for this build ID"));
        };
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let length = length.unwrap_or_default();
        uploads.check_size(length)?;
        uploads.check_room(&place.tenant, length).await?;
        let parts = body.into_data_stream();
        let parts =
            parts.map(|part| part.map_err(|error: axum::Error| Error::Broken(error.to_string())));
        uploads.receive(&place, &upload.id.to_string(), parts).await
    };
    match received.await {
        Ok(_) => StatusCode::OK.into_response(),
        Err(error) => {
            let status = match error {
                Error::NotNow(_) => StatusCode::PRECONDITION_FAILED,
                _ => status_of(cairn_wire::http_status(error.code())),
            };
            (status, told(&error).message().to_owned()).into_response()
        }
    }
}

async fn finished(
    uploads: Shared,
    request: wire::UploadFinishedRequest,
) -> Result<wire::UploadFinishedResponse, Error> {
    let text = request.gnu_build_id;
    let (found, is_known) = under_way(&uploads, &gnu(&text)?).await?;
    let Some((place, upload)) = found else {
        return Err(match is_known {
            true => Error::NotNow("upload is not in uploading state"),
            false => Error::Missing(format!("no upload metadata found for build ID {text}")),
        });
    };
    let patience = uploads.config().answer_after;
    let id = upload.id.to_string();
    uploads.end(&place, &id, patience).await?;
    Ok(wire::UploadFinishedResponse {})
}

async fn list(
    uploads: Shared,
    _: wire::ListDebuginfoRequest,
) -> Result<wire::ListDebuginfoResponse, Error> {
    let entries = uploads.list(&TenantId::anonymous()).await?;
    Ok(wire::ListDebuginfoResponse {
        object: entries.into_iter().filter_map(listed).collect(),
    })
}

/// One file, if this service could have taken it and it is there or on its way.
fn listed(entry: Entry) -> Option<wire::ObjectMetadata> {
    let Entry { place, record } = entry;
    let kind = match place.kind {
        FileKind::Executable => Type::ExecutableFull,
        FileKind::Debuginfo => Type::ExecutableNoText,
        FileKind::Sources | FileKind::SourceMap | FileKind::Package => return None,
    };
    let time = |unix_ms: i64| Some(cairn_wire::timestamp(unix_ms.saturating_mul(1_000_000)));
    let object = wire::ObjectMetadata {
        file: Some(wire::FileMetadata {
            gnu_build_id: place.build_id.to_string(),
            r#type: kind.into(),
            ..wire::FileMetadata::default()
        }),
        started_at: time(
            record
                .upload
                .as_ref()
                .map_or(0, |upload| upload.started_unix_ms),
        ),
        state: Progress::Uploading.into(),
        ..wire::ObjectMetadata::default()
    };
    match (record.readable(), &record.upload) {
        (Some(file), _) => Some(wire::ObjectMetadata {
            state: Progress::Uploaded.into(),
            started_at: None,
            finished_at: time(file.finished_unix_ms),
            size_bytes: i64::try_from(file.bytes).unwrap_or(i64::MAX),
            ..object
        }),
        (None, Some(_)) => Some(object),
        (None, None) => None,
    }
}

async fn delete(
    uploads: Shared,
    request: wire::DeleteDebuginfoRequest,
) -> Result<wire::DeleteDebuginfoResponse, Error> {
    let build_id = gnu(&request.gnu_build_id)?;
    match uploads.delete(&TenantId::anonymous(), &build_id).await {
        Ok(_) | Err(Error::Missing(_)) => Ok(wire::DeleteDebuginfoResponse {}),
        Err(error) => Err(error),
    }
}
