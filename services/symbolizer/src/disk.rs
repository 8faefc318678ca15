//! Symbol files in a folder of this process, within a bound: those not used for the longest time go
//! first. They are mapped, so the system keeps in memory what of them is used.
//!
//! What is kept never changes: a key of the store names one content. A file has its last name only
//! when it is whole, so a process that dies leaves none that is cut. Nothing is synced: what a power
//! cut damages fails its checksum and is gone.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cairn_chassis::Lru;
use memmap2::{Mmap, MmapOptions};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

/// Behind the bytes: CRC-32 of the key's spelling and the bytes.
const CHECKSUM_BYTES: u64 = 4;
/// What file systems give a file at least.
const PAGE_BYTES: u64 = 4 << 10;
/// How an unfinished file ends.
const UNFINISHED: &str = "~";
/// Letters of a name.
const NAME_LEN: usize = 64;

/// A folder of such files.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    bytes_max: u64,
    files: Mutex<Kept>,
}

/// What takes room.
#[derive(Debug, Default)]
struct Kept {
    /// By name, and what each takes.
    files: Lru<String, u64>,
    /// What is being written takes.
    unfinished: u64,
}

impl Kept {
    fn bytes(&self) -> u64 {
        self.files.bytes() + self.unfinished
    }
}

/// Room for a file that is being written, given back when dropped.
struct Room<'a> {
    disk: &'a Disk,
    bytes: u64,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.disk.files.lock().unfinished -= self.bytes;
    }
}

impl Disk {
    /// Makes the folder if it is missing, finds what is there, and deletes what is too much.
    pub(crate) fn open(folder: &Path, bytes_max: u64) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let mut found: Vec<(SystemTime, String, u64)> = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // What is not ours stays.
            match name.strip_suffix(UNFINISHED) {
                Some(name) if is_name(name) => fs::remove_file(entry.path())?,
                None if is_name(&name) => {
                    let about = entry.metadata()?;
                    found.push((about.modified()?, name, about.len()));
                }
                _ => {}
            }
        }
        found.sort();
        let mut kept = Kept::default();
        for (_, name, bytes) in found {
            let taken = taken(bytes);
            kept.files.insert(name, taken, taken);
        }
        let disk = Self {
            folder: folder.to_owned(),
            bytes_max,
            files: Mutex::new(kept),
        };
        disk.make_room(0)?;
        Ok(disk)
    }

    /// How much the files take.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.lock().bytes()
    }

    /// What is kept under a key, if it is there and undamaged. Reads all of it once. `now` is in
    /// nanoseconds since the Unix epoch.
    pub(crate) fn read(&self, key: &str, now: i64) -> Option<Mmap> {
        let name = name(key);
        self.files.lock().files.touch(&name)?;
        let read = map(&self.folder.join(&name), key, now);
        match read {
            Ok(map) => Some(map),
            Err(error) => {
                tracing::warn!(key, %error, "a file of the cache is damaged or gone");
                self.remove(key);
                None
            }
        }
    }

    /// Keeps what is in the store under a key, and gives it back mapped. None if it is too large, or
    /// others that are being written take all the room.
    pub(crate) fn write(&self, key: &str, bytes: &[u8], now: i64) -> io::Result<Option<Mmap>> {
        let name = name(key);
        let room = taken(bytes.len() as u64 + CHECKSUM_BYTES);
        if bytes.is_empty() || room > self.bytes_max {
            return Ok(None);
        }
        let Some(reserved) = self.make_room(room)? else {
            return Ok(None);
        };
        let path = self.folder.join(&name);
        let unfinished = self.folder.join(format!("{name}{UNFINISHED}"));
        let written = write(&unfinished, bytes, checksum(key, bytes));
        if let Err(error) = written.and_then(|()| fs::rename(&unfinished, &path)) {
            // What is left is removed at the next start at the latest.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        // For a moment it takes its room twice, which is better than not at all.
        self.files.lock().files.insert(name, room, room);
        drop(reserved);
        map(&path, key, now).map(Some)
    }

    /// Deletes what is kept under a key. Who has it mapped keeps it.
    pub(crate) fn remove(&self, key: &str) {
        let name = name(key);
        self.files.lock().files.remove(&name);
        match fs::remove_file(self.folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(key, %error, "a file of the cache can't be deleted");
            }
            _ => {}
        }
    }

    /// Deletes files until so much more fits, and keeps that free. One that can't be deleted still
    /// takes its room.
    fn make_room(&self, bytes: u64) -> io::Result<Option<Room<'_>>> {
        let mut kept = self.files.lock();
        while kept.bytes() + bytes > self.bytes_max {
            let Some((name, taken)) = kept.files.pop() else {
                return Ok(None);
            };
            match fs::remove_file(self.folder.join(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    kept.files.insert(name, taken, taken);
                    return Err(error);
                }
                _ => {}
            }
        }
        kept.unfinished += bytes;
        Ok(Some(Room { disk: self, bytes }))
    }
}

/// Keys have letters that file systems have not, and may be long.
fn name(key: &str) -> String {
    let hash = Sha256::digest(key.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_name(text: &str) -> bool {
    text.len() == NAME_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a file of so many bytes takes.
fn taken(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE_BYTES)
}

/// A file under another's name is as wrong as a damaged one.
fn checksum(key: &str, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn map(path: &Path, key: &str, now: i64) -> io::Result<Mmap> {
    let file = File::options().read(true).open(path)?;
    let whole = file.metadata()?.len();
    let bytes = whole.checked_sub(CHECKSUM_BYTES).filter(|&bytes| bytes > 0);
    let bytes = bytes.ok_or(io::ErrorKind::InvalidData)?;
    let mut expected = [0; CHECKSUM_BYTES as usize];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut expected, bytes)?;
    let length = usize::try_from(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
    #[expect(
        unsafe_code,
        reason = "the folder is this process' own, and it changes no file that has its last name"
    )]
    // SAFETY: nobody writes to the file while it is mapped.
    let map = unsafe { MmapOptions::new().len(length).map(&file)? };
    if checksum(key, &map).to_le_bytes() != expected {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // So that the order of use outlives the process; a read-only disk is no reason to fail.
    let _ = file.set_modified(UNIX_EPOCH + Duration::from_nanos(now.unsigned_abs()));
    Ok(map)
}

fn write(path: &Path, bytes: &[u8], checksum: u32) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.write_all(&checksum.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 3] = ["debuginfo/t/aa", "debuginfo/t/bb", "debuginfo/u/aa"];

    fn bytes(byte: u8) -> Vec<u8> {
        vec![byte; 5000]
    }

    /// With its checksum.
    const ROOM: u64 = 8192;

    fn read(disk: &Disk, key: &str, now: i64) -> Option<u8> {
        let map = disk.read(key, now)?;
        assert_eq!(map.len(), 5000);
        assert!(map.iter().all(|byte| *byte == map[0]));
        Some(map[0])
    }

    #[test]
    fn the_bound_holds_and_the_order_of_use_outlives_the_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::open(folder.path(), 2 * ROOM).expect("opened");
        let mapped = disk.write(KEYS[0], &bytes(0), 1_000_000_000);
        let mapped = mapped.expect("written").expect("not too large");
        disk.write(KEYS[1], &bytes(1), 2_000_000_000)
            .expect("written");
        assert_eq!(read(&disk, KEYS[0], 3_000_000_000), Some(0));
        fs::write(folder.path().join("foreign"), "x").expect("written");
        let unfinished = format!("{}{UNFINISHED}", name(KEYS[2]));
        fs::write(folder.path().join(&unfinished), "x").expect("written");

        let disk = Disk::open(folder.path(), 2 * ROOM).expect("opened");
        assert_eq!(disk.bytes(), 2 * ROOM);
        assert!(!folder.path().join(&unfinished).exists());
        disk.write(KEYS[2], &bytes(2), 4_000_000_000)
            .expect("written");
        assert_eq!(disk.bytes(), 2 * ROOM);
        let kept = [0, 1, 2].map(|at| read(&disk, KEYS[at], 5_000_000_000));
        assert_eq!(kept, [Some(0), None, Some(2)]);
        let disk = Disk::open(folder.path(), 0).expect("opened");
        assert_eq!(disk.bytes(), 0);
        assert!(disk.write(KEYS[0], &bytes(0), 0).expect("fine").is_none());
        let left = fs::read_dir(folder.path()).expect("listed");
        assert_eq!(left.count(), 1, "what is not ours");
        assert_eq!(mapped[4999], 0, "what is mapped stays");
    }

    #[test]
    fn what_is_being_written_has_its_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::open(folder.path(), 2 * ROOM).expect("opened");
        disk.write(KEYS[0], &bytes(0), 0).expect("written");
        let room = disk.make_room(2 * ROOM).expect("made");
        let room = room.expect("the file made room");
        assert_eq!((disk.bytes(), read(&disk, KEYS[0], 0)), (2 * ROOM, None));
        assert!(disk.write(KEYS[1], &bytes(1), 0).expect("fine").is_none());
        drop(room);
        assert!(disk.write(KEYS[1], &bytes(1), 0).expect("fine").is_some());
        assert_eq!(disk.bytes(), ROOM);
    }

    #[test]
    fn damage_and_exchange_are_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let damages: [fn(&Path, &Path); 4] = [
            |path, _| fs::write(path, [7; 5004]).expect("written"),
            |path, _| fs::write(path, [7; 3]).expect("written"),
            |path, _| fs::remove_file(path).expect("removed"),
            |path, other| fs::rename(other, path).expect("renamed"),
        ];
        for damage in damages {
            let disk = Disk::open(folder.path(), 10 * ROOM).expect("opened");
            for at in [0, 1] {
                disk.write(KEYS[at], &bytes(at as u8), 0).expect("written");
            }
            let path = |at| folder.path().join(name(KEYS[at]));
            damage(&path(0), &path(1));
            assert_eq!(read(&disk, KEYS[0], 0), None);
            assert!(!path(0).exists());
            disk.write(KEYS[0], &bytes(9), 0).expect("written");
            assert_eq!(read(&disk, KEYS[0], 0), Some(9));
            disk.remove(KEYS[0]);
            assert_eq!(read(&disk, KEYS[0], 0), None);
        }
    }
}
