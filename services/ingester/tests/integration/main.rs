//! The ingester in process, on port 0: real bytes in through the front doors, rows out through
//! Flight.

mod agents;
mod cluster;
mod corpus;
mod durability;
mod excess;
mod formats;
mod harness;
mod malformed;
mod overload;
mod routing;
mod usage;
