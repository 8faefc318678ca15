//! Files that hold ranges of blocks, within a bound: those not used for the longest time go first.
//!
//! A file has its last name only when it is whole, so a process that dies leaves none that is cut.
//! Nothing is synced: what a power cut damages fails its checksum and is gone.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use cairn_chassis::Lru;
use cairn_model::{BlockId, TenantId};
use parking_lot::Mutex;

/// Behind the bytes: CRC-32 of name and bytes.
const CHECKSUM_BYTES: u64 = 4;

/// What file systems give a file at least.
const PAGE_BYTES: u64 = 4 << 10;

/// One range takes at most this part of the room, so that one query does not push all others out.
const SHARE: u64 = 8;

/// How an unfinished file ends, as no tenant's name does.
const UNFINISHED: &str = "~";

/// A range of a block, and the name of its file: `{block}-{start}-{end}-{tenant}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    tenant: TenantId,
    block: BlockId,
    start: u64,
    end: u64,
}

/// A folder of such files, which belongs to one process.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    bytes_max: u64,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    kept: Lru<Name, ()>,
    age: Age,
}

/// How often something was forgotten. What was read at an earlier age is not written any more: it
/// may be what was damaged, and that happens too rarely to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Age(u64);

impl Name {
    pub(super) fn new(tenant: &TenantId, block: BlockId, range: &Range<u64>) -> Self {
        Self {
            tenant: tenant.clone(),
            block,
            start: range.start,
            end: range.end,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '-');
        let name = Self {
            block: parts.next()?.parse().ok()?,
            start: parts.next()?.parse().ok()?,
            end: parts.next()?.parse().ok()?,
            tenant: TenantId::parse(parts.next()?).ok()?,
        };
        (name.start <= name.end && name.to_string() == text).then_some(name)
    }

    fn len(&self) -> u64 {
        self.end - self.start
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tenant,
            block,
            start,
            end,
        } = self;
        write!(f, "{block}-{start}-{end}-{tenant}")
    }
}

impl Disk {
    /// Makes the folder if it is missing, finds what is there, and deletes what is too much.
    pub(crate) fn open(folder: &Path, bytes_max: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut found: Vec<(SystemTime, Name)> = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let file = entry.file_name().to_string_lossy().into_owned();
            if file.ends_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
                continue;
            }
            // What is not ours stays.
            let Some(name) = Name::parse(&file) else {
                continue;
            };
            let about = entry.metadata()?;
            match about.len() == name.len() + CHECKSUM_BYTES {
                true => found.push((about.modified()?, name)),
                false => fs::remove_file(entry.path())?,
            }
        }
        found.sort_by_key(|(used, _)| *used);
        let mut files = Lru::default();
        for (_, name) in found {
            let bytes = taken(name.len());
            files.insert(name, (), bytes);
        }
        let disk = Self {
            folder: folder.to_owned(),
            bytes_max,
            files: Mutex::new(Files {
                kept: files,
                age: Age::default(),
            }),
        };
        disk.make_room(0)?;
        Ok(disk)
    }

    /// How much the files take.
    pub(super) fn bytes(&self) -> u64 {
        self.files.lock().kept.bytes()
    }

    pub(super) fn age(&self) -> Age {
        self.files.lock().age
    }

    /// Whether a range of so many bytes is kept at all.
    pub(super) fn takes(&self, bytes: u64) -> bool {
        bytes > 0 && taken(bytes) <= self.bytes_max / SHARE
    }

    /// The range, if it is there and undamaged. `now` is in nanoseconds since the Unix epoch.
    pub(super) async fn read(&self, name: &Name, now: i64) -> Option<Bytes> {
        if name.len() == 0 {
            return Some(Bytes::new());
        }
        self.files.lock().kept.touch(name)?;
        let (path, wanted) = (self.path(name), name.clone());
        let read = tokio::task::spawn_blocking(move || read(&path, &wanted, now)).await;
        if let Ok(Ok(bytes)) = read {
            return Some(bytes);
        }
        // Deleted meanwhile, or damaged.
        self.files.lock().kept.remove(name);
        let _ = tokio::fs::remove_file(self.path(name)).await;
        None
    }

    /// Keeps a range that was read at that age. Calls must come one after the other.
    pub(super) async fn write(&self, name: &Name, bytes: &Bytes, age: Age) -> io::Result<()> {
        let is_whole = bytes.len() as u64 == name.len();
        let is_known = |files: &Files| files.age != age || files.kept.peek(name).is_some();
        if !is_whole || !self.takes(name.len()) || is_known(&self.files.lock()) {
            return Ok(());
        }
        self.make_room(taken(name.len()))?;
        let path = self.path(name);
        let unfinished = self.folder.join(format!("{name}{UNFINISHED}"));
        let (bytes, checksum) = (bytes.clone(), checksum(name, bytes));
        let work = move || {
            let written = write(&unfinished, &bytes, checksum);
            let named = written.and_then(|()| fs::rename(&unfinished, &path));
            if named.is_err() {
                let _ = fs::remove_file(&unfinished);
            }
            named
        };
        tokio::task::spawn_blocking(work).await??;
        let mut files = self.files.lock();
        if files.age != age {
            return fs::remove_file(self.path(name));
        }
        files.kept.insert(name.clone(), (), taken(name.len()));
        Ok(())
    }

    /// Deletes all ranges of a block.
    pub(super) fn forget(&self, tenant: &TenantId, block: BlockId) {
        let mut files = self.files.lock();
        files.age.0 += 1;
        let of_block = |name: &&Name| name.block == block && name.tenant == *tenant;
        let names = files.kept.keys().filter(of_block).cloned();
        for name in names.collect::<Vec<Name>>() {
            match fs::remove_file(self.path(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, "a damaged file of the cache can't be deleted");
                }
                _ => {}
            }
            files.kept.remove(&name);
        }
    }

    /// Deletes files until so much more fits. One that can't be deleted still takes its room.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        loop {
            let name = {
                let mut files = self.files.lock();
                if files.kept.bytes() + bytes <= self.bytes_max {
                    return Ok(());
                }
                files.kept.pop()
            };
            let Some((name, ())) = name else {
                return Ok(());
            };
            match fs::remove_file(self.path(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let bytes = taken(name.len());
                    self.files.lock().kept.insert(name, (), bytes);
                    return Err(error);
                }
                _ => {}
            }
        }
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.folder.join(name.to_string())
    }
}

/// What a file for so many bytes takes.
fn taken(bytes: u64) -> u64 {
    (bytes + CHECKSUM_BYTES).next_multiple_of(PAGE_BYTES)
}

/// A file under another's name is as wrong as a damaged one.
fn checksum(name: &Name, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name.to_string().as_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn read(path: &Path, name: &Name, now: i64) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    let whole = name.len() + CHECKSUM_BYTES;
    if file.metadata()?.len() != whole {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::with_capacity(whole as usize);
    (&mut file).take(whole).read_to_end(&mut bytes)?;
    let end = name.len() as usize;
    let sum = checksum(name, bytes.get(..end).unwrap_or_default()).to_le_bytes();
    if bytes.get(end..) != Some(&sum) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // So that the order of use outlives the process; a read-only disk is no reason to fail.
    let _ = file.set_modified(UNIX_EPOCH + Duration::from_nanos(now.unsigned_abs()));
    bytes.truncate(end);
    Ok(bytes.into())
}

fn write(path: &Path, bytes: &[u8], checksum: u32) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.write_all(&checksum.to_le_bytes())
}

#[cfg(test)]
mod tests;
