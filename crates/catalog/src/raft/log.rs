//! The log of a node, as openraft uses it: entries can be read at once, and are told to be durable
//! when they are.
//!
//! Owns what is in memory; [`disk`] what is written, [`writer`] when.

mod disk;
mod writer;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader, StorageError};
use parking_lot::RwLock;
use tokio::sync::oneshot;

use self::disk::{Change, Disk, Facts};
use self::writer::{Order, Orders, Waiter};
use super::offload::Offload;
use super::{Entry, LogId, NodeId, Types, Vote, unread, unwritten};
use crate::Error;

pub(crate) use self::disk::Owner;
pub(crate) use self::writer::Running;

/// Bytes of durable entries that are kept in memory, for followers that are a little behind.
const CACHE_BYTES_MAX: usize = 32 << 20;
/// Bytes of entries in one message to a follower, unless a single one is larger.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// A handle on the log. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    shared: Arc<Shared>,
    orders: Orders,
}

#[derive(Debug)]
struct Shared {
    disk: Arc<Disk>,
    memory: RwLock<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    facts: Facts,
    last: Option<LogId>,
    /// The newest entries, with their sizes: without gaps up to `last`.
    entries: BTreeMap<u64, (Entry, usize)>,
    bytes: usize,
    /// Everything up to here is durable.
    durable: u64,
}

impl Log {
    /// Opens or creates the log in a folder and starts its writer.
    pub(crate) async fn open(
        dir: &Path,
        owner: Owner,
        offload: Offload,
    ) -> Result<(Self, Running), Error> {
        let folder = dir.to_owned();
        let (disk, facts, entries) = offload.run(move || Disk::open(&folder, &owner)).await??;
        let mut memory = Memory {
            last: facts.purged,
            facts,
            ..Memory::default()
        };
        for entry in entries {
            let size = disk::encoded(&entry).len();
            memory.push(entry, size);
        }
        memory.durable = memory.last.map_or(0, |last| last.index);
        memory.shrink();
        let disk = Arc::new(disk);
        let started = writer::start(Arc::clone(&disk), offload == Offload::Threads);
        let (orders, running) = started.map_err(|source| Error::Io {
            what: "start the writer of",
            path: dir.to_owned(),
            source,
        })?;
        let memory = RwLock::new(memory);
        let shared = Arc::new(Shared { disk, memory });
        Ok((Self { shared, orders }, running))
    }

    /// Whether nothing was ever written.
    pub(crate) fn is_pristine(&self) -> bool {
        let memory = self.shared.memory.read();
        memory.last.is_none() && memory.facts.vote.is_none()
    }

    /// The newest entry that is not in the log any more.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.shared.memory.read().facts.purged
    }

    fn read(&self, from: u64, to: u64) -> Result<Vec<Entry>, Error> {
        let memory = self.shared.memory.read();
        // What was purged may not have left the disk yet.
        let purged = memory.facts.purged;
        let from = from.max(purged.map_or(0, |purged| purged.index + 1));
        let first = memory.entries.keys().next().copied();
        let cached = memory.entries.range(from..to.max(from));
        let cached: Vec<Entry> = cached.map(|(_, (entry, _))| entry.clone()).collect();
        drop(memory);
        let first = first.unwrap_or(u64::MAX).min(to);
        if from >= first {
            return Ok(cached);
        }
        let mut entries = self.shared.disk.read(from, first)?;
        entries.extend(cached);
        Ok(entries)
    }

    /// Reads from the start of the range, not more than goes into one message.
    fn read_limited(&self, from: u64, to: u64) -> Result<Vec<Entry>, Error> {
        let memory = self.shared.memory.read();
        let mut bytes = 0;
        let is_cached = memory.entries.contains_key(&from);
        let fits = memory
            .entries
            .range(from..to.max(from))
            .take_while(|(_, (_, size))| {
                bytes += size;
                bytes <= MESSAGE_BYTES_MAX
            });
        let fits = fits.count().max(1) as u64;
        drop(memory);
        // Entries that were written long ago are read a few at a time.
        let count = if is_cached { fits } else { UNCACHED_MAX };
        self.read(from, to.min(from.saturating_add(count)))
    }

    async fn order(&self, change: Change, waiter: Waiter) -> Result<(), StorageError<NodeId>> {
        let given = self.orders.give(Order { change, waiter }).await;
        given.map_err(|error| unwritten(&error))
    }
}

/// Entries of unknown size in one message.
const UNCACHED_MAX: u64 = 8;

impl Memory {
    fn push(&mut self, entry: Entry, size: usize) {
        self.last = Some(entry.log_id);
        self.bytes += size;
        self.entries.insert(entry.log_id.index, (entry, size));
    }

    /// Forgets what is on the disk, oldest first, until the rest is small.
    fn shrink(&mut self) {
        while self.bytes > CACHE_BYTES_MAX
            && let Some(oldest) = self.entries.first_entry()
            && *oldest.key() <= self.durable
        {
            self.bytes -= oldest.remove().1;
        }
    }

    fn remove(&mut self, range: impl RangeBounds<u64>) {
        let gone: Vec<u64> = self.entries.range(range).map(|(index, _)| *index).collect();
        for index in gone {
            if let Some((_, size)) = self.entries.remove(&index) {
                self.bytes -= size;
            }
        }
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError<NodeId>> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        self.read(from, to).map_err(|error| unread(&error))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError<NodeId>> {
        self.read_limited(start, end)
            .map_err(|error| unread(&error))
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError<NodeId>> {
        let memory = self.shared.memory.read();
        Ok(LogState {
            last_purged_log_id: memory.facts.purged,
            last_log_id: memory.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError<NodeId>> {
        self.shared.memory.write().facts.vote = Some(*vote);
        let (answer, answered) = oneshot::channel();
        self.order(Change::Vote(*vote), Waiter::Caller(answer))
            .await?;
        let ended = |_| Err("the writer of the log has ended".to_owned());
        let written = answered.await.unwrap_or_else(ended);
        written.map_err(|error| unwritten(&Error::Unavailable(error)))
    }

    /// A leader that restarts leads no more, until it is elected again: which of its entries were
    /// committed is not known to it, and somebody may have read them.
    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError<NodeId>> {
        let mut vote = self.shared.memory.read().facts.vote;
        let owner = self.shared.disk.node();
        if let Some(vote) = &mut vote
            && vote.leader_id().voted_for() == Some(owner)
        {
            vote.committed = false;
        }
        Ok(vote)
    }

    async fn save_committed(
        &mut self,
        committed: Option<LogId>,
    ) -> Result<(), StorageError<NodeId>> {
        self.shared.memory.write().facts.committed = committed;
        // It only spares a restarted node some time.
        self.order(Change::Committed(committed), Waiter::Nobody)
            .await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError<NodeId>> {
        Ok(self.shared.memory.read().facts.committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Types>,
    ) -> Result<(), StorageError<NodeId>>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let encoded = {
            let entries: Vec<Entry> = entries.into_iter().collect();
            let values: Vec<Vec<u8>> = entries.iter().map(disk::encoded).collect();
            let mut memory = self.shared.memory.write();
            // Openraft waits for each append before the next, so what came before is durable.
            memory.durable = memory.last.map_or(0, |last| last.index);
            let mut encoded = Vec::with_capacity(entries.len());
            for (entry, value) in entries.into_iter().zip(values) {
                encoded.push((entry.log_id.index, value));
                let size = encoded.last().map_or(0, |(_, value)| value.len());
                memory.push(entry, size);
            }
            memory.shrink();
            encoded
        };
        let waiter = Waiter::Raft(callback);
        self.order(Change::Append(encoded), waiter).await
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError<NodeId>> {
        let from = log_id.index;
        let before = match from.checked_sub(1) {
            None => None,
            Some(before) => {
                let kept = self.read(before, from).map_err(|error| unread(&error))?;
                let purged = self.purged();
                kept.first().map(|entry| entry.log_id).or(purged)
            }
        };
        {
            let mut memory = self.shared.memory.write();
            memory.remove(from..);
            memory.last = before;
            memory.durable = memory.durable.min(from.saturating_sub(1));
        }
        // Until it is done, readers could find the old entries on the disk.
        let (answer, answered) = oneshot::channel();
        self.order(Change::Truncate(from), Waiter::Caller(answer))
            .await?;
        let ended = |_| Err("the writer of the log has ended".to_owned());
        let written = answered.await.unwrap_or_else(ended);
        written.map_err(|error| unwritten(&Error::Unavailable(error)))
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError<NodeId>> {
        {
            let mut memory = self.shared.memory.write();
            memory.remove(..=log_id.index);
            memory.facts.purged = Some(log_id);
            if memory.last < Some(log_id) {
                memory.last = Some(log_id);
            }
        }
        self.order(Change::Purge(log_id), Waiter::Nobody).await
    }
}

#[cfg(test)]
mod tests;
