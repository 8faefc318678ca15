//! Who writes blocks, as the catalog tells it.

use cairn_model::WriterId;

/// A writer as queries see it: everything up to `flushed_lsn` is in blocks, what follows is in
/// the tail at `address`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    pub id: WriterId,
    /// Grows with every start of the writer; only the newest may commit.
    pub incarnation: u64,
    pub address: String,
    pub flushed_lsn: u64,
}
