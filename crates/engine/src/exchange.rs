//! How partial answers are asked for: an Arrow Flight `DoGet` with a ticket, answered by batches of
//! the [codec](crate::codec) and a trailer.
//!
//! Owns the protocol; who holds which rows and scans them is the service's business.

mod answer;
mod serve;
mod ticket;
mod told;

pub use answer::{InvalidAnswer, read};
pub use serve::{BlockFlight, Cost, Partial, Scan, blocks, tail};
pub use ticket::{Asked, InvalidTicket, decode, encode};
pub use told::{InvalidBatch, told};

/// Where tails are asked for.
pub const TAIL_SCAN: &str = "/arrow.flight.protocol.FlightService/DoGet";
/// Where blocks are asked for: the same call under a name of its own, since one process may hold
/// both blocks and a tail behind one port.
pub const BLOCK_SCAN: &str = "/cairn.query.v1.BlockFlight/DoGet";
