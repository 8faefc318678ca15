//! `cairn debuginfo`: gives Cairn the binaries that name native frames.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context;
use cairn_wire::cairn::symbols::v1::symbol_service_client::SymbolServiceClient;
use cairn_wire::cairn::symbols::v1::{FileInfo, UploadRequest, upload_request::Part};
use indicatif::{ProgressBar, ProgressStyle};

use super::server::{Server, refused};

const CHUNK: usize = 1 << 20;

/// Upload binaries and their debug information.
#[derive(Debug, clap::Subcommand)]
pub enum Debuginfo {
    /// Upload ELF files; frames of these builds have names from the next query on.
    Upload {
        /// Programs, libraries, or files with only their debug information.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Use this build id instead of the one in the file.
        #[arg(long)]
        build_id: Option<String>,
        #[command(flatten)]
        server: Server,
    },
}

impl Debuginfo {
    pub async fn run(self, out: &mut dyn Write) -> anyhow::Result<()> {
        let Self::Upload {
            files,
            build_id,
            server,
        } = self;
        anyhow::ensure!(
            build_id.is_none() || files.len() == 1,
            "--build-id names one file"
        );
        let mut client = SymbolServiceClient::new(server.connect().await?);
        for file in &files {
            let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
            let bar = progress(bytes.len(), file);
            let info = FileInfo {
                build_id: build_id.clone().unwrap_or_default(),
                ..Default::default()
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
            let answer =
                answer.map_err(|status| refused(&status).context(file.display().to_string()))?;
            writeln!(
                out,
                "{}: stored as build id {}",
                file.display(),
                answer.into_inner().build_id
            )?;
        }
        Ok(())
    }
}

fn progress(bytes: usize, file: &std::path::Path) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{msg} {bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec}";
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    ProgressBar::new(bytes as u64)
        .with_style(style)
        .with_message(file.display().to_string())
}
