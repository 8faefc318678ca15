//! The record of blocks and writers: a pure state machine, and the journal that keeps it.
//!
//! It holds names and sizes, never profiles, and does not touch object storage: whoever commits a
//! block has put it there first, whoever forgets one has deleted it first.

mod block;
mod catalog;
mod client;
mod convert;
mod error;
mod journal;
mod rebuild;
mod server;
mod state;
mod writer;

pub use block::{BlockMeta, Manifest, Tombstone};
pub use catalog::{Catalog, Registered};
pub use client::Client;
pub use convert::InvalidMessage;
pub use error::Error;
pub use journal::lock_folder;
pub use rebuild::{Conflict, Dead, Found, FoundLog, LogPosition, Plan, plan};
pub use server::{Server, UnixMillis};
pub use state::{
    Command, Job, JobId, Log, Owner, Refused, Reply, SHARDS, Scope, ShardMap, Snapshot, State,
    Tenant, Ticket, Token, TokenHash, Work, apply,
};
pub use writer::Writer;
