#![doc = include_str!("../docs/architecture.md")]

mod admission;
#[doc(hidden)]
pub mod bench;
mod config;
mod dedup;
mod doors;
mod error;
mod flight;
mod flush;
mod ingester;
mod metrics;
mod prepare;
mod push;
mod replay;
mod route;
mod start;
mod tail;
mod writer;

pub use config::{AdmissionConfig, Config, LogConfig, RouteConfig, TailConfig};
pub use route::{Connect, Inherit, Map, Peer, Peers, Predecessor, Shards};
pub use start::{run, run_among};
