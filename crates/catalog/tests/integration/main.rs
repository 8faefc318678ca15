//! Nodes and clients, over sockets.

mod services;
