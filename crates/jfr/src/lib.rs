//! JDK Flight Recorder files to [`cairn_model::Described`] profiles. Pure functions over hostile
//! input.
//!
//! Owns the format of chunks, and which events mean which profile: those of async-profiler and of
//! the JDK itself. Does not unwrap gzip or multipart bodies, and does not know whose a profile is.
//!
//! A chunk describes its own types, so everything is read by that description: fields are found by
//! name, what nobody asks for is passed over by its type. Constants stay bytes until an event
//! needs them.
//!
//! Not kept: the time of single events, byte code indices, classes of allocated objects and of
//! monitors, threads unless asked for.
//!
//! Memory: of samples beyond `samples_max` only the sum is kept; tables are bounded by named constants and by shares of `profile_bytes_max`; what is
//! put into profiles is charged to one budget of `profile_bytes_max` bytes, of which a frame of a
//! stack takes four.

mod attrs;
mod chunk;
mod decode;
mod error;
mod events;
mod kind;
mod labels;
mod metadata;
mod names;
mod pools;
mod profiles;
mod reader;
mod rows;
mod settings;
mod slot;
mod text;
mod types;

pub use decode::{Decoded, Options, TRUNCATED_FRAME, UNKNOWN_FRAME, UNKNOWN_TYPE, decode};
pub use error::Error;
pub use labels::{LabelsSnapshot, labels_snapshot};

type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::RandomState>;
