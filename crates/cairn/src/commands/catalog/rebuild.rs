//! `cairn catalog rebuild`: a catalog from the bucket alone, after every copy of it was lost.
//!
//! Owns what is read of the bucket and what people are told; what the catalog must say is decided
//! by [`cairn_catalog::plan`]. Reads the ends of blocks and of logs, and writes nothing to the bucket.

mod report;
mod survey;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use cairn_chassis::config::Document;
use cairn_store::{Config, Store};

use self::survey::Survey;

/// Make the catalog anew from blocks and logs in the store. Stop every service first.
#[derive(Debug, clap::Args)]
pub(super) struct Rebuild {
    /// The folder of the object store, such as DATA/store. Without it, the store that the settings
    /// of the ingester name.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Read settings from this YAML file. `CAIRN__SECTION__KEY` in the environment overrides it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only say what was found and what would become of it.
    #[arg(long)]
    dry_run: bool,
    /// Where to write the catalog. An ingester without one starts with it, if its setting
    /// `catalog.restore` names this file.
    #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Name every block that would not be live, and why.
    #[arg(long)]
    verbose: bool,
}

impl Rebuild {
    /// `now_unix_ms` is what versions, jobs and incarnations of the new catalog begin at.
    pub(super) async fn run(
        self,
        (now_unix_ms, nonce): (u64, u128),
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let store = Store::open(&self.config()?, nonce).await;
        let store = store.context("open the object store")?;
        let Survey {
            blocks,
            logs,
            damaged,
        } = Survey::of(&store).await?;
        let plan = cairn_catalog::plan(blocks, &logs);
        report::write(&plan, &damaged, self.verbose, out).context("write to standard output")?;
        if self.dry_run {
            return Ok(());
        }
        let path = self.out.context("say where to write the catalog: --out")?;
        let state = serde_json::to_vec(&plan.state(now_unix_ms)).context("spell the catalog")?;
        let mut file = std::fs::File::create_new(&path)
            .with_context(|| format!("make {}, which must not be there yet", path.display()))?;
        file.write_all(&state)
            .and_then(|()| file.sync_all())
            .with_context(|| format!("write {}", path.display()))?;
        writeln!(out, "\nwritten to {}", path.display()).context("write to standard output")
    }

    fn config(&self) -> anyhow::Result<Config> {
        let config = match &self.store {
            Some(path) => Config::folder(path),
            None => {
                let mut document = Document::load(self.config.as_deref())?;
                let defaults = cairn_ingester::Config::default();
                document.section("ingester", defaults)?.store
            }
        };
        // Opening would make the folder, and find nothing in it.
        anyhow::ensure!(
            config.s3.is_some() || config.path.is_dir(),
            "there is no folder {}",
            config.path.display()
        );
        Ok(config)
    }
}
