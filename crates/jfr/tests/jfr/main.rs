//! The decoder against recordings of JDKs, against hand-made chunks, and against damage.

mod events;
mod faults;
mod forms;
mod labels;
mod mutations;
mod recordings;
mod seeds;
mod writer;

use cairn_jfr::{Decoded, Error, Options};
use cairn_model::Limits;

fn decode(bytes: &[u8]) -> Result<Decoded, Error> {
    cairn_jfr::decode(bytes, None, &Options::default(), &Limits::default())
}
