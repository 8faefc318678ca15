//! The log of a node on its disk: a redb file of checked values.
//!
//! Every value starts with a checksum of its key and itself. redb finds what is torn, the checksum
//! what is damaged.

use std::fs::File;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::raft::{Entry, LogId, NodeId, Vote};
use crate::{Error, encoding, folder};

const NAME: &str = "log.redb";
const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");

/// Bytes that redb keeps in memory; new entries are kept by us.
const CACHE_BYTES: usize = 8 << 20;

/// Bytes of the checksum.
const SUM: usize = 4;

/// The file. One thread writes, others may read.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
    node: NodeId,
    db: Guarded,
    /// Keeps other processes out for as long as anybody writes here.
    _lock: File,
}

/// The database, whose closing is guarded like its opening: it writes, and a damaged file may break
/// assumptions inside redb. What was promised is durable before.
#[derive(Debug)]
struct Guarded(Option<Database>);

impl std::ops::Deref for Guarded {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let db = self.0.take();
        let closing = std::panic::AssertUnwindSafe(move || drop(db));
        if std::panic::catch_unwind(closing).is_err() {
            tracing::error!("the log of the catalog was closed with an error: its file is damaged");
        }
    }
}

/// What is known besides entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
}

/// Whose log it is: a folder never changes hands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Owner {
    pub(crate) cluster: String,
    pub(crate) node: NodeId,
}

/// One change.
#[derive(Debug)]
pub(crate) enum Change {
    Append(Vec<(u64, Vec<u8>)>),
    /// Entries from here on are gone.
    Truncate(u64),
    /// Entries up to here are gone.
    Purge(LogId),
    Vote(Vote),
    Committed(Option<LogId>),
}

impl Disk {
    /// Opens or creates the log, and reads every value once.
    pub(crate) fn open(dir: &Path, owner: &Owner) -> Result<(Self, Facts, Vec<Entry>), Error> {
        let lock = folder::open(dir)?;
        let path = dir.join(NAME);
        // A damaged file may break assumptions inside redb.
        let (at, owner) = (path.clone(), owner.clone());
        let opened = std::panic::catch_unwind(move || Self::open_unguarded(&at, &owner, lock));
        opened.unwrap_or_else(|_| {
            Err(Error::Corrupt {
                path,
                reason: "its structure is broken".to_owned(),
            })
        })
    }

    fn open_unguarded(
        path: &Path,
        owner: &Owner,
        lock: File,
    ) -> Result<(Self, Facts, Vec<Entry>), Error> {
        let damaged = |error: &dyn std::fmt::Display| Error::Corrupt {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let db = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(|error| damaged(&error))?;
        let disk = Self {
            path: path.to_owned(),
            node: owner.node,
            db: Guarded(Some(db)),
            _lock: lock,
        };
        let found = disk.claim(owner).map_err(|error| damaged(&error))??;
        // A vote must not vanish together with the name of the file that it is in.
        let dir = path.parent().unwrap_or(Path::new("."));
        folder::sync(dir).map_err(folder::io_error("sync", dir))?;
        if found != *owner {
            return Err(Error::Config(format!(
                "{} is the log of node {} of {:?}, and this is node {} of {:?}",
                path.display(),
                found.node,
                found.cluster,
                owner.node,
                owner.cluster
            )));
        }
        let (facts, entries) = disk.read_all().map_err(|error| damaged(&error))??;
        Ok((disk, facts, entries))
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// Writes down whose log it is, if nobody did before.
    fn claim(&self, owner: &Owner) -> Result<Result<Owner, Error>, redb::Error> {
        let txn = self.db.begin_write()?;
        let found = {
            txn.open_table(ENTRIES)?;
            let mut facts = txn.open_table(FACTS)?;
            let known = facts.get("owner")?.map(|value| value.value().to_vec());
            match known {
                Some(value) => self.checked(b"owner", &value),
                None => {
                    facts.insert("owner", &*sealed(b"owner", &encoding::encode(owner)))?;
                    Ok(owner.clone())
                }
            }
        };
        txn.commit()?;
        Ok(found)
    }

    fn read_all(&self) -> Result<Result<(Facts, Vec<Entry>), Error>, redb::Error> {
        let txn = self.db.begin_write()?;
        let facts = txn.open_table(FACTS)?;
        let (vote, committed) = (self.fact(&facts, "vote")?, self.fact(&facts, "committed")?);
        let purged = self.fact(&facts, "purged")?;
        let table = txn.open_table(ENTRIES)?;
        let mut entries = Vec::new();
        for item in table.iter()? {
            let (index, value) = item?;
            entries.push(self.entry(index.value(), value.value()));
        }
        let read = || {
            let facts = Facts {
                vote: vote?,
                committed: committed?,
                purged: purged?,
            };
            let entries: Vec<Entry> = entries.into_iter().collect::<Result<_, Error>>()?;
            self.check_gapless(facts.purged.as_ref(), &entries)?;
            Ok((facts, entries))
        };
        Ok(read())
    }

    fn fact<T: DeserializeOwned>(
        &self,
        table: &impl ReadableTable<&'static str, &'static [u8]>,
        name: &'static str,
    ) -> Result<Result<Option<T>, Error>, redb::Error> {
        let value = table.get(name)?;
        let read = value.map(|value| self.checked(name.as_bytes(), value.value()));
        Ok(read.transpose())
    }

    fn check_gapless(&self, purged: Option<&LogId>, entries: &[Entry]) -> Result<(), Error> {
        let first = purged.map_or(0, |purged| purged.index.saturating_add(1));
        let expected = (0..).map(|nth| first.saturating_add(nth));
        let mut pairs = expected.zip(entries);
        match pairs.find(|(expected, entry)| entry.log_id.index != *expected) {
            None => Ok(()),
            Some((expected, _)) => Err(self.corrupt(format!("entry {expected} is missing"))),
        }
    }

    /// Reads entries in the range, in order.
    pub(crate) fn read(&self, from: u64, to: u64) -> Result<Vec<Entry>, Error> {
        let read = || -> Result<Vec<Result<Entry, Error>>, redb::Error> {
            let txn = redb::ReadableDatabase::begin_read(&*self.db)?;
            let table = txn.open_table(ENTRIES)?;
            let mut entries = Vec::new();
            for item in table.range(from..to)? {
                let (index, value) = item?;
                entries.push(self.entry(index.value(), value.value()));
            }
            Ok(entries)
        };
        let entries = read().map_err(|error| self.corrupt(error.to_string()))?;
        entries.into_iter().collect()
    }

    /// Makes changes durable, all or none.
    pub(crate) fn write(&self, changes: &[Change]) -> Result<(), Error> {
        let write = || -> Result<(), redb::Error> {
            let txn = self.db.begin_write()?;
            for change in changes {
                make(&txn, change)?;
            }
            Ok(txn.commit()?)
        };
        write().map_err(|error| Error::Io {
            what: "write",
            path: self.path.clone(),
            source: std::io::Error::other(error),
        })
    }

    fn entry(&self, index: u64, value: &[u8]) -> Result<Entry, Error> {
        let entry: Entry = self.checked(&index.to_be_bytes(), value)?;
        if entry.log_id.index != index {
            return Err(self.corrupt(format!("entry {index} is another")));
        }
        Ok(entry)
    }

    fn checked<T: DeserializeOwned>(&self, key: &[u8], value: &[u8]) -> Result<T, Error> {
        let damaged = |reason: &dyn std::fmt::Display| {
            self.corrupt(format!(
                "{}: {reason}",
                String::from_utf8_lossy(key).escape_debug()
            ))
        };
        let Some((sum, bytes)) = value.split_first_chunk::<SUM>() else {
            return Err(damaged(&"it is too short"));
        };
        if u32::from_le_bytes(*sum) != sum_of(key, bytes) {
            return Err(damaged(&"it does not have its checksum"));
        }
        encoding::decode(bytes).map_err(|error| damaged(&error))
    }

    fn corrupt(&self, reason: String) -> Error {
        let path = self.path.clone();
        Error::Corrupt { path, reason }
    }
}

/// An entry as it is written.
pub(crate) fn encoded(entry: &Entry) -> Vec<u8> {
    sealed(&entry.log_id.index.to_be_bytes(), &encoding::encode(entry))
}

fn sealed(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(SUM + bytes.len());
    value.extend(sum_of(key, bytes).to_le_bytes());
    value.extend(bytes);
    value
}

fn sum_of(key: &[u8], bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(bytes);
    hasher.finalize()
}

fn make(txn: &WriteTransaction, change: &Change) -> Result<(), redb::Error> {
    fn put<T: Serialize>(
        txn: &WriteTransaction,
        name: &'static str,
        fact: &T,
    ) -> Result<(), redb::Error> {
        let value = sealed(name.as_bytes(), &encoding::encode(fact));
        txn.open_table(FACTS)?.insert(name, &*value)?;
        Ok(())
    }
    match change {
        Change::Append(entries) => {
            let mut table = txn.open_table(ENTRIES)?;
            for (index, value) in entries {
                table.insert(index, &**value)?;
            }
        }
        Change::Truncate(from) => {
            let mut table = txn.open_table(ENTRIES)?;
            table.retain_in(*from.., |_, _| false)?;
        }
        Change::Purge(upto) => {
            let mut table = txn.open_table(ENTRIES)?;
            table.retain_in(..=upto.index, |_, _| false)?;
            drop(table);
            put(txn, "purged", upto)?;
        }
        Change::Vote(vote) => put(txn, "vote", vote)?,
        Change::Committed(Some(committed)) => put(txn, "committed", committed)?,
        Change::Committed(None) => {
            txn.open_table(FACTS)?.remove("committed")?;
        }
    }
    Ok(())
}
