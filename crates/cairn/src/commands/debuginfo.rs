//! `cairn debuginfo`: gives Cairn the binaries that name native frames, and shows what it has.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use cairn_wire::cairn::symbols::v1::file_service_client::FileServiceClient;
use cairn_wire::cairn::symbols::v1::{
    DeleteRequest, FileInfo, FileState, FileType, ListRequest, StoredFile, UploadRequest,
    upload_request::Part,
};
use indicatif::{ProgressBar, ProgressStyle};
use tonic::transport::Channel;

use super::server::{Server, refused};

const CHUNK: usize = 1 << 20;
/// Bytes of a list of files.
const LIST_BYTES_MAX: usize = 64 << 20;

/// Upload binaries, their debug information and their sources; list and delete what was uploaded.
#[derive(Debug, clap::Subcommand)]
pub enum Debuginfo {
    /// Upload files; frames of these builds have names from the next query on.
    Upload {
        /// Programs, libraries, files with only their debug information, or archives of sources.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Use this build id instead of the one in the file. Sources need it, source maps without a debug
        /// id, and packages of split debug information (.dwp).
        #[arg(long)]
        build_id: Option<String>,
        /// What the files are. Of binaries the file says it.
        #[arg(long = "type", value_enum, default_value = "binary")]
        kind: Kind,
        /// Replace files that are there already.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        server: Server,
    },
    /// List files by build id, with those on their way, refused or deleted.
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Delete all files of a build.
    Delete {
        build_id: String,
        #[command(flatten)]
        server: Server,
    },
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A program, a library, or a file with only its debug information.
    Binary,
    /// A tar archive of source files, plain or compressed with zstd.
    Sources,
    /// A JavaScript source map.
    SourceMap,
}

impl Debuginfo {
    pub async fn run(self, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Upload {
                files,
                build_id,
                kind,
                force,
                server,
            } => {
                anyhow::ensure!(
                    build_id.is_none() || files.len() == 1,
                    "--build-id names one file"
                );
                let info = FileInfo {
                    build_id: build_id.unwrap_or_default(),
                    r#type: match kind {
                        Kind::Binary => FileType::Debuginfo,
                        Kind::Sources => FileType::Sources,
                        Kind::SourceMap => FileType::SourceMap,
                    }
                    .into(),
                    force,
                    ..FileInfo::default()
                };
                let mut client = FileServiceClient::new(server.connect().await?);
                for file in &files {
                    upload(&mut client, file, info.clone(), out).await?;
                }
                Ok(())
            }
            Self::List { server } => {
                let client = FileServiceClient::new(server.connect().await?);
                let mut client = client.max_decoding_message_size(LIST_BYTES_MAX);
                let listed = client.list(ListRequest::default()).await;
                let listed = listed.map_err(|status| refused(&status))?;
                list(&listed.into_inner().files, out)
            }
            Self::Delete { build_id, server } => {
                let mut client = FileServiceClient::new(server.connect().await?);
                let request = DeleteRequest {
                    build_id: build_id.clone(),
                    ..DeleteRequest::default()
                };
                let deleted = client.delete(request).await;
                let deleted = deleted.map_err(|status| refused(&status))?.into_inner();
                let (files, bytes) = (deleted.files, deleted.bytes);
                writeln!(out, "{build_id}: {files} files with {bytes} bytes deleted")?;
                Ok(())
            }
        }
    }
}

async fn upload(
    client: &mut FileServiceClient<Channel>,
    file: &Path,
    info: FileInfo,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let bar = progress(bytes.len(), file);
    let info = FileInfo {
        bytes: bytes.len() as u64,
        ..info
    };
    let first = UploadRequest {
        part: Some(Part::Info(info)),
    };
    let bytes = bytes::Bytes::from(bytes);
    let counted = bar.clone();
    let chunks = (0..bytes.len()).step_by(CHUNK).map(move |start| {
        let end = (start + CHUNK).min(bytes.len());
        counted.set_position(end as u64);
        UploadRequest {
            part: Some(Part::Chunk(bytes.slice(start..end))),
        }
    });
    let requests = std::iter::once(first).chain(chunks);
    let answer = client.upload(tokio_stream::iter(requests)).await;
    bar.finish_and_clear();
    let answer = answer.map_err(|status| match status.code() {
        tonic::Code::AlreadyExists => {
            let text = "another file is there already; --force replaces it";
            anyhow::anyhow!(text).context(file.display().to_string())
        }
        _ => refused(&status).context(file.display().to_string()),
    })?;
    let build_id = answer.into_inner().build_id;
    writeln!(out, "{}: stored as build id {build_id}", file.display())?;
    Ok(())
}

/// One line a file, in columns.
fn list(files: &[StoredFile], out: &mut dyn Write) -> anyhow::Result<()> {
    for file in files {
        let kind = match file.r#type() {
            FileType::Debuginfo => "debuginfo",
            FileType::Executable => "executable",
            FileType::Sources => "sources",
            FileType::SourceMap => "source-map",
            FileType::Package => "package",
        };
        let state = match file.state() {
            FileState::Uploading => "uploading",
            FileState::Uploaded => "uploaded",
            FileState::Refused => "refused",
            FileState::Deleted => "deleted",
        };
        let seconds = file.uploaded_unix_ms.div_euclid(1000).max(0);
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds as u64);
        let time = humantime::format_rfc3339_seconds(time);
        let StoredFile {
            build_id,
            bytes,
            reason,
            ..
        } = file;
        let line = format!("{build_id:<40}  {kind:<10}  {state:<9}  {bytes:>12}  {time}  {reason}");
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn progress(bytes: usize, file: &Path) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{msg} {bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec}";
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    ProgressBar::new(bytes as u64)
        .with_style(style)
        .with_message(file.display().to_string())
}
