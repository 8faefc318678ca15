//! The state in memory, as openraft drives it, and its snapshots.
//!
//! A snapshot is taken of a clone that shares almost everything with the state, so that commands
//! go on while it is written.

pub(crate) mod file;

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, StorageError};
use parking_lot::RwLock;
use tokio::sync::watch;

use self::file::Stored;
use super::offload::Offload;
use super::{Entry, LogId, Membership, NodeId, Outcomes, SnapshotMeta, Types, unread, unwritten};
use crate::{Error, Reply, State, apply, encoding};

/// Applies entries. One per node.
#[derive(Debug)]
pub(crate) struct Machine {
    current: Current,
    folder: Folder,
}

/// The state that is applied, for everyone to read. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Current(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    applied: RwLock<Applied>,
    /// The index of the newest entry that is applied.
    index: watch::Sender<u64>,
}

#[derive(Clone, Debug, Default)]
struct Applied {
    state: State,
    last: Option<LogId>,
    membership: Membership,
}

/// Where snapshots are.
#[derive(Clone, Debug)]
struct Folder {
    dir: PathBuf,
    offload: Offload,
}

/// Writes one snapshot, of the state as it was when this was made.
#[derive(Debug)]
pub(crate) struct Builder {
    applied: Applied,
    folder: Folder,
}

impl Machine {
    /// Restores the newest snapshot of a folder.
    pub(crate) async fn open(dir: &Path, offload: Offload) -> Result<Self, Error> {
        let dir = dir.to_owned();
        let folder = Folder {
            dir: dir.clone(),
            offload,
        };
        let restore = move || {
            file::tidy(&dir)?;
            file::read_newest(&dir)?
                .map_or(Ok(Applied::default()), |stored| restored(&dir, &stored))
        };
        let applied: Applied = offload.run(restore).await??;
        let index = watch::Sender::new(applied.last.map_or(0, |last| last.index));
        let applied = RwLock::new(applied);
        Ok(Self {
            current: Current(Arc::new(Shared { applied, index })),
            folder,
        })
    }

    pub(crate) fn current(&self) -> Current {
        self.current.clone()
    }

    fn apply_one(&self, entry: Entry) -> Outcomes {
        let Entry { log_id, payload } = entry;
        let mut applied = self.current.0.applied.write();
        let outcomes = match payload {
            EntryPayload::Blank => Vec::new(),
            EntryPayload::Membership(membership) => {
                applied.membership = Membership::new(Some(log_id), membership);
                Vec::new()
            }
            EntryPayload::Normal(batch) => {
                let commands = batch.0.into_iter();
                let carried_out = commands.map(|command| apply(&mut applied.state, command));
                carried_out.collect::<Vec<Result<Reply, _>>>()
            }
        };
        applied.last = Some(log_id);
        Outcomes(outcomes)
    }
}

fn restored(dir: &Path, stored: &Stored) -> Result<Applied, Error> {
    let state = encoding::decode(&stored.state).map_err(|error| Error::Corrupt {
        path: dir.to_owned(),
        reason: format!("its snapshot: {error}"),
    })?;
    Ok(Applied {
        state,
        last: stored.meta.last_log_id,
        membership: stored.meta.last_membership.clone(),
    })
}

impl Current {
    /// Asks something short: commands wait meanwhile.
    pub(crate) fn read<R>(&self, ask: impl FnOnce(&State) -> R) -> R {
        ask(&self.0.applied.read().state)
    }

    pub(crate) fn last(&self) -> Option<LogId> {
        self.0.applied.read().last
    }

    /// Returns when the entry is applied.
    pub(crate) async fn applied(&self, index: u64) {
        let mut applied = self.0.index.subscribe();
        // The sender lives as long as `self`.
        let _ = applied.wait_for(|applied| *applied >= index).await;
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError<NodeId>> {
        let applied = self.current.0.applied.read();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcomes>, StorageError<NodeId>>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        fail::fail_point!(crate::failpoints::BEFORE_APPLY);
        let outcomes = entries
            .into_iter()
            .map(|entry| self.apply_one(entry))
            .collect();
        let last = self.current.last().map_or(0, |last| last.index);
        self.current.0.index.send_replace(last);
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            applied: self.current.0.applied.read().clone(),
            folder: self.folder.clone(),
        }
    }

    async fn begin_receiving_snapshot(
        &mut self,
    ) -> Result<Box<Cursor<Vec<u8>>>, StorageError<NodeId>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError<NodeId>> {
        let stored = Stored {
            meta: meta.clone(),
            state: snapshot.into_inner(),
        };
        let dir = self.folder.dir.clone();
        let install = move || {
            // What can't be read is not written.
            let applied = restored(&dir, &stored)?;
            file::write(&dir, &stored.meta, &stored.state)?;
            Ok(applied)
        };
        let applied = self.folder.offload.run(install).await;
        let applied = applied.and_then(|applied| applied);
        let applied = applied.map_err(|error| unwritten(&error))?;
        let last = applied.last.map_or(0, |last| last.index);
        let old = std::mem::replace(&mut *self.current.0.applied.write(), applied);
        drop(old);
        self.current.0.index.send_replace(last);
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<Snapshot<Types>>, StorageError<NodeId>> {
        let dir = self.folder.dir.clone();
        let read = self
            .folder
            .offload
            .run(move || file::read_newest(&dir))
            .await;
        let read = read.and_then(|read| read).map_err(|error| unread(&error))?;
        Ok(read.map(|Stored { meta, state }| Snapshot {
            meta,
            snapshot: Box::new(Cursor::new(state)),
        }))
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError<NodeId>> {
        let Applied {
            state,
            last,
            membership,
        } = std::mem::take(&mut self.applied);
        let snapshot_id = last.map_or_else(String::new, |last| last.to_string());
        let meta = SnapshotMeta {
            last_log_id: last,
            last_membership: membership,
            snapshot_id,
        };
        let (dir, described) = (self.folder.dir.clone(), meta.clone());
        let build = move || {
            let bytes = encoding::encode(&state);
            drop(state);
            file::write(&dir, &described, &bytes).map(|()| bytes)
        };
        let bytes = self.folder.offload.run(build).await;
        let bytes = bytes
            .and_then(|bytes| bytes)
            .map_err(|error| unwritten(&error))?;
        Ok(Snapshot {
            meta,
            snapshot: Box::new(Cursor::new(bytes)),
        })
    }
}

#[cfg(test)]
mod tests;
