//! One symbolizer in this process and a client of it.

use std::path::PathBuf;

use bytes::Bytes;
use bytesize::ByteSize;
use cairn_chassis::{Clock, Options, Process};
use cairn_symbolizer::{Config, ConversionConfig, UploadConfig};
use cairn_wire::cairn::symbols::v1::file_service_client::FileServiceClient;
use cairn_wire::cairn::symbols::v1::symbol_service_client::SymbolServiceClient;
use cairn_wire::cairn::symbols::v1::upload_request::Part;
use cairn_wire::cairn::symbols::v1::{
    Addressing, Binary, FileInfo, SymbolizeRequest, SymbolizeResponse, Symbols, UploadRequest,
    UploadResponse,
};
use tempfile::TempDir;
use tonic::Status;
use tonic::transport::Channel;

pub(crate) struct Server {
    process: Process,
    pub(crate) client: SymbolServiceClient<Channel>,
    pub(crate) files: FileServiceClient<Channel>,
    pub(crate) folder: TempDir,
}

/// A file on its way.
pub(crate) struct Upload<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) build_id: &'a str,
    pub(crate) elf: &'a [u8],
}

impl<'a> Upload<'a> {
    pub(crate) fn of(tenant: &'a str, elf: &'a [u8]) -> Self {
        Self {
            tenant,
            build_id: "",
            elf,
        }
    }
}

/// What an answer says of one address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) frames: Vec<Call>,
    pub(crate) reason: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) function: String,
    pub(crate) file: String,
    pub(crate) start_line: i64,
    pub(crate) line: i64,
    pub(crate) inlined: bool,
}

impl Known {
    pub(crate) fn new(answer: &SymbolizeResponse, symbols: &Symbols) -> Self {
        let text = |at: u32| answer.strings[at as usize].clone();
        let frames = symbols.frames.iter().map(|frame| {
            let function = &answer.functions[frame.function as usize];
            Call {
                function: text(function.name),
                file: text(function.file),
                start_line: function.start_line,
                line: frame.line,
                inlined: frame.inlined,
            }
        });
        Self {
            frames: frames.collect(),
            reason: symbols.reason.clone(),
        }
    }
}

pub(crate) fn native(binary: &str) -> Vec<u8> {
    let path = cairn_testkit::corpus::root().join("generated/native/bin");
    let path = path.join(binary);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn config(folder: &TempDir) -> Config {
    Config {
        store: cairn_store::Config::folder(folder.path().join("store")),
        upload: UploadConfig {
            bytes_max: ByteSize::mib(4),
            ..UploadConfig::default()
        },
        conversion: ConversionConfig {
            program: Some(PathBuf::from(env!("CARGO_BIN_EXE_cairn-symbolizer"))),
            scratch: Some(folder.path().join("scratch")),
            ..ConversionConfig::default()
        },
        absence_ttl: std::time::Duration::from_secs(1),
        ..Config::default()
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = config(&folder);
        Self::start_with(config, folder).await
    }

    pub(crate) async fn start_with(config: Config, folder: TempDir) -> Self {
        Self::start_by(Clock::real(), config, folder).await
    }

    /// One that goes by this clock.
    pub(crate) async fn start_by(clock: Clock, config: Config, folder: TempDir) -> Self {
        let mut options = Options::for_tests();
        options.clock = clock;
        let process = Process::bind(options, &["symbolizer"])
            .await
            .expect("free ports");
        process.run("symbolizer", |cx| cairn_symbolizer::run(config, cx));
        process.ready().await;
        let address = format!("http://{}", process.address());
        let client = SymbolServiceClient::connect(address.clone()).await;
        let files = FileServiceClient::connect(address).await;
        Self {
            process,
            client: client.expect("it listens"),
            files: files.expect("it listens"),
            folder,
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.process.address())
    }

    pub(crate) fn admin(&self) -> String {
        format!("http://{}", self.process.admin_address())
    }

    /// Another replica over the same store. It forgets soon what it knows of files, as do both.
    pub(crate) async fn beside(one: &Self) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(&folder);
        config.store = one.store();
        Self::start_with(config, folder).await
    }

    pub(crate) fn store(&self) -> cairn_store::Config {
        cairn_store::Config::folder(self.folder.path().join("store"))
    }

    /// Stops it; the folder with what it stored stays.
    pub(crate) async fn stop(self) -> TempDir {
        drop((self.client, self.files));
        self.process.stop().await.expect("it stops in order");
        self.folder
    }

    pub(crate) async fn upload(&self, upload: Upload<'_>) -> Result<UploadResponse, Status> {
        let info = FileInfo {
            tenant: upload.tenant.to_owned(),
            build_id: upload.build_id.to_owned(),
            ..FileInfo::default()
        };
        let chunks = upload.elf.chunks(4096).map(Bytes::copy_from_slice);
        let parts = std::iter::once(Part::Info(info)).chain(chunks.map(Part::Chunk));
        self.send(parts.collect()).await
    }

    pub(crate) async fn send(&self, parts: Vec<Part>) -> Result<UploadResponse, Status> {
        let requests = parts
            .into_iter()
            .map(|part| UploadRequest { part: Some(part) });
        let stream = tokio_stream::iter(requests.collect::<Vec<_>>());
        let answer = self.files.clone().upload(stream).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn symbolize(
        &self,
        tenant: &str,
        build_id: &str,
        addressing: Addressing,
        addresses: &[u64],
    ) -> Vec<Known> {
        let binary = Binary {
            build_id: build_id.to_owned(),
            addressing: addressing.into(),
            addresses: addresses.to_vec(),
        };
        self.symbolize_all(tenant, vec![binary]).await.remove(0)
    }

    /// Of each binary, what is known of each address.
    pub(crate) async fn symbolize_all(
        &self,
        tenant: &str,
        binaries: Vec<Binary>,
    ) -> Vec<Vec<Known>> {
        let request = SymbolizeRequest {
            tenant: tenant.to_owned(),
            binaries,
            ..SymbolizeRequest::default()
        };
        let answer = self.client.clone().symbolize(request).await;
        let answer = answer.expect("an answer").into_inner();
        let known = |at: &u32| Known::new(&answer, &answer.symbols[*at as usize]);
        let binaries = answer.binaries.iter();
        binaries
            .map(|binary| binary.symbols.iter().map(known).collect())
            .collect()
    }

    /// Why nothing is named.
    pub(crate) async fn reason(&self, tenant: &str, build_id: &str, address: u64) -> String {
        let asked = [address];
        let answer = self.symbolize(tenant, build_id, Addressing::Virtual, &asked);
        let symbols = answer.await.remove(0);
        assert!(symbols.frames.is_empty(), "{symbols:?}");
        symbols.reason
    }
}
