//! A partial as a profile, for downloads.

use cairn_model::{Profile, ProfileType};
use cairn_trie::Partial;

/// What a profile says besides its stacks.
#[derive(Clone, Debug)]
pub struct Meta {
    pub profile_type: ProfileType,
    /// Nanoseconds since the epoch.
    pub time: i64,
    /// Nanoseconds.
    pub duration: i64,
    pub period: i64,
}

/// The same stacks, labels, links and values. Groups become labels of samples, those named
/// `trace_id` and `span_id` links.
pub fn profile(partial: &Partial, meta: &Meta) -> Profile {
    let _ = (partial, meta);
    unimplemented!("pprof")
}
