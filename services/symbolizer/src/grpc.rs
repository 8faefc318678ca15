//! `cairn.symbols.v1.SymbolService` over gRPC: requests checked, errors told.

use std::sync::Arc;
use std::time::Duration;

use cairn_chassis::Context;
use cairn_model::{Addressing, BuildId, Code, FileKind};
use cairn_wire::cairn::symbols::v1::symbol_service_server::{SymbolService, SymbolServiceServer};
use cairn_wire::cairn::symbols::v1::{
    self as wire, FileType, ListRequest, ListResponse, StoredFile, SymbolizeRequest,
    SymbolizeResponse, UploadRequest, UploadResponse,
};
use tokio::sync::Semaphore;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status, Streaming};

use crate::builds::Builds;
use crate::config::{Config, UploadConfig};
use crate::error::Error;
use crate::files::Files;
use crate::metrics::{AddressLabel, Metrics, Named, Outcome, UploadLabel};
use crate::symbolize::{Asked, symbolize};
use crate::upload::{Stored, tenant_of, upload};

/// Bytes of one message: an upload's chunk, or the addresses of one request.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// How long a question takes at most that does not say it.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct Symbols {
    builds: Builds,
    files: Arc<Files>,
    upload: UploadConfig,
    uploads: Arc<Semaphore>,
    addresses_max: usize,
    metrics: Metrics,
    cx: Context,
}

impl Symbols {
    pub(crate) fn new(
        builds: Builds,
        files: Arc<Files>,
        config: &Config,
        metrics: Metrics,
        cx: Context,
    ) -> Self {
        Self {
            builds,
            files,
            upload: config.upload.clone(),
            uploads: Arc::new(Semaphore::new(config.upload.concurrent_max)),
            addresses_max: config.addresses_max,
            metrics,
            cx,
        }
    }

    pub(crate) fn into_server(self) -> SymbolServiceServer<Self> {
        SymbolServiceServer::new(self)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    async fn symbolize(
        &self,
        request: SymbolizeRequest,
        wait: Duration,
    ) -> Result<SymbolizeResponse, Error> {
        let SymbolizeRequest { tenant, binaries } = request;
        let tenant = tenant_of(&tenant)?;
        let asked: usize = binaries.iter().map(|binary| binary.addresses.len()).sum();
        if asked.max(binaries.len()) > self.addresses_max {
            let (asked, max) = (asked.max(binaries.len()), self.addresses_max);
            let text = format!("{asked} addresses are more than the {max} that are allowed");
            return Err(Error::Invalid(text));
        }
        let binaries: Vec<Binary> = binaries.into_iter().map(binary).collect::<Result<_, _>>()?;
        let asked = binaries.into_iter().map(async |(build_id, asked)| {
            let (addressing, addresses) = asked;
            let build = self.builds.get(&tenant, &build_id, wait).await;
            Asked {
                build,
                addressing,
                addresses,
            }
        });
        let asked = futures::future::join_all(asked).await;
        let answer = self.cx.compute(move || symbolize(&asked)).await;
        self.count(&answer);
        Ok(answer)
    }

    fn count(&self, answer: &SymbolizeResponse) {
        let is_named = |&at: &u32| !answer.symbols[at as usize].frames.is_empty();
        let all = answer.binaries.iter().flat_map(|binary| &binary.symbols);
        let (named, unnamed) = all.fold((0, 0), |(named, unnamed), at| match is_named(at) {
            true => (named + 1, unnamed),
            false => (named, unnamed + 1),
        });
        for (label, count) in [(Named::Yes, named), (Named::No, unnamed)] {
            let label = AddressLabel { named: label };
            self.metrics.addresses.get_or_create(&label).inc_by(count);
        }
    }

    async fn upload(&self, stream: Streaming<UploadRequest>) -> Result<Stored, Error> {
        let _slot = self.uploads.try_acquire().map_err(|_| Error::Busy)?;
        upload(&self.files, &self.upload, &self.cx, stream).await
    }

    async fn list(&self, request: &ListRequest) -> Result<ListResponse, Error> {
        let tenant = tenant_of(&request.tenant)?;
        let found = self.files.store().list_debuginfo(&tenant).await?;
        let files = found.into_iter().map(|file| StoredFile {
            build_id: file.build_id.to_string(),
            r#type: match file.kind {
                FileKind::Debuginfo => FileType::Debuginfo,
                FileKind::Executable => FileType::Executable,
            }
            .into(),
            bytes: file.bytes,
            uploaded_unix_ms: file.stored_unix_ms,
        });
        Ok(ListResponse {
            files: files.collect(),
        })
    }
}

#[tonic::async_trait]
impl SymbolService for Symbols {
    async fn symbolize(
        &self,
        request: Request<SymbolizeRequest>,
    ) -> Result<Response<SymbolizeResponse>, Status> {
        let timeout = cairn_wire::grpc_timeout(request.metadata().as_ref());
        // What is known by then still has to be sent.
        let wait = timeout.unwrap_or(TIMEOUT) / 10 * 9;
        let answer = self.symbolize(request.into_inner(), wait).await;
        answer.map(Response::new).map_err(|error| told(&error))
    }

    async fn upload(
        &self,
        request: Request<Streaming<UploadRequest>>,
    ) -> Result<Response<UploadResponse>, Status> {
        let result = self.upload(request.into_inner()).await;
        let outcome = match &result {
            Ok(_) => Outcome::Stored,
            Err(error) if error.code() == Code::Invalid => Outcome::Refused,
            Err(_) => Outcome::Failed,
        };
        self.metrics
            .uploads
            .get_or_create(&UploadLabel { outcome })
            .inc();
        let stored = result.map_err(|error| told(&error))?;
        self.metrics.stored_bytes.inc_by(stored.bytes);
        Ok(Response::new(UploadResponse {
            build_id: stored.build_id.to_string(),
            bytes: stored.bytes,
        }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let answer = self.list(request.get_ref()).await;
        answer.map(Response::new).map_err(|error| told(&error))
    }
}

type Binary = (BuildId, (Addressing, Vec<u64>));

fn binary(binary: wire::Binary) -> Result<Binary, Error> {
    let wire::Binary {
        build_id,
        addressing,
        addresses,
    } = binary;
    let addressing = match wire::Addressing::try_from(addressing) {
        Ok(wire::Addressing::FileOffset) => Addressing::FileOffset,
        Ok(wire::Addressing::Virtual) => Addressing::Virtual,
        Err(_) => return Err(Error::Invalid(format!("no addressing {addressing}"))),
    };
    Ok((BuildId::parse(&build_id)?, (addressing, addresses)))
}

/// What the client reads. Faults of ours are logged here, since clients are not told them.
fn told(error: &Error) -> Status {
    let code = error.code();
    if matches!(code, Code::Internal | Code::Corrupt) {
        tracing::error!(error = error.chain(), "a request failed");
    }
    cairn_wire::status(code, &error.to_string())
}
