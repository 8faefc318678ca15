#![doc = include_str!("../docs/architecture.md")]

mod admin;
mod block;
mod client;
mod convert;
mod encoding;
mod error;
pub mod failpoints;
mod folder;
mod node;
mod placement;
mod raft;
mod rebuild;
mod server;
mod shards;
mod state;
mod status;
mod writer;

pub use admin::{Admin, AdminService};
pub use block::{BlockMeta, Manifest, Tombstone};
pub use client::{Client, Connect, RemoteParts};
pub use convert::InvalidMessage;
pub use error::Error;
pub use folder::lock_folder;
pub use node::{
    Acceptor, Change, Node, NodeConfig, NodeParts, PeerStream, Placement, Runtime, UnixMillis,
    duties, plain,
};
pub use placement::{Candidate, assign, place};
pub use raft::NodeId;
pub use raft::peers::{PeerService, Peers};
pub use rebuild::{Conflict, Dead, Found, FoundLog, LogPosition, Plan, plan};
pub use server::{CatalogService, Server};
pub use shards::{Place, Shards};
pub use state::{
    Command, Job, JobId, Log, Owner, Refused, Reply, SHARDS, Scope, ShardMap, Snapshot, State,
    Tenant, Ticket, Token, TokenHash, Work, apply,
};
pub use status::{Member, Status};
pub use writer::{Registered, Registration, Writer};
