//! Runs worker processes: starts, bounds and ends them, and judges how they ended. What a worker
//! does is in `worker`.

use std::fs::File;
use std::io::SeekFrom;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Once;
use std::time::Duration;

use anyhow::Context as _;
use cairn_chassis::Clock;
use rustix::process::Signal;
use tempfile::TempPath;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use crate::config::{ConversionConfig, Sandbox};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::sandbox::Bounds;
use crate::worker::{self, Product};

/// What is kept of a worker's last words.
const REASON_BYTES_MAX: u64 = 2_000;

/// How much longer than its processor time a worker may take, since a busy machine gives it less.
const WALL_TIMES: u32 = 2;

const SCRATCH_PREFIX: &str = "cairn-symbolizer-";
/// Several times as long as an upload and its conversion may take.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct Converter {
    program: PathBuf,
    scratch: PathBuf,
    bounds: Bounds,
    sandbox: Sandbox,
    slots: Semaphore,
    metrics: Metrics,
    remarked: Once,
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
        if let Err(error) = remove_leftovers(&scratch) {
            tracing::warn!(%error, "what killed processes left in the scratch folder stays");
        }
        Ok(Self {
            program,
            scratch,
            bounds: Bounds {
                memory_max: config.memory_max.as_u64(),
                time_max: config.time_max,
                output_max: config.output_bytes_max.as_u64(),
            },
            sandbox: config.sandbox,
            slots: Semaphore::new(config.concurrent_max.max(1)),
            metrics,
            remarked: Once::new(),
        })
    }

    /// A new, empty file that is removed when the path is dropped.
    pub(crate) fn scratch_file(&self) -> std::io::Result<TempPath> {
        let file = tempfile::Builder::new()
            .prefix(SCRATCH_PREFIX)
            .tempfile_in(&self.scratch)?;
        Ok(file.into_temp_path())
    }

    /// Puts behind an ELF file, and what is behind it already, another one that has more of its debug
    /// information, so that all are converted together. The lengths are of all but the last.
    pub(crate) async fn append(
        &self,
        (elf, lengths): (&Path, &mut Vec<u64>),
        other: &Path,
    ) -> std::io::Result<()> {
        let mut file = tokio::fs::File::options().write(true).open(elf).await?;
        let bytes = file.metadata().await?.len();
        let aligned = |bytes: u64| bytes.next_multiple_of(worker::ALIGNMENT);
        let last = lengths
            .iter()
            .fold(0, |start, bytes| aligned(start + bytes));
        lengths.extend(bytes.checked_sub(last).filter(|bytes| *bytes > 0));
        file.seek(SeekFrom::Start(aligned(bytes))).await?;
        let mut other = tokio::fs::File::open(other).await?;
        tokio::io::copy(&mut other, &mut file).await?;
        file.flush().await
    }

    /// A file of what is made of a file with these lengths of what is in it, but for the last.
    /// [`Error::Refused`] means that the file is at fault, [`Error::Late`] that it may be.
    pub(crate) async fn convert(
        &self,
        file: (&Path, &[u64]),
        product: Product,
        clock: &Clock,
    ) -> Result<TempPath, Error> {
        let _slot = self.slots.acquire().await.expect("it is never closed");
        let output = self.scratch_file()?;
        let start = clock.instant();
        let child = self.start(file, product, &output).map_err(Error::Convert)?;
        let time_max = self.bounds.time_max.saturating_mul(WALL_TIMES);
        let ended = tokio::time::timeout(time_max, end_of(child)).await;
        let took = clock.instant().duration_since(start);
        self.metrics.conversion_seconds.observe(took.as_secs_f64());
        let (status, words) = match ended {
            Ok(ended) => ended.context("wait for a worker").map_err(Error::Convert)?,
            // The machine may be at fault.
            Err(_) => {
                self.metrics.conversion_crashes.inc();
                return Err(Error::Late(time_max));
            }
        };
        match verdict(status, words, &self.bounds) {
            Verdict::Made { remark } => {
                self.remark(&remark);
                if tokio::fs::metadata(&output).await?.len() == 0 {
                    let program = self.program.display();
                    let error = anyhow::anyhow!("{program} does not act as a worker");
                    return Err(Error::Convert(error));
                }
                Ok(self.own(output).await?)
            }
            Verdict::Refused(reason) => Err(Error::Refused(reason)),
            Verdict::Failed(text) => Err(Error::Convert(anyhow::Error::msg(text))),
            Verdict::Crashed { reason, words } => {
                self.metrics.conversion_crashes.inc();
                tracing::warn!(%status, words, "a worker ended by force");
                Err(Error::Refused(reason))
            }
        }
    }

    /// What a worker wrote, in a file that only this process writes. A worker that may not be locked
    /// in can leave others behind that write to its output, and its word that it is locked in
    /// counts for nothing.
    async fn own(&self, output: TempPath) -> std::io::Result<TempPath> {
        match self.sandbox {
            Sandbox::Required => Ok(output),
            Sandbox::Preferred => {
                let own = self.scratch_file()?;
                tokio::fs::copy(&output, &own).await?;
                Ok(own)
            }
        }
    }

    /// The worker needs no path: its files are its standard input and output.
    fn start(
        &self,
        (file, lengths): (&Path, &[u64]),
        product: Product,
        output: &Path,
    ) -> anyhow::Result<Child> {
        let input = File::open(file).context("open a file to convert")?;
        let output = File::options().write(true).open(output);
        let output = output.context("open a file for symbols")?;
        let arguments = worker::arguments(&self.bounds, self.sandbox, product, lengths);
        Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Signals to the group of this process are not about the file.
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))
    }

    /// Once is enough: it is as true of the next worker.
    fn remark(&self, remark: &str) {
        if !remark.is_empty() {
            self.remarked.call_once(|| {
                tracing::warn!(
                    remark,
                    "uploaded files are read by workers with fewer locks than there could be"
                );
            });
        }
    }
}

/// Deletes the scratch files of processes that were killed. Others may use the folder, too: no file
/// is worked on for as long as [`LEFTOVER_AGE`].
fn remove_leftovers(scratch: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(scratch)? {
        let entry = entry?;
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(SCRATCH_PREFIX.as_bytes())
        {
            continue;
        }
        let age = entry.metadata().and_then(|about| about.modified());
        if age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFTOVER_AGE)) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// What a worker's end means.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Made {
        remark: String,
    },
    /// The file is at fault, says the worker.
    Refused(String),
    /// The file is at fault, says how the worker ended.
    Crashed {
        reason: String,
        words: String,
    },
    Failed(String),
}

fn verdict(status: ExitStatus, words: String, bounds: &Bounds) -> Verdict {
    let reason = match status.code() {
        Some(0) => return Verdict::Made { remark: words },
        Some(code) if code == i32::from(worker::EXIT_REFUSED) => return Verdict::Refused(words),
        Some(code) if code == i32::from(worker::EXIT_FAILED) => return Verdict::Failed(words),
        _ => match status.signal().and_then(Signal::from_named_raw) {
            Some(Signal::XCPU) => format!("reading it takes more than {:?}", bounds.time_max),
            Some(Signal::XFSZ) => {
                let max = bounds.output_max;
                format!("it makes more than {max} bytes of symbols")
            }
            // Rust's last words when an allocation fails.
            Some(Signal::ABORT) if words.contains("memory allocation of") => {
                let max = bounds.memory_max;
                format!("reading it takes more than {max} bytes of memory")
            }
            // Somebody ended it, or the whole machine's memory was short: the file may be good.
            Some(Signal::KILL | Signal::TERM | Signal::INT | Signal::HUP) => {
                return Verdict::Failed(format!("the worker was ended from outside: {status}"));
            }
            #[cfg(target_os = "linux")]
            Some(Signal::SYS) => {
                "reading it does what no reader needs, as only crafted files make it do".to_owned()
            }
            _ => "reading it fails in a way that only crafted or damaged files do".to_owned(),
        },
    };
    Verdict::Crashed { reason, words }
}

/// How the worker ended, and its last words.
async fn end_of(mut child: Child) -> std::io::Result<(ExitStatus, String)> {
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

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    #[tokio::test]
    async fn what_a_worker_without_locks_can_write_to_is_copied() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (sandbox, is_copied) in [(Sandbox::Required, false), (Sandbox::Preferred, true)] {
            let config = ConversionConfig {
                scratch: Some(folder.path().to_owned()),
                sandbox,
                ..ConversionConfig::default()
            };
            let metrics = Metrics::register(&mut Registry::default());
            let converter = Converter::new(&config, metrics).expect("a folder");
            let output = converter.scratch_file().expect("made");
            std::fs::write(&output, "made").expect("written");
            let before = output.to_path_buf();
            let own = converter.own(output).await.expect("copied");
            assert_eq!(*own != *before, is_copied);
            assert_eq!(before.exists(), !is_copied);
            assert_eq!(std::fs::read(&own).expect("read"), b"made");
        }
    }

    #[tokio::test]
    async fn what_is_put_behind_a_file_comes_apart_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = ConversionConfig {
            scratch: Some(folder.path().to_owned()),
            ..ConversionConfig::default()
        };
        let metrics = Metrics::register(&mut Registry::default());
        let converter = Converter::new(&config, metrics).expect("a folder");
        for bytes in [[3, 5, 7], [4096, 4096, 1], [5000, 9000, 4096]] {
            let files = [1, 2, 3].map(|byte| vec![byte; bytes[usize::from(byte) - 1]]);
            let paths = files.each_ref().map(|file| {
                let path = converter.scratch_file().expect("made");
                std::fs::write(&path, file).expect("written");
                path
            });
            let mut lengths = vec![bytes[0] as u64];
            for more in &paths[1..] {
                let appended = converter.append((&paths[0], &mut lengths), more).await;
                appended.expect("written");
            }
            let all = std::fs::read(&paths[0]).expect("read");
            let apart = worker::split(&all, &lengths).expect("all are there");
            assert!(apart == files, "{bytes:?}, {lengths:?}");
            let alone = worker::split(&all, &[u64::MAX]);
            assert_eq!(alone, None);
        }
    }

    #[test]
    fn what_killed_processes_left_goes_once_it_is_old() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let make = |name: &str, is_old: bool| {
            let file = File::create(folder.path().join(name)).expect("made");
            if is_old {
                let now = file.metadata().expect("there").modified().expect("known");
                file.set_modified(now - 2 * LEFTOVER_AGE).expect("set");
            }
        };
        make("cairn-symbolizer-old", true);
        make("cairn-symbolizer-new", false);
        make("somebody-elses", true);
        remove_leftovers(folder.path()).expect("readable");
        let left = std::fs::read_dir(folder.path()).expect("readable");
        let mut left: Vec<_> = left.map(|e| e.expect("there").file_name()).collect();
        left.sort();
        assert_eq!(left, ["cairn-symbolizer-new", "somebody-elses"]);
    }
}
