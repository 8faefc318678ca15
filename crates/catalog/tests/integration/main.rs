//! Nodes and clients, over sockets.

mod cluster;
mod failures;
mod services;
