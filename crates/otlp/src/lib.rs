//! OTLP profiles (v1development) bytes to profiles, whichever release of the protocol wrote them.
//! Pure functions over hostile input.
//!
//! Owns the format: its releases, its dictionary, its JSON form, and what a profile is called.
//! Does not inflate, answer, or decide whose a profile is.
//!
//! The releases 1.7 to 1.11 number their fields in four ways under one name; see [`Layout`] for how
//! they are told apart. The profiles that come out share tables, which hold the rows of the dictionary
//! that they use and no others.
//!
//! What a [`Profile`](cairn_model::Profile) has no place for is counted in [`Counts`], or not kept:
//! schemas' addresses are counted, entity references of resources, `has_*` flags of mappings,
//! `is_folded` of locations and the aggregation temporality of value types are not.
//!
//! Memory: the rows of all tables take at most about ten times the request. A small request can
//! still stand for much, by labels of scopes or stacks of release 1.7: all that comes out of one
//! request together is held to `profile_bytes_max`.

mod decode;
mod dictionary;
mod error;
mod json;
mod labels;
mod layout;
mod naming;
mod profile;
mod value;

pub use decode::{Counts, Decoded, PROFILES_MAX, Request, decode, decode_json};
pub use error::{Error, Refusal};
pub use layout::Layout;
pub use profile::TRUNCATED_FRAME;
