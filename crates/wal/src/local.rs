//! The log in a local folder: segment files named by their first record, synced before the answer.
//!
//! Owns files and syncing; the format of their bytes is the segment's.

pub(crate) mod segment;
mod thread;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cairn_block::Lsn;

use self::segment::Tail;
use crate::Error;
use crate::object::format::FIRST_MAX;

pub use thread::OnThread;

const SUFFIX: &str = ".log";

/// A log in a folder. There must be one per folder: that is what the lock file is for.
#[derive(Debug)]
pub struct LocalLog {
    folder: PathBuf,
    segment_bytes: u64,
    /// Full segments, oldest first.
    closed: Vec<Closed>,
    open: Option<Open>,
    next: Lsn,
    poisoned: Option<String>,
    /// Reused for every write.
    buffer: Vec<u8>,
    _lock: File,
}

#[derive(Debug)]
struct Closed {
    path: PathBuf,
    last: Lsn,
    /// When its last record was appended, as far as is known.
    appended: i64,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    bytes: u64,
    appended: i64,
}

/// A log that was opened and has not been read yet.
#[derive(Debug)]
pub struct Unread {
    log: LocalLog,
    segments: Vec<(Lsn, PathBuf)>,
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |source| Error::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

impl LocalLog {
    /// Locks the folder, making it if needed, and lists its segments.
    pub fn open(folder: &Path, segment_bytes: u64) -> Result<Unread, Error> {
        std::fs::create_dir_all(folder).map_err(failed("create the folder", folder))?;
        if let Some(parent) = folder.parent().filter(|p| !p.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        let lock = cairn_catalog::lock_folder(folder)?;
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed("list", folder))? {
            let path = entry.map_err(failed("list", folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let first = name.and_then(|name| name.strip_suffix(SUFFIX)?.parse().ok());
            match first {
                Some(first) if (1..=FIRST_MAX).contains(&first) => segments.push((first, path)),
                Some(first) => {
                    return Err(Error::Damaged {
                        reason: format!("no log has a record {first}"),
                        path,
                        offset: 0,
                    });
                }
                None => {}
            }
        }
        segments.sort();
        Ok(Unread {
            log: Self {
                folder: folder.to_owned(),
                segment_bytes,
                closed: Vec::new(),
                open: None,
                next: 1,
                poisoned: None,
                buffer: Vec::new(),
                _lock: lock,
            },
            segments,
        })
    }

    /// The number that the next payload gets.
    pub fn next(&self) -> Lsn {
        self.next
    }

    /// Starts counting no lower than this: numbers that others know must never be given again.
    /// What is here has lower numbers, so it is flushed, and goes: segments have no gaps.
    pub fn skip_to(&mut self, next: Lsn) -> Result<(), Error> {
        if next > self.next {
            self.next = next;
            for closed in self.closed.drain(..) {
                std::fs::remove_file(&closed.path).map_err(failed("remove", &closed.path))?;
            }
        }
        Ok(())
    }

    fn segment(&mut self) -> Result<&mut Open, Error> {
        let full = |open: &Open| open.bytes >= self.segment_bytes;
        if let Some(open) = self.open.take_if(|open| full(open)) {
            self.closed.push(Closed {
                path: open.path,
                last: self.next - 1,
                appended: open.appended,
            });
        }
        match self.open {
            Some(ref mut open) => Ok(open),
            None => match create(&self.folder, self.next) {
                Ok(open) => Ok(self.open.insert(open)),
                Err(Error::Io {
                    action: "sync",
                    source,
                    ..
                }) => Err(self.poison("sync a new segment", &source)),
                Err(error) => Err(error),
            },
        }
    }

    fn poison(&mut self, action: &str, error: &std::io::Error) -> Error {
        let reason = format!("{action}: {error}");
        self.poisoned = Some(reason.clone());
        Error::Poisoned(reason)
    }
}

impl LocalLog {
    /// What [`DurableLog::append`](crate::DurableLog::append) does, in the thread that calls.
    pub fn append(&mut self, payloads: &[impl AsRef<[u8]>], now: i64) -> Result<Lsn, Error> {
        if let Some(reason) = &self.poisoned {
            return Err(Error::Poisoned(reason.clone()));
        }
        let first = self.next;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        for (lsn, payload) in (first..).zip(payloads) {
            segment::put(&mut buffer, lsn, first, payload.as_ref());
        }
        let written = self.write(&buffer, now);
        buffer.shrink_to(KEPT_BYTES_MAX);
        self.buffer = buffer;
        written?;
        self.next += payloads.len() as Lsn;
        Ok(first)
    }

    /// What [`DurableLog::truncate`](crate::DurableLog::truncate) does, in the thread that calls.
    pub fn truncate(&mut self, flushed: Lsn, older_than: i64) -> Result<(), Error> {
        let old = |closed: &Closed| closed.last <= flushed && closed.appended < older_than;
        let count = self.closed.iter().take_while(|c| old(c)).count();
        for closed in self.closed.drain(..count) {
            std::fs::remove_file(&closed.path).map_err(failed("remove", &closed.path))?;
        }
        Ok(())
    }
}

/// Memory of the write buffer that is kept between writes.
const KEPT_BYTES_MAX: usize = 8 << 20;

impl LocalLog {
    fn write(&mut self, bytes: &[u8], now: i64) -> Result<(), Error> {
        let open = self.segment()?;
        let start = open.bytes;
        if let Err(error) = open.file.write_all_at(bytes, start) {
            // What was half written must not be replayed, neither behind a later, shorter write nor
            // after a power cut that undoes the undoing.
            let undone = open.file.set_len(start);
            let undone = undone.and_then(|()| open.file.sync_all());
            return Err(match undone {
                Ok(()) => Error::NoSpace(error),
                Err(undo) => self.poison("undo a failed write", &undo),
            });
        }
        if let Err(error) = open.file.sync_data() {
            return Err(self.poison("sync", &error));
        }
        open.bytes += bytes.len() as u64;
        open.appended = now;
        Ok(())
    }
}

/// A new segment whose name survives a power cut.
fn create(folder: &Path, first: Lsn) -> Result<Open, Error> {
    let path = folder.join(format!("{first:020}{SUFFIX}"));
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(failed("create", &path))?;
    file.write_all_at(segment::MAGIC, 0)
        .map_err(failed("write", &path))?;
    file.sync_all().map_err(failed("sync", &path))?;
    sync_folder(folder)?;
    Ok(Open {
        path,
        file,
        bytes: segment::MAGIC.len() as u64,
        appended: i64::MIN,
    })
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    let opened = File::open(folder).map_err(failed("open", folder))?;
    opened.sync_all().map_err(failed("sync", folder))
}

impl Unread {
    /// Hands every payload to `each`, oldest first, cuts a torn end off, and returns the log ready
    /// to append. `each` returns when its payload was appended.
    pub fn replay(
        mut self,
        mut each: impl FnMut(Lsn, &[u8]) -> Result<i64, Error>,
    ) -> Result<LocalLog, Error> {
        let count = self.segments.len();
        let segments = std::mem::take(&mut self.segments);
        for (at, (first, path)) in segments.into_iter().enumerate() {
            if at > 0 && first != self.log.next {
                return Err(Error::Damaged {
                    reason: format!("it should begin with record {}", self.log.next),
                    path,
                    offset: 0,
                });
            }
            self.log.next = first;
            let (mut appended, mut group) = (i64::MIN, 0);
            let bytes = std::fs::read(&path).map_err(failed("read", &path))?;
            let tail = segment::walk(&bytes, first, |record| {
                appended = each(record.lsn, record.payload)?;
                self.log.next = record.lsn + 1;
                if record.lsn == record.batch {
                    group = 0;
                }
                group += segment::HEADER + record.payload.len();
                Ok::<_, Error>(())
            })?;
            let newest = at + 1 == count;
            let end = good_end(&path, bytes.len(), tail, newest)?;
            if newest {
                settle(&path, &bytes[..end], group)?;
            }
            if self.log.next == first {
                // No record: the name will be given to the next segment.
                std::fs::remove_file(&path).map_err(failed("remove", &path))?;
            } else {
                self.log.closed.push(Closed {
                    path,
                    last: self.log.next - 1,
                    appended,
                });
            }
        }
        Ok(self.log)
    }
}

/// Where the readable part of a segment ends. Only the newest may have a torn end; every other
/// fault is for a person to look at.
fn good_end(path: &Path, len: usize, tail: Tail, newest: bool) -> Result<usize, Error> {
    let (offset, reason) = match tail {
        Tail::Clean => return Ok(len),
        Tail::Torn { offset } if newest => {
            tracing::warn!(path = %path.display(), offset, "cut an unfinished write off the log");
            return Ok(offset);
        }
        Tail::Torn { offset } => (offset, "it ends early".to_owned()),
        Tail::Damaged { offset, reason } => (offset, reason),
    };
    Err(Error::Damaged {
        path: path.to_owned(),
        offset: offset as u64,
        reason,
    })
}

/// Makes `bytes`, all that was read of the newest segment, the whole of it and durable.
///
/// A process that was killed before its sync leaves its last `group` bytes in the page cache only,
/// and after a failed sync the system may take them for written: so they are written anew.
fn settle(path: &Path, bytes: &[u8], group: usize) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).open(path);
    let file = file.map_err(failed("open", path))?;
    let start = bytes.len() - group;
    file.set_len(bytes.len() as u64)
        .and_then(|()| file.write_all_at(&bytes[start..], start as u64))
        .and_then(|()| file.sync_all())
        .map_err(failed("settle the end of", path))
}

#[cfg(test)]
mod power_cut_tests;
#[cfg(test)]
mod tests;
