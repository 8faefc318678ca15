//! What a log does for its writer. Owns order and durability of payloads, not their meaning.

use async_trait::async_trait;
use cairn_block::Lsn;
use futures::future::BoxFuture;

use crate::Error;

/// An encoded entry on its way to the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    pub bytes: Vec<u8>,
    /// Of the profiles in it, as far as repeats of them can be told.
    pub hashes: Vec<u128>,
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Where payloads become durable. It has one writer, which asks one thing at a time.
#[async_trait]
pub trait DurableLog: Send {
    /// Makes all payloads durable with consecutive numbers and returns the first. After an error
    /// none of them will ever be replayed, unless the log [is over](Error::is_final): then nobody
    /// knows, and every later call fails.
    async fn append(&mut self, payloads: Vec<Payload>, now: i64) -> Result<Lsn, Error>;

    /// Forgets payloads up to `flushed` that were appended before `older_than`, as far as that can
    /// be done cheaply. The future does the work, and may be driven beside later appends; what
    /// fails is done by a later call.
    fn truncate(&mut self, flushed: Lsn, older_than: i64) -> BoxFuture<'static, Result<(), Error>>;

    /// Returns when the next log may be opened in its place.
    async fn close(self: Box<Self>);
}
