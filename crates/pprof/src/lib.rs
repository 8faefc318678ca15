//! pprof bytes to [`cairn_model::Profile`] and back. Pure functions over hostile input.
//!
//! Owns the pprof format: its protobuf encoding, its gzip wrapping and the meaning of its fields.
//! Does not decide what a profile is called or whose it is: labels of the profile as a whole, and
//! the profile types, come from whoever received it.
//!
//! What a [`Profile`](cairn_model::Profile) has no place for is not kept: comments, the
//! documentation link, `drop_frames`, `keep_frames`, `default_sample_type`, the `has_*` flags of
//! mappings and `is_folded` of locations. Mappings that no location uses disappear, and so do
//! lines that name no function.
//!
//! Memory: a decoded profile takes at most about sixteen times its plain bytes, whatever they are,
//! since every row of every table costs bytes on the wire. Limits are checked before the rows that
//! would break them are stored.

mod canonical;
mod decode;
mod encode;
mod error;
mod ids;
mod inflate;
mod name;

pub use canonical::{Canonical, canonical};
pub use decode::{Decoded, Decoder, ExecutableInfo, LoadSegment, Options, TRUNCATED_FRAME, decode};
pub use encode::{Heading, Rows, encode, encode_gzip, encode_stacks};
pub use error::Error;
pub use name::usual_name;
