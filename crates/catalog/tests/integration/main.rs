//! Nodes and clients, over sockets.

mod cluster;
#[cfg(feature = "failpoints")]
mod crash;
mod failures;
mod linearizable;
mod peers;
mod services;
