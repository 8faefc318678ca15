//! The record of blocks and writers: a pure state machine, and what makes it last.
//!
//! It holds names and sizes, never profiles, and does not touch object storage: whoever commits a
//! block has put it there first, whoever forgets one has deleted it first.

mod block;
mod catalog;
mod client;
mod convert;
mod encoding;
mod error;
mod journal;
mod node;
mod server;
mod shards;
mod state;
mod status;
mod writer;

pub use block::{BlockMeta, Manifest, Tombstone};
pub use client::{Client, Connect, RemoteParts};
pub use convert::InvalidMessage;
pub use error::Error;
pub use journal::lock_folder;
pub use node::{Node, UnixMillis};
pub use server::{CatalogService, Server};
pub use shards::{Place, Shards};
pub use state::{
    Command, Job, JobId, Log, Owner, Refused, Reply, SHARDS, Scope, ShardMap, Snapshot, State,
    Tenant, Ticket, Token, TokenHash, Work, apply,
};
pub use status::{Member, Status};
pub use writer::{Registered, Registration, Writer};
