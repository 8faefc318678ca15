//! `cairn.symbols.v1.FileService` over gRPC: requests checked, errors told.

use std::sync::Arc;

use bytes::Bytes;
use cairn_model::{BuildId, FileKind};
use cairn_wire::cairn::symbols::v1::file_service_server::{FileService, FileServiceServer};
use cairn_wire::cairn::symbols::v1::upload_request::Part;
use cairn_wire::cairn::symbols::v1::{
    DeleteRequest, DeleteResponse, FileInfo, FileState, FileType, ListRequest, ListResponse,
    SourceRequest, SourceResponse, StoredFile, UploadRequest, UploadResponse,
};
use futures::StreamExt;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status, Streaming};

use crate::error::Error;
use crate::grpc::told;
use crate::record::Reason;
use crate::records::Place;
use crate::scratch;
use crate::uploads::{
    Announced, Claim, Entry, Received, Uploads, debug_id, identity, named, tenant_of,
};

/// Bytes of one chunk of an upload.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Bytes of the name of a source file.
const NAME_BYTES_MAX: usize = 4096;

#[derive(Clone)]
pub(crate) struct FileKeeper(Arc<Uploads>);

pub(crate) fn server(uploads: Arc<Uploads>) -> FileServiceServer<FileKeeper> {
    FileServiceServer::new(FileKeeper(uploads))
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        // A text has up to sixteen megabytes.
        .max_encoding_message_size(2 * MESSAGE_BYTES_MAX)
}

impl FileKeeper {
    /// Receives a file, and then does what agents do in three steps.
    async fn upload(&self, mut stream: Streaming<UploadRequest>) -> Result<UploadResponse, Error> {
        let info = match stream.message().await {
            Ok(first) => match first.and_then(|first| first.part) {
                Some(Part::Info(info)) => info,
                Some(Part::Chunk(_)) | None => {
                    let text = "the first message must say what follows";
                    return Err(Error::Invalid(text.to_owned()));
                }
            },
            Err(status) => return Err(Error::Broken(status.message().to_owned())),
        };
        let tenant = tenant_of(&info.tenant)?;
        let claimed = match info.build_id.as_str() {
            "" => None,
            text => Some(BuildId::parse(text)?),
        };
        let kind = kind_of(&info)?;
        self.0.check_size(info.bytes)?;
        let claim = Claim {
            bytes: info.bytes,
            ..Claim::default()
        };
        let received = self.0.take(stream.map(chunk), claim).await;
        let received = received.map_err(announced_wrong)?;
        let (build_id, kind) = match kind {
            FileKind::Executable | FileKind::Debuginfo | FileKind::Package => {
                self.identified(&received, claimed, kind).await?
            }
            FileKind::Sources => (claimed.ok_or_else(nameless)?, kind),
            FileKind::SourceMap => match claimed {
                Some(claimed) => (claimed, kind),
                None => (self.debug_id(&received).await?, kind),
            },
        };
        let place = Place {
            tenant,
            build_id,
            kind,
        };
        self.keep(&place, &received, info.force).await?;
        Ok(UploadResponse {
            build_id: place.build_id.to_string(),
            bytes: received.bytes,
        })
    }

    /// Under which build id to keep an ELF file, and as what. One that does not say goes where the
    /// client says, to be refused there.
    async fn identified(
        &self,
        received: &Received,
        claimed: Option<BuildId>,
        kind: FileKind,
    ) -> Result<(BuildId, FileKind), Error> {
        let _turn = self.0.turn_to_look().await?;
        let path = received.path.to_owned();
        let identity = move || scratch::map(&path).map(|elf| identity(&elf));
        match (self.0.compute(identity).await?, claimed) {
            (Ok(identity), claimed) => Ok((named(claimed.as_ref(), &identity)?, identity.kind)),
            (Err(_), Some(claimed)) => Ok((claimed, kind)),
            (Err(reason), None) => Err(Error::Refused(reason)),
        }
    }

    /// What a source map says that it is of.
    async fn debug_id(&self, received: &Received) -> Result<BuildId, Error> {
        let _turn = self.0.turn_to_look().await?;
        let path = received.path.to_owned();
        let id = move || scratch::map(&path).map(|map| debug_id(&map));
        let id = self.0.compute(id).await?;
        id.map_err(Error::Refused)?.ok_or_else(nameless)
    }

    async fn keep(&self, place: &Place, received: &Received, force: bool) -> Result<(), Error> {
        let hash = received.content.to_string();
        let (reason, found, record) = self.0.wants(place, &hash, force).await?;
        // What replaces a file takes its place, by whatever name of the build it comes.
        let place = &found;
        let file = record.and_then(|record| record.file);
        let is_same = |file: &crate::record::Stored| file.hash == hash;
        match (reason, file.filter(is_same)) {
            // A client that lost the answer sends the file again.
            (Reason::There, Some(_)) => return Ok(()),
            (Reason::There, None) => return Err(Error::Unwanted(Reason::There)),
            (Reason::RefusedSame, Some(file)) => {
                let reason = file.refusal.map(|refusal| refusal.reason);
                return Err(Error::Refused(reason.unwrap_or_default()));
            }
            _ => {}
        }
        // Who uploads by hand has a reason, whatever others have.
        let force = force || reason == Reason::UpstreamInUse;
        let announced = Announced {
            bytes: received.bytes,
            hash: hash.clone(),
            force,
            ..Announced::default()
        };
        let upload = self.0.begin(place, announced).await?.id;
        self.0.keep(place, upload, received).await?;
        let patience = self.0.config().time_max;
        self.0.end(place, &upload.to_string(), patience).await?;
        Ok(())
    }

    async fn list(&self, request: &ListRequest) -> Result<ListResponse, Error> {
        let tenant = tenant_of(&request.tenant)?;
        let entries = self.0.list(&tenant).await?;
        Ok(ListResponse {
            files: entries.into_iter().filter_map(listed).collect(),
        })
    }

    async fn delete(&self, request: &DeleteRequest) -> Result<DeleteResponse, Error> {
        let tenant = tenant_of(&request.tenant)?;
        let build_id = BuildId::parse(&request.build_id)?;
        let deleted = self.0.delete(&tenant, &build_id).await?;
        Ok(DeleteResponse {
            files: deleted.files,
            bytes: deleted.bytes,
        })
    }

    async fn source(&self, request: &SourceRequest) -> Result<SourceResponse, Error> {
        let tenant = tenant_of(&request.tenant)?;
        let build_id = BuildId::parse(&request.build_id)?;
        if request.file.len() > NAME_BYTES_MAX {
            let text = format!("the name of the file has more than {NAME_BYTES_MAX} bytes");
            return Err(Error::Invalid(text));
        }
        let found = self
            .0
            .files()
            .source(&tenant, &build_id, &request.file)
            .await?;
        Ok(SourceResponse {
            text: found.text,
            file: found.name,
        })
    }
}

/// A file as people see it; none if an upload of one began and was given up.
fn listed(entry: Entry) -> Option<StoredFile> {
    let Entry { place, record, .. } = entry;
    let about = StoredFile {
        build_id: place.build_id.to_string(),
        r#type: match place.kind {
            FileKind::Debuginfo => FileType::Debuginfo,
            FileKind::Executable => FileType::Executable,
            FileKind::Sources => FileType::Sources,
            FileKind::SourceMap => FileType::SourceMap,
            FileKind::Package => FileType::Package,
        }
        .into(),
        ..StoredFile::default()
    };
    // One that is there counts for more than one that is to replace it.
    if let Some(file) = record.file {
        let state = match file.refusal {
            None => FileState::Uploaded,
            Some(_) => FileState::Refused,
        };
        return Some(StoredFile {
            bytes: file.bytes,
            uploaded_unix_ms: file.finished_unix_ms,
            state: state.into(),
            reason: file
                .refusal
                .map(|refusal| refusal.reason)
                .unwrap_or_default(),
            ..about
        });
    }
    if let Some(upload) = record.upload {
        return Some(StoredFile {
            bytes: upload.bytes,
            uploaded_unix_ms: upload.started_unix_ms,
            state: FileState::Uploading.into(),
            ..about
        });
    }
    record.deleted_unix_ms.map(|deleted| StoredFile {
        uploaded_unix_ms: deleted,
        state: FileState::Deleted.into(),
        ..about
    })
}

fn nameless() -> Error {
    Error::Invalid("say which build it is of".to_owned())
}

/// Nothing was announced: what comes is refused for itself.
fn announced_wrong(error: Error) -> Error {
    match error {
        Error::Mismatch(text) => Error::Invalid(text),
        error => error,
    }
}

fn kind_of(info: &FileInfo) -> Result<FileKind, Error> {
    match FileType::try_from(info.r#type) {
        Ok(FileType::Debuginfo) => Ok(FileKind::Debuginfo),
        Ok(FileType::Executable) => Ok(FileKind::Executable),
        Ok(FileType::Sources) => Ok(FileKind::Sources),
        Ok(FileType::SourceMap) => Ok(FileKind::SourceMap),
        Ok(FileType::Package) => Ok(FileKind::Package),
        Err(_) => Err(Error::Invalid(format!("no type of file {}", info.r#type))),
    }
}

fn chunk(message: Result<UploadRequest, Status>) -> Result<Bytes, Error> {
    match message.map(|message| message.part) {
        Ok(Some(Part::Chunk(bytes))) => Ok(bytes),
        Ok(Some(Part::Info(_))) => Err(Error::Invalid(
            "only the first message says what follows".to_owned(),
        )),
        Ok(None) => Err(Error::Invalid("a message is empty".to_owned())),
        Err(status) => Err(Error::Broken(status.message().to_owned())),
    }
}

#[tonic::async_trait]
impl FileService for FileKeeper {
    async fn upload(
        &self,
        request: Request<Streaming<UploadRequest>>,
    ) -> Result<Response<UploadResponse>, Status> {
        let answer = self.upload(request.into_inner()).await;
        answer.map(Response::new).map_err(|error| told(&error))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let answer = self.list(request.get_ref()).await;
        answer.map(Response::new).map_err(|error| told(&error))
    }

    async fn delete(
        &self,
        request: Request<DeleteRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        let answer = self.delete(request.get_ref()).await;
        answer.map(Response::new).map_err(|error| told(&error))
    }

    async fn source(
        &self,
        request: Request<SourceRequest>,
    ) -> Result<Response<SourceResponse>, Status> {
        let answer = self.source(request.get_ref()).await;
        answer.map(Response::new).map_err(|error| told(&error))
    }
}
