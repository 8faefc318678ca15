//! `cairn block`: what is inside a block file.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;

/// Look at stored blocks.
#[derive(Debug, clap::Subcommand)]
pub enum Block {
    /// Show the sections, sizes, time range, types and labels of a block.
    Inspect {
        /// A block, such as DATA/store/blocks/TENANT/ID.cairn.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

impl Block {
    pub async fn run(self, out: &mut dyn Write) -> anyhow::Result<()> {
        let Self::Inspect { file } = self;
        let bytes = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        let block = cairn_block::Block::from_bytes(bytes.into())
            .with_context(|| format!("{} is no block, or a damaged one", file.display()))?;
        let text = cairn_block::describe(&block)
            .await
            .with_context(|| format!("read {}", file.display()))?;
        out.write_all(text.as_bytes())
            .context("write to standard output")
    }
}
