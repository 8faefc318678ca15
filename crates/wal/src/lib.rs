//! The write-ahead log: entries, and where they become durable.
//!
//! Owns what an entry means ([`Entry`]), and the logs that keep entries in order. Who writes, when,
//! and what is acknowledged is the ingester's business.

mod entry;
mod error;
mod local;
mod log;

pub use entry::{Entry, NAME_LABEL, Row, Span, Unreadable, batch_hash, log_executable, split_name};
pub use error::Error;
pub use local::{LocalLog, OnThread, Unread};
pub use log::{DurableLog, Payload};
