//! The write-ahead log: what is acknowledged is here first.
//!
//! Owns bytes and their order, not their meaning: a payload is whatever the caller appended.

mod local;
mod segment;

use std::path::PathBuf;

use cairn_block::Lsn;

pub(crate) use local::LocalLog;

/// Where payloads become durable. Calls block, so they belong on a thread of their own.
pub(crate) trait DurableLog: Send {
    /// Makes all payloads durable with consecutive numbers and returns the first. After an error
    /// none of them will ever be replayed, unless it is [`Error::Poisoned`]: then nobody knows.
    fn append(&mut self, payloads: &[Vec<u8>], now: i64) -> Result<Lsn, Error>;

    /// Forgets payloads up to `flushed` that were appended before `older_than`, as far as that can
    /// be done cheaply.
    fn truncate(&mut self, flushed: Lsn, older_than: i64) -> Result<(), Error>;
}

/// Why the log could not do what was asked, or could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{action} {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    /// Another ingester uses the folder.
    #[error(transparent)]
    Locked(#[from] cairn_catalog::Error),
    /// Nothing was written; it may be possible later.
    #[error("the disk of the log is full or failing: {0}")]
    NoSpace(std::io::Error),
    /// A sync failed. What the operating system then keeps or drops is unknown, so nothing is
    /// written any more until a restart has read the log anew.
    #[error("the log failed to reach the disk; the ingester must be restarted: {0}")]
    Poisoned(String),
    #[error(
        "the log is damaged: {path} at byte {offset}: {reason}. Acknowledged profiles may be lost \
         from there on. Restore the file, or move it and all later ones away to go on without them"
    )]
    Damaged {
        path: PathBuf,
        offset: u64,
        reason: String,
    },
}

#[cfg(test)]
mod power_cut_tests;
