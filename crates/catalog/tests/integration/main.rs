//! Nodes and clients, over sockets.

mod cluster;
mod failures;
mod linearizable;
mod peers;
mod services;
mod values;
