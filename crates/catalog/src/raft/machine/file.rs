//! Snapshots on disk: one file each, whole or not there, the newest counts.
//!
//! Magic, length and bytes of the description, length and bytes of the state, checksum of all
//! before it; numbers are little-endian.

use std::path::{Path, PathBuf};

use crate::folder::{FRESH, io_error, sync, write_whole};
use crate::raft::SnapshotMeta;
use crate::{Error, encoding};

const MAGIC: &[u8; 8] = b"CRNSNAP\x01";
const PREFIX: &str = "snapshot-";

/// Bytes of a snapshot: some million blocks.
pub(crate) const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;

/// A snapshot that was read.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) meta: SnapshotMeta,
    pub(crate) state: Vec<u8>,
}

/// Makes a snapshot durable, then deletes older ones.
pub(crate) fn write(dir: &Path, meta: &SnapshotMeta, state: &[u8]) -> Result<(), Error> {
    let index = meta.last_log_id.map_or(0, |last| last.index);
    let name = format!("{PREFIX}{index:020}");
    let path = dir.join(&name);
    let described = encoding::encode(meta);
    let mut hasher = crc32fast::Hasher::new();
    let written = write_whole(&path, |out| {
        let sizes = [described.len() as u64, state.len() as u64].map(u64::to_le_bytes);
        for part in [&MAGIC[..], &sizes[0], &described, &sizes[1], state] {
            hasher.update(part);
            out.write_all(part)?;
        }
        out.write_all(&hasher.clone().finalize().to_le_bytes())
    });
    written.map_err(io_error("write", &path))?;
    fail::fail_point!(crate::failpoints::AFTER_SNAPSHOT);
    for old in list(dir)?.into_iter().filter(|old| *old < path) {
        std::fs::remove_file(&old).map_err(io_error("delete", &old))?;
    }
    sync(dir).map_err(io_error("sync", dir))
}

/// The newest snapshot, checked.
pub(crate) fn read_newest(dir: &Path) -> Result<Option<Stored>, Error> {
    let Some(path) = list(dir)?.pop() else {
        return Ok(None);
    };
    let bytes = std::fs::read(&path).map_err(io_error("read", &path))?;
    let reason = match parse(&bytes) {
        Ok(stored) => return Ok(Some(stored)),
        Err(reason) => reason,
    };
    Err(Error::Corrupt { path, reason })
}

/// Deletes what a crash left half written.
pub(crate) fn tidy(dir: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(dir).map_err(io_error("list", dir))? {
        let path = entry.map_err(io_error("list", dir))?.path();
        if path.extension().is_some_and(|extension| extension == FRESH) {
            std::fs::remove_file(&path).map_err(io_error("delete", &path))?;
        }
    }
    Ok(())
}

/// Oldest first.
fn list(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io_error("list", dir))? {
        let entry = entry.map_err(io_error("list", dir))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if number.is_some_and(|number| number.parse::<u64>().is_ok()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn parse(bytes: &[u8]) -> Result<Stored, String> {
    let (body, sum) = bytes.split_last_chunk::<4>().ok_or("it is too short")?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err("it does not have its checksum".to_owned());
    }
    let rest = body
        .strip_prefix(MAGIC)
        .ok_or("it is no snapshot of this version")?;
    let (described, rest) = part(rest).ok_or("its description is cut short")?;
    let (state, rest) = part(rest).ok_or("its state is cut short")?;
    if !rest.is_empty() {
        return Err("something follows its state".to_owned());
    }
    let meta = encoding::decode(described).map_err(|error| error.to_string())?;
    let state = state.to_vec();
    Ok(Stored { meta, state })
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*size)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::LogId;

    fn meta(index: u64) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: Some(LogId::new(openraft::CommittedLeaderId::new(1, 1), index)),
            snapshot_id: index.to_string(),
            ..SnapshotMeta::default()
        }
    }

    #[test]
    fn the_newest_snapshot_counts_and_replaces_older_ones() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(read_newest(dir.path()).expect("empty").is_none());
        for index in [9, 10, 100] {
            write(dir.path(), &meta(index), b"state").expect("written");
            let read = read_newest(dir.path()).expect("well").expect("there");
            assert_eq!((read.meta, &*read.state), (meta(index), &b"state"[..]));
        }
        std::fs::write(dir.path().join("snapshot-7.new"), b"half").expect("written");
        tidy(dir.path()).expect("tidied");
        let left = std::fs::read_dir(dir.path()).expect("listed").count();
        assert_eq!(left, 1);
    }

    #[test]
    fn no_flipped_bit_and_no_cut_goes_unnoticed() {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), &meta(3), b"state").expect("written");
        let path = list(dir.path()).expect("listed").pop().expect("one");
        let whole = std::fs::read(&path).expect("read");
        for at in 0..whole.len() {
            for bad in [flipped(&whole, at), whole[..at].to_vec()] {
                std::fs::write(&path, bad).expect("written");
                let error = read_newest(dir.path()).expect_err("it is damaged");
                assert_eq!(error.code(), cairn_model::Code::Corrupt, "{at}");
            }
        }
    }

    fn flipped(whole: &[u8], at: usize) -> Vec<u8> {
        let mut bad = whole.to_vec();
        bad[at] ^= 4;
        bad
    }
}
