//! The process: config, telemetry, servers, readiness, task ownership, ordered shutdown.
//!
//! The only crate with global effects: it reads the clock, the environment and the command line,
//! spawns tasks, handles signals. Services get all of that through [`Context`]. It knows no
//! service: those pass their routes and settings in.

mod admin;
#[cfg(target_os = "linux")]
mod allocator;
mod channels;
mod cli;
mod clock;
mod compute;
pub mod config;
mod context;
mod healthcheck;
mod launch;
mod lru;
pub mod net;
mod process;
mod random;
mod readiness;
mod routes;
mod self_profile;
mod server;
mod telemetry;
mod turns;

pub use channels::InvalidAddress;
pub use cli::{Flags, main};
pub use clock::{Clock, FakeClock};
pub use compute::Job;
pub use context::{Connector, Context, TaskOutput};
pub use healthcheck::run as healthcheck;
pub use launch::{Common, Launch, run};
pub use lru::Lru;
pub use net::{Net, Peer};
pub use process::{Options, Process};
pub use random::Random;
pub use readiness::Readiness;
pub use routes::Routes;
pub use turns::{Turn, Turns};
