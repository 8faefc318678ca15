//! The decoder against a second, naive one; against itself through the encoder; and against
//! messages that must be refused.

mod corpus;
mod faults;
mod mutations;
mod oracle;
mod round_trip;
mod seeds;

use cairn_model::Limits;
use cairn_pprof::{Decoded, Error, Options};

fn decode(raw: &[u8]) -> Result<Decoded, Error> {
    cairn_pprof::decode(raw, &Limits::default(), &Options::default())
}
