//! The state machine under consensus: the types that openraft works with, what they are kept in,
//! and how nodes talk.

pub(crate) mod log;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod offload;
pub(crate) mod peers;
mod runtime;

use std::fmt;
use std::io::Cursor;

use openraft::{AnyError, StorageError, StorageIOError};
use serde::{Deserialize, Serialize};

use crate::{Command, Refused, Reply};

/// The number of a node.
pub type NodeId = u64;

openraft::declare_raft_types!(
    /// What openraft works with.
    pub(crate) Types:
        D = Batch,
        R = Outcomes,
        NodeId = NodeId,
        Node = openraft::BasicNode,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = runtime::Runtime,
);

pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<NodeId>;
pub(crate) type Vote = openraft::Vote<NodeId>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<NodeId, openraft::BasicNode>;
pub(crate) type Membership = openraft::StoredMembership<NodeId, openraft::BasicNode>;

/// Commands that share one entry of the log, and with it one sync.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Batch(pub(crate) Vec<Command>);

/// What became of each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcomes(pub(crate) Vec<Result<Reply, Refused>>);

/// openraft logs entries; thousands of blocks don't belong there.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} commands", self.0.len())
    }
}

/// Failures of the disk, in openraft's words. Any of them ends the node.
pub(crate) fn unwritten(error: &crate::Error) -> StorageError<NodeId> {
    StorageIOError::write(any(error)).into()
}

pub(crate) fn unread(error: &crate::Error) -> StorageError<NodeId> {
    StorageIOError::read(any(error)).into()
}

fn any(error: &crate::Error) -> AnyError {
    let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    AnyError::error(text)
}

#[cfg(test)]
mod power_cut_tests;
