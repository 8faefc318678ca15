//! Runs worker processes: starts, bounds and ends them. What a worker does is in `worker`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use cairn_chassis::Clock;
use tempfile::TempPath;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use crate::config::ConversionConfig;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::worker;

/// What is kept of a worker's last words.
const REASON_BYTES_MAX: u64 = 2_000;
/// A worker ends itself when its time is up; one that does not is killed this much later.
const GRACE: Duration = Duration::from_secs(2);

pub(crate) struct Converter {
    program: PathBuf,
    scratch: PathBuf,
    time_max: Duration,
    memory_max: u64,
    slots: Semaphore,
    metrics: Metrics,
}

impl Converter {
    pub(crate) fn new(config: &ConversionConfig, metrics: Metrics) -> anyhow::Result<Self> {
        let program = match &config.program {
            Some(program) => program.clone(),
            None => std::env::current_exe().context("find this program")?,
        };
        let scratch = config.scratch.clone().unwrap_or_else(std::env::temp_dir);
        std::fs::create_dir_all(&scratch)
            .with_context(|| format!("make the folder {}", scratch.display()))?;
        Ok(Self {
            program,
            scratch,
            time_max: config.time_max,
            memory_max: config.memory_max.as_u64(),
            slots: Semaphore::new(config.concurrent_max.max(1)),
            metrics,
        })
    }

    /// A new, empty file that is removed when the path is dropped.
    pub(crate) fn scratch_file(&self) -> std::io::Result<TempPath> {
        let file = tempfile::Builder::new()
            .prefix("cairn-symbolizer-")
            .tempfile_in(&self.scratch)?;
        Ok(file.into_temp_path())
    }

    /// The symbol file of an ELF file. [`Error::Refused`] means that the file is at fault.
    pub(crate) async fn convert(&self, elf: &Path, clock: &Clock) -> Result<Vec<u8>, Error> {
        let _slot = self.slots.acquire().await.expect("it is never closed");
        let output = self.scratch_file()?;
        let start = clock.instant();
        let child = Command::new(&self.program)
            .arg(worker::ARGUMENT)
            .args([elf, &*output])
            .arg(self.memory_max.to_string())
            .arg(self.time_max.as_secs().max(1).to_string())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))
            .map_err(Error::Convert)?;
        let ended = tokio::time::timeout(self.time_max + GRACE, end_of(child)).await;
        let took = clock.instant().duration_since(start);
        self.metrics.conversion_seconds.observe(took.as_secs_f64());
        let refused = |reason: String| {
            self.metrics.conversion_crashes.inc();
            Err(Error::Refused(reason))
        };
        let (status, words) = match ended {
            Ok(ended) => ended.context("wait for a worker").map_err(Error::Convert)?,
            Err(_) => {
                return refused(format!("reading it takes more than {:?}", self.time_max));
            }
        };
        match status.code() {
            Some(0) => {
                let symbols = tokio::fs::read(&output).await?;
                if symbols.is_empty() {
                    let program = self.program.display();
                    let error = anyhow::anyhow!("{program} does not act as a worker");
                    return Err(Error::Convert(error));
                }
                Ok(symbols)
            }
            Some(code) if code == i32::from(worker::EXIT_REFUSED) => Err(Error::Refused(words)),
            Some(code) if code == i32::from(worker::EXIT_FAILED) => {
                Err(Error::Convert(anyhow::Error::msg(words)))
            }
            Some(_) | None => {
                tracing::warn!(%status, words, "a worker crashed");
                refused("reading it fails in a way that only crafted or damaged files do".into())
            }
        }
    }
}

/// How the worker ended, and its last words.
async fn end_of(mut child: Child) -> std::io::Result<(std::process::ExitStatus, String)> {
    let mut stderr = child.stderr.take().expect("it was asked for");
    let mut words = Vec::new();
    (&mut stderr)
        .take(REASON_BYTES_MAX)
        .read_to_end(&mut words)
        .await?;
    // A worker that says more must not wait for a reader for ever.
    tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
    let status = child.wait().await?;
    Ok((status, String::from_utf8_lossy(&words).into_owned()))
}
