//! The words Cairn thinks in: tenants, labels, profile types, time ranges, profiles.
//!
//! No I/O, no clock, no async. A type with an invariant has private fields and one constructor,
//! so whoever holds a value need not check it again.

#[macro_use]
mod serde_text;

mod block_id;
mod build_id;
mod builder;
mod code;
mod content_hash;
pub mod javascript;
mod labels;
mod limits;
mod own;
mod profile;
mod profile_type;
mod rest;
mod secret;
mod selector;
mod share_id;
mod stack_index;
mod stretch;
mod tenant;
mod time;
mod upload_id;
mod writer_id;

pub use block_id::BlockId;
pub use build_id::{BuildId, FileKind, InvalidBuildId};
pub use builder::{About, Described, ProfileBuilder};
pub use code::Code;
pub use content_hash::{ContentHash, InvalidContentHash};
pub use labels::{InvalidLabels, Labels};
pub use limits::{Excess, Limits, TRUNCATED_FRAME};
pub use own::own_tables;
pub use profile::{
    Addressing, Ask, Attr, AttrValue, Function, Line, Link, Location, Mapping, NONE, Point,
    Profile, Samples, Stacks, StrId, Strings, Tables, ValueType,
};
pub use profile_type::{InvalidProfileType, ProfileType};
pub use rest::Rest;
pub use secret::Secret;
pub use selector::{InvalidSelector, MatchOp, Matcher, Regexes, Selector};
pub use share_id::{InvalidShareId, ShareId};
pub use stack_index::StackIndex;
pub use stretch::Stretch;
pub use tenant::{InvalidTenant, TenantId};
pub use time::TimeRange;
pub use upload_id::{InvalidUploadId, UploadId};
pub use writer_id::{InvalidWriter, WriterId};
