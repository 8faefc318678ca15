//! Code generated from proto/, and the only place where wire messages and domain types meet.
//!
//! Modules mirror packages: `parca.query.v1alpha1` is [`parca::query::v1alpha1`]. No service is
//! implemented here.

mod as_sent;
pub mod connect;
mod convert;
mod encoded_profile;
mod generated;
pub mod json;
mod status;
mod timeout;

pub use as_sent::AsSent;
pub use convert::{
    InvalidTimestamp, duration, labels_of_pairs, nanos, nanos_of_duration, pairs_of_labels,
    timestamp,
};
pub use encoded_profile::EncodedProfile;
pub use generated::{cairn, debuginfo, opentelemetry, parca, perftools, push, querier, types};
pub use status::{
    already_exists, code_of, connect_code, failed_precondition, grpc_code, http_status,
    public_text, status, status_with_id, unimplemented,
};
pub use timeout::grpc_timeout;

/// Every message and service of this crate, for gRPC reflection: an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
