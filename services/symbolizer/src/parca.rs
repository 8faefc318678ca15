//! `parca.debuginfo.v1alpha1.DebuginfoService` over gRPC and gRPC-web: what Parca's agents and
//! `parca-debuginfo` speak.

use std::sync::Arc;

use cairn_model::{BuildId, FileKind, TenantId};
use cairn_wire::parca::debuginfo::v1alpha1 as wire;
use futures::StreamExt;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status, Streaming};
use wire::debuginfo_service_server::{DebuginfoService, DebuginfoServiceServer};
use wire::upload_instructions::UploadStrategy;
use wire::upload_request::Data;

use crate::error::Error;
use crate::grpc::told;
use crate::record::Reason;
use crate::records::Place;
use crate::uploads::{Announced, Uploads};

/// Bytes of one message; agents send chunks of eight megabytes.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Characters of a hash; the longest in use has 128.
const HASH_CHARS_MAX: usize = 256;

#[derive(Clone)]
pub(crate) struct Debuginfo(Arc<Uploads>);

pub(crate) fn server(uploads: Arc<Uploads>) -> DebuginfoServiceServer<Debuginfo> {
    DebuginfoServiceServer::new(Debuginfo(uploads))
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// Which file a request is about. Closed by default: while there are no tokens, everything belongs
/// to `anonymous`.
fn place(build_id: &str, kind: i32) -> Result<Place, Error> {
    Ok(Place {
        tenant: TenantId::anonymous(),
        build_id: BuildId::parse(build_id)?,
        kind: match wire::DebuginfoType::try_from(kind) {
            Ok(wire::DebuginfoType::DebuginfoUnspecified) => FileKind::Debuginfo,
            Ok(wire::DebuginfoType::Executable) => FileKind::Executable,
            Ok(wire::DebuginfoType::Sources) => FileKind::Sources,
            Ok(wire::DebuginfoType::SourceMap) => FileKind::SourceMap,
            Err(_) => return Err(Error::Invalid(format!("no type of debuginfo {kind}"))),
        },
    })
}

impl Debuginfo {
    async fn should_initiate(
        &self,
        request: wire::ShouldInitiateUploadRequest,
    ) -> Result<wire::ShouldInitiateUploadResponse, Error> {
        let wire::ShouldInitiateUploadRequest {
            build_id,
            hash,
            force,
            r#type,
            build_id_type,
        } = request;
        let place = place(&build_id, r#type)?;
        let announced = Announced {
            hash,
            force,
            is_gnu: may_be_gnu(build_id_type),
            ..Announced::default()
        };
        let reason = self.0.wants_of_agents(&place, &announced).await?;
        Ok(wire::ShouldInitiateUploadResponse {
            should_initiate_upload: reason.is_wanted(),
            reason: reason.text().to_owned(),
        })
    }

    async fn initiate(
        &self,
        request: wire::InitiateUploadRequest,
    ) -> Result<wire::InitiateUploadResponse, Error> {
        let wire::InitiateUploadRequest {
            build_id,
            size,
            hash,
            force,
            r#type,
            build_id_type,
        } = request;
        let place = place(&build_id, r#type)?;
        if hash.is_empty() {
            return Err(Error::Invalid("hash must be set".to_owned()));
        }
        if hash.chars().count() > HASH_CHARS_MAX {
            let text = format!("the hash has more than {HASH_CHARS_MAX} characters");
            return Err(Error::Invalid(text));
        }
        let bytes = match u64::try_from(size) {
            Ok(0) => return Err(Error::Invalid("size must be set".to_owned())),
            Ok(bytes) => bytes,
            Err(_) => return Err(Error::Invalid("size must not be negative".to_owned())),
        };
        let is_hash = build_id_type == i32::from(wire::BuildIdType::Hash);
        let also = file_id(&hash).filter(|_| place.kind.is_elf());
        let announced = Announced {
            bytes,
            hash,
            force,
            also: also.into_iter().collect(),
            is_gnu: may_be_gnu(build_id_type),
            is_hash,
            takes_url: true,
        };
        let reason = self.0.wants_of_agents(&place, &announced).await?;
        if matches!(reason, Reason::Upstream | Reason::UpstreamInUse) {
            return Err(Error::Unasked(reason));
        }
        let upload = self.0.begin(&place, announced).await?;
        let strategy = match upload.url {
            Some(_) => UploadStrategy::SignedUrl,
            None => UploadStrategy::Grpc,
        };
        Ok(wire::InitiateUploadResponse {
            upload_instructions: Some(wire::UploadInstructions {
                build_id,
                upload_id: upload.id.to_string(),
                upload_strategy: strategy.into(),
                signed_url: upload.url.unwrap_or_default(),
                r#type,
            }),
        })
    }

    async fn receive(
        &self,
        mut stream: Streaming<wire::UploadRequest>,
    ) -> Result<wire::UploadResponse, Error> {
        let first = match stream.message().await {
            Ok(first) => first.and_then(|first| first.data),
            Err(status) => return Err(broken(&status)),
        };
        let Some(Data::Info(info)) = first else {
            let text = "the first message must say which upload follows";
            return Err(Error::Invalid(text.to_owned()));
        };
        let wire::UploadInfo {
            build_id,
            upload_id,
            r#type,
        } = info;
        let place = place(&build_id, r#type)?;
        let parts = stream.map(|message| match message.map(|message| message.data) {
            Ok(Some(Data::ChunkData(bytes))) => Ok(bytes),
            Ok(Some(Data::Info(_)) | None) => Err(Error::Invalid(
                "only the first message says which upload follows".to_owned(),
            )),
            Err(status) => Err(broken(&status)),
        });
        let size = self.0.receive(&place, &upload_id, parts).await?;
        Ok(wire::UploadResponse { build_id, size })
    }

    async fn finish(&self, request: wire::MarkUploadFinishedRequest) -> Result<(), Error> {
        let wire::MarkUploadFinishedRequest {
            build_id,
            upload_id,
            r#type,
        } = request;
        let place = place(&build_id, r#type)?;
        let patience = self.0.config().answer_after;
        self.0.end(&place, &upload_id, patience).await?;
        Ok(())
    }
}

/// Whether a build id may be a linker's. Older agents don't say what it is.
fn may_be_gnu(build_id_type: i32) -> bool {
    use wire::BuildIdType::{Gnu, UnknownUnspecified};
    [UnknownUnspecified, Gnu]
        .map(i32::from)
        .contains(&build_id_type)
}

fn broken(status: &Status) -> Error {
    Error::Broken(status.message().to_owned())
}

/// Agents claim as hash what OpenTelemetry's profiler calls the executable. Profiles may name it so.
fn file_id(hash: &str) -> Option<BuildId> {
    let is_file_id = hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    is_file_id.then(|| BuildId::parse(hash).ok()).flatten()
}

#[tonic::async_trait]
impl DebuginfoService for Debuginfo {
    async fn should_initiate_upload(
        &self,
        request: Request<wire::ShouldInitiateUploadRequest>,
    ) -> Result<Response<wire::ShouldInitiateUploadResponse>, Status> {
        let answer = self.should_initiate(request.into_inner()).await;
        answer.map(Response::new).map_err(|error| told(&error))
    }

    async fn initiate_upload(
        &self,
        request: Request<wire::InitiateUploadRequest>,
    ) -> Result<Response<wire::InitiateUploadResponse>, Status> {
        let answer = self.initiate(request.into_inner()).await;
        answer.map(Response::new).map_err(|error| told(&error))
    }

    async fn upload(
        &self,
        request: Request<Streaming<wire::UploadRequest>>,
    ) -> Result<Response<wire::UploadResponse>, Status> {
        let answer = self.receive(request.into_inner()).await;
        answer.map(Response::new).map_err(|error| told(&error))
    }

    async fn mark_upload_finished(
        &self,
        request: Request<wire::MarkUploadFinishedRequest>,
    ) -> Result<Response<wire::MarkUploadFinishedResponse>, Status> {
        let answer = self.finish(request.into_inner()).await;
        let answer = answer.map(|()| wire::MarkUploadFinishedResponse {});
        answer.map(Response::new).map_err(|error| told(&error))
    }
}
