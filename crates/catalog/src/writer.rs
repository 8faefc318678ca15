//! Who writes blocks, as the catalog tells it.

use std::time::Duration;

use cairn_model::WriterId;

use crate::Log;

/// A writer as queries see it: everything up to `flushed_lsn` is in blocks, what follows is in
/// the tail at `address`, and with [`Log::OnePerIncarnation`] in the log for everyone to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    pub id: WriterId,
    /// Grows with every start of the writer; only the newest may commit.
    pub incarnation: u64,
    /// Empty for incarnations that are gone.
    pub address: String,
    pub zone: String,
    pub log: Log,
    pub flushed_lsn: u64,
}

/// What a writer says of itself at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub writer: WriterId,
    /// Where its tail is served and others forward to.
    pub address: String,
    /// Where it runs, for placing shards; may be empty.
    pub zone: String,
    pub log: Log,
    /// How long it may acknowledge without renewing its lease. Take the time before asking.
    pub ttl: Duration,
}

impl Registration {
    /// A writer that nobody replaces while it is silent.
    pub const FOREVER: Duration = Duration::MAX;

    /// A writer whose log is on its own disk, so that nobody could take over from it.
    pub fn continued(writer: WriterId, address: &str) -> Self {
        Self {
            writer,
            address: address.to_owned(),
            zone: String::new(),
            log: Log::Continued,
            ttl: Self::FOREVER,
        }
    }
}

/// What a writer has to know at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    pub incarnation: u64,
    /// What follows in its log is not in blocks.
    pub flushed_lsn: u64,
}
