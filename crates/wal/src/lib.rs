//! The write-ahead log: entries, and where they become durable.
//!
//! Owns what an entry means ([`Entry`]), the logs that keep entries in order ([`LocalLog`],
//! [`ObjectLog`]), and reading the logs of writers that are gone ([`LogReader`], [`Heads`]). Who
//! writes, when, and what is told to senders is the ingester's business.

#[doc(hidden)]
pub mod any;
mod entry;
mod error;
mod heads;
mod lease;
mod local;
mod log;
mod object;
mod outside;
mod packed;
pub mod points;
mod reader;
#[cfg(test)]
mod testing;

pub use entry::{
    Digest, Encoding, Entry, Kept, NAME_LABEL, Row, Span, Unreadable, batch_hash, log_executable,
    split_name,
};
pub use error::Error;
pub use heads::{Heads, append_all};
pub use lease::Lease;
pub use local::{LocalLog, OnThread, Unread};
pub use log::{DurableLog, Payload};
pub use object::ObjectLog;
pub use object::format::{Content, ENTRIES_MAX, Header, Listed, OBJECT_BYTES_MAX, Place};
pub use outside::Outside;
pub use packed::{InvalidProfile, pack, pack_tables, unpack, unpack_tables};
pub use reader::{Listing, LogReader, Segment, SegmentRef, Segments};
