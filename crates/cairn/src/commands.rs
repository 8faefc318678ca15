//! The commands of a client: each asks a running Cairn for something and shows the answer.

pub mod block;
pub mod catalog;
pub mod debuginfo;
pub mod push;
pub mod query;
mod server;
pub mod tenants;
mod time;

pub use server::Server;
