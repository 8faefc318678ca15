//! The commands that were accepted, on a local disk, in order.
//!
//! One file, replaced atomically: eight bytes of magic, then frames. A frame is length, checksum of
//! the payload, checksum of these two (each a little-endian u32), payload. The first payload is a
//! [`State`], every further one a list of commands that became durable in one sync; all are JSON.
//! What the commands mean is the business of [`crate::apply`].

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Command, Error, State, apply};

mod frame;

const MAGIC: &[u8; 8] = b"CRNCAT\x00\x01";
const NAME: &str = "journal";
/// A journal is rewritten as a single state once it is this large and twice what it was after the
/// last time, so that rewriting costs a constant share of appending.
const REWRITE_BYTES_MIN: u64 = 4 << 20;

#[derive(Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
    file: File,
    /// Bytes that hold acknowledged frames; appends go here.
    len: u64,
    len_rewritten: u64,
    /// Why no more commands are taken.
    broken: Option<String>,
    /// Keeps other processes out for as long as it is open.
    _lock: File,
}

/// Why commands are not known to be durable.
#[derive(Clone, Debug)]
pub(crate) enum NotAppended {
    /// They are not, and later ones may become so.
    Unwritten(String),
    /// Whether they are shows when the journal is opened again.
    Broken(String),
}

impl From<NotAppended> for Error {
    fn from(error: NotAppended) -> Self {
        match error {
            NotAppended::Unwritten(reason) => Self::Unavailable(reason),
            NotAppended::Broken(reason) => Self::Unknown {
                reason,
                refused: None,
            },
        }
    }
}

impl Journal {
    /// Opens or creates the journal in `dir` and replays it. A frame that a crash cut short was
    /// never acknowledged and is dropped.
    pub(crate) fn open(dir: &Path) -> Result<(Self, State), Error> {
        let io = |what, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { what, path, source }
        };
        create_dir(dir).map_err(io("create the folder", dir))?;
        let lock = lock_folder(dir)?;
        let path = dir.join(NAME);
        if !path.try_exists().map_err(io("look for", &path))? {
            write_whole(dir, &State::default()).map_err(io("create", &path))?;
            publish(dir).map_err(io("create", &path))?;
        }
        let bytes = std::fs::read(&path).map_err(io("read", &path))?;
        let (state, len) = replay(&bytes).map_err(|(at, reason)| Error::Corrupt {
            path: path.clone(),
            reason: format!("at byte {at}: {reason}"),
        })?;
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(io("open", &path))?;
        if len < bytes.len() as u64 {
            tracing::warn!(
                path = %path.display(),
                bytes = bytes.len() as u64 - len,
                "dropped the end of the journal, which a crash cut short before it was acknowledged"
            );
            file.set_len(len)
                .and_then(|()| file.sync_all())
                .map_err(io("cut", &path))?;
        }
        let journal = Self {
            dir: dir.to_owned(),
            file,
            len,
            len_rewritten: len,
            broken: None,
            _lock: lock,
        };
        Ok((journal, state))
    }

    /// Makes commands durable, all or none.
    pub(crate) fn append(&mut self, commands: &[Command]) -> Result<(), NotAppended> {
        if let Some(reason) = &self.broken {
            return Err(NotAppended::Broken(reason.clone()));
        }
        let payload = serde_json::to_vec(commands).expect("commands are plain data");
        let frame = frame::encode(&payload).map_err(NotAppended::Unwritten)?;
        let written = self
            .file
            .seek(SeekFrom::Start(self.len))
            .and_then(|_| self.file.write_all(&frame));
        if let Err(error) = written {
            // A part of the frame may be in the file; without it gone, the next frame would follow garbage.
            return match self
                .file
                .set_len(self.len)
                .and_then(|()| self.file.sync_all())
            {
                Ok(()) => Err(NotAppended::Unwritten(error.to_string())),
                Err(_) => Err(self.break_down(&error)),
            };
        }
        // After a failed sync the kernel may have dropped the pages, so a second try proves nothing.
        if let Err(error) = self.file.sync_data() {
            return Err(self.break_down(&error));
        }
        self.len += frame.len() as u64;
        Ok(())
    }

    /// Replaces the frames by `state`, which must be what they lead to, if they are many.
    pub(crate) fn rewrite_if_large(&mut self, state: &State) {
        if self.broken.is_some() || self.len < REWRITE_BYTES_MIN.max(2 * self.len_rewritten) {
            return;
        }
        match write_whole(&self.dir, state) {
            Ok((file, len)) => match publish(&self.dir) {
                Ok(()) => {
                    self.file = file;
                    self.len = len;
                    self.len_rewritten = len;
                }
                // Which of the two files a crash would leave is unknown: appending to either may be in vain.
                Err(error) => {
                    self.break_down(&error);
                }
            },
            Err(error) => {
                tracing::warn!(%error, "could not rewrite the journal; it goes on growing");
                self.len_rewritten = self.len;
            }
        }
    }

    fn break_down(&mut self, error: &io::Error) -> NotAppended {
        tracing::error!(%error, "the catalog's journal failed; restart once the disk is well again");
        let reason = error.to_string();
        self.broken = Some(reason.clone());
        NotAppended::Broken(reason)
    }
}

/// Creates a folder and its parents so that a power cut does not take them away again.
fn create_dir(dir: &Path) -> io::Result<()> {
    let created: Vec<&Path> = dir.ancestors().take_while(|path| !path.exists()).collect();
    std::fs::create_dir_all(dir)?;
    for path in created {
        let parent = path.parent().filter(|path| !path.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
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

fn fresh(dir: &Path) -> PathBuf {
    dir.join("journal.new")
}

/// A journal of `state` alone, durable under a temporary name.
fn write_whole(dir: &Path, state: &State) -> io::Result<(File, u64)> {
    let payload = serde_json::to_vec(state)?;
    let frame = frame::encode(&payload).map_err(io::Error::other)?;
    let mut file = File::create(fresh(dir))?;
    file.write_all(MAGIC)?;
    file.write_all(&frame)?;
    file.sync_all()?;
    Ok((file, (MAGIC.len() + frame.len()) as u64))
}

/// Gives the temporary file its name, durably.
fn publish(dir: &Path) -> io::Result<()> {
    std::fs::rename(fresh(dir), dir.join(NAME))?;
    File::open(dir)?.sync_all()
}

/// The state that a journal leads to and the bytes that do, or where and how it is damaged.
fn replay(bytes: &[u8]) -> Result<(State, u64), (u64, String)> {
    let frames = bytes.strip_prefix(MAGIC).ok_or((
        0,
        "it does not start as a journal of this version".to_owned(),
    ))?;
    let at = |rest: &[u8]| (bytes.len() - rest.len()) as u64;

    let start = at(frames);
    let (payload, mut rest) = match frame::next(frames) {
        frame::Next::Frame { payload, rest } => (payload, rest),
        // The file got its name only once the first frame was durable.
        frame::Next::Torn | frame::Next::End => {
            return Err((start, "its first frame is incomplete".to_owned()));
        }
        frame::Next::Damaged(reason) => return Err((start, reason.to_owned())),
    };
    let mut state: State = serde_json::from_slice(payload).map_err(|e| (start, e.to_string()))?;

    loop {
        let start = at(rest);
        let payload = match frame::next(rest) {
            frame::Next::Frame {
                payload,
                rest: after,
            } => {
                rest = after;
                payload
            }
            frame::Next::End | frame::Next::Torn => return Ok((state, start)),
            frame::Next::Damaged(reason) => return Err((start, reason.to_owned())),
        };
        let commands: Vec<Command> =
            serde_json::from_slice(payload).map_err(|e| (start, e.to_string()))?;
        for command in commands {
            apply(&mut state, command).map_err(|refused| {
                (
                    start,
                    format!("a command that was accepted is refused: {refused}"),
                )
            })?;
        }
    }
}
