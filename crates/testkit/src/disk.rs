//! A disk that loses power: an XFS in a file, shut down under whoever writes it.
//!
//! What was not synced is then gone, as with a real power cut. Needs root, loop devices and
//! xfsprogs. What a disk does with its own cache stays untested.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "how hard to test is no setting of the process; the kernel lets go in real time; tests print"
)]

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A child that is forked for a moment shares open files, which keeps a file system busy.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// How often, and after which pauses, a busy file system is tried to be unmounted.
const UNMOUNT_TRIES: usize = 100;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(20);

/// A mounted XFS in a file.
#[derive(Debug)]
pub struct Disk {
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// What becomes of the file system's own journal, as far as it is only in memory.
#[derive(Clone, Copy, Debug)]
pub enum Journal {
    Lost,
    Flushed,
}

/// How many power cuts a test makes: `CAIRN_POWER_CUTS`, or as many as fit into a normal run.
///
/// # Panics
///
/// If it is no number.
pub fn cuts() -> u64 {
    let cuts = std::env::var("CAIRN_POWER_CUTS").ok();
    cuts.map_or(30, |cuts| {
        cuts.parse().expect("CAIRN_POWER_CUTS is a number")
    })
}

impl Disk {
    /// None, with the reason printed, where mounting is impossible.
    ///
    /// # Panics
    ///
    /// If it is impossible where `CI` is set: there it must be possible.
    pub fn format_or_skip(test: &str) -> Option<Self> {
        match Self::format() {
            Ok(disk) => Some(disk),
            Err(reason) => {
                let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
                assert!(!is_ci, "{reason}");
                println!("SKIP {test}: {reason}");
                None
            }
        }
    }

    fn format() -> Result<Self, String> {
        let disk = Self {
            folder: tempfile::tempdir().map_err(|error| error.to_string())?,
            _turn: ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let image = File::create(disk.image()).map_err(|error| error.to_string())?;
        image
            .set_len(512 << 20)
            .map_err(|error| error.to_string())?;
        std::fs::create_dir(disk.mounted()).map_err(|error| error.to_string())?;
        run("mkfs.xfs", ["-q".as_ref(), disk.image().as_ref()])?;
        run("xfs_io", ["-V".as_ref()])?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Where its files are.
    pub fn mounted(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Whether there still is power. An acknowledgement without it can't have reached anybody: a
    /// sync that meets the shutdown may claim success.
    pub fn has_power(folder: &Path) -> bool {
        // After a shutdown the file system does not even tell about a folder.
        std::fs::metadata(folder).is_ok()
    }

    fn mount(&self) -> Result<(), String> {
        let (image, mounted) = (self.image(), self.mounted());
        let options: [&OsStr; 2] = ["-o".as_ref(), "loop".as_ref()];
        run(
            "mount",
            [options[0], options[1], image.as_ref(), mounted.as_ref()],
        )
    }

    /// From here on nothing reaches the disk.
    ///
    /// # Panics
    ///
    /// If it can't be cut.
    pub fn cut(&self, journal: Journal) {
        let command = match journal {
            Journal::Lost => "shutdown",
            Journal::Flushed => "shutdown -f",
        };
        let arguments = ["-x", "-c", command].map(OsStr::new);
        let [expert, run_command, command] = arguments;
        run(
            "xfs_io",
            [expert, run_command, command, self.mounted().as_ref()],
        )
        .expect("shut down");
    }

    /// Forgets what was only in memory. No file of it may be open.
    ///
    /// # Panics
    ///
    /// If a file is open.
    pub fn restart(&self) {
        let mut unmounted = Ok(());
        for _ in 0..UNMOUNT_TRIES {
            unmounted = run("umount", [self.mounted().as_ref()]);
            if unmounted.is_ok() {
                break;
            }
            std::thread::sleep(UNMOUNT_PAUSE);
        }
        unmounted.expect("no file is open");
        self.mount().expect("it was mounted before");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The loop device goes with the mount. After a failed start there is none.
        drop(run("umount", [self.mounted().as_ref()]));
    }
}

fn run<const N: usize>(program: &str, arguments: [&OsStr; N]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program}: {}", said.trim()))
        }
    }
}
