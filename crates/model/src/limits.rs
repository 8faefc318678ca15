//! What one tenant may send and ask, at most.

/// Name of the frame that stands at the root of a stack cut to the limit.
pub const TRUNCATED_FRAME: &str = "[truncated]";

/// Every limit in one table. A limit that is reached is answered by name, never silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of one request as sent.
    pub request_bytes_max: usize,
    /// Bytes of one profile after inflating.
    pub profile_bytes_max: usize,
    /// Samples of one profile.
    pub samples_max: usize,
    /// Frames of one stack, inlined calls included.
    pub depth_max: usize,
    /// Labels of one profile.
    pub labels_max: usize,
    /// Labels of one sample.
    pub sample_labels_max: usize,
    /// Bytes of one label name.
    pub label_name_bytes_max: usize,
    /// Bytes of one label value.
    pub label_value_bytes_max: usize,
    /// Bytes of one string of a profile, such as a function's name.
    pub string_bytes_max: usize,
    /// Value columns of one profile.
    pub sample_types_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes_max: 64 << 20,
            profile_bytes_max: 256 << 20,
            samples_max: 2_000_000,
            depth_max: 2_048,
            labels_max: 128,
            sample_labels_max: 128,
            label_name_bytes_max: 1_024,
            label_value_bytes_max: 8_192,
            string_bytes_max: 1 << 20,
            sample_types_max: 64,
        }
    }
}
