//! The folder of a node: made durably, used by one process at a time, of a build that can read it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Error;

/// What builds before the first release kept their catalog in.
const LEGACY: &str = "journal";

/// Makes the folder and locks it, for as long as the file is open.
pub(crate) fn open(dir: &Path) -> Result<File, Error> {
    create(dir).map_err(io_error("create the folder", dir))?;
    let legacy = dir.join(LEGACY);
    if legacy.try_exists().map_err(io_error("look for", &legacy))? {
        return Err(Error::Legacy(legacy));
    }
    lock_folder(dir)
}

pub(crate) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}

/// Creates the folder so that it survives a power cut.
fn create(dir: &Path) -> io::Result<()> {
    let created: Vec<&Path> = dir.ancestors().take_while(|path| !path.exists()).collect();
    std::fs::create_dir_all(dir)?;
    for path in created {
        let parent = path.parent().filter(|path| !path.as_os_str().is_empty());
        sync(parent.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Makes names in the folder durable.
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Writes a file that is either there as a whole, or not at all.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> io::Result<()> {
    let fresh = fresh(path);
    let mut out = io::BufWriter::new(File::create(&fresh)?);
    write(&mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    sync(path.parent().unwrap_or(Path::new(".")))
}

/// Where a file is until it is whole.
pub(crate) const FRESH: &str = "new";

fn fresh(path: &Path) -> PathBuf {
    path.with_extension(FRESH)
}

/// How long a lock is waited for: its last holder may just be ending, or starting a child that
/// holds its files for a moment longer.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Makes this process the only user of a folder, for as long as the file is open.
pub fn lock_folder(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let io = |source| Error::Io {
        what: "lock",
        path: path.clone(),
        source,
    };
    let file = File::create(&path).map_err(io)?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if waited < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_POLL);
                waited += LOCK_POLL;
            }
            Err(TryLockError::WouldBlock) => return Err(Error::Locked(dir.to_owned())),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_created_and_keep_a_second_process_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let deep = dir.path().join("a/b");
        let lock = open(&deep).expect("fresh");
        assert!(matches!(open(&deep), Err(Error::Locked(_))));
        drop(lock);
        open(&deep).expect("free again");
    }

    #[test]
    fn a_folder_of_an_earlier_development_build_is_refused_with_advice() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join(LEGACY), b"CRNCAT").expect("written");
        let error = open(dir.path()).expect_err("it can't be read");
        assert!(
            error.to_string().contains("earlier development build"),
            "{error}"
        );
        let kept = std::fs::read(dir.path().join(LEGACY)).expect("it is still there");
        assert_eq!(kept, b"CRNCAT");
    }
}
