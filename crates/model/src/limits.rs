//! What one tenant may send and ask, at most.

/// Name of the frame that stands at the root of a stack cut to the limit.
pub const TRUNCATED_FRAME: &str = "[truncated]";

/// What becomes of a profile that has too many samples, or too deep stacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Excess {
    /// It keeps what fits, with its whole sum: a frame [`TRUNCATED_FRAME`] stands for the rest.
    #[default]
    Truncate,
    /// It is refused.
    Refuse,
}

/// Every limit in one table. A limit that is reached is answered by name, never silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of one request as sent.
    pub request_bytes_max: usize,
    /// Bytes of one profile after inflating.
    pub profile_bytes_max: usize,
    /// Samples of one profile; one more stands for those that are left out.
    pub samples_max: usize,
    /// Frames of one stack, inlined calls included.
    pub depth_max: usize,
    /// What becomes of more samples or frames than that.
    pub excess: Excess,
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
            excess: Excess::Truncate,
            labels_max: 128,
            sample_labels_max: 128,
            label_name_bytes_max: 1_024,
            label_value_bytes_max: 8_192,
            string_bytes_max: 1 << 20,
            sample_types_max: 64,
        }
    }
}
