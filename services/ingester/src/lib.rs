#![doc = include_str!("../docs/architecture.md")]

mod admission;
mod agents;
#[doc(hidden)]
pub mod bench;
mod blocks;
mod config;
mod dedup;
mod doors;
mod error;
mod flight;
mod flush;
mod gauges;
mod hosting;
mod ingester;
mod inherit;
mod lease;
mod limits;
mod log;
mod metering;
mod metrics;
pub mod points;
mod prepare;
mod push;
mod recover;
mod replay;
mod route;
mod stacks;
mod start;
mod tail;
mod writer;

/// The failpoint that makes an ingester acknowledge what it has not stored, as a bug might.
#[cfg(feature = "failpoints")]
pub const ACKNOWLEDGE_EARLY: &str = "ingester-acknowledge-early";
/// The failpoint that makes an ingester store whatever it is sent, as if all shards were its own: of
/// a push that is sent again elsewhere nobody knows that it is there already.
#[cfg(feature = "failpoints")]
pub const TAKE_ANYTHING: &str = "ingester-take-anything";

pub use config::{
    AdmissionConfig, CatalogConfig, Config, LogConfig, LogKind, OwnLimits, RouteConfig, TailConfig,
    TenantConfig,
};
pub use route::{Connect, Inherit, Map, Peer, Peers, Predecessor, Shards};
pub use start::{run, run_among};
