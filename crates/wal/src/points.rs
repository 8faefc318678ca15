//! Named places at which a test stops or crashes the process. There are none without the feature
//! `failpoints`.

/// A segment is about to be put.
pub const BEFORE_PUT: &str = "wal::before_put";
/// The segment is in the store; the lease has not been looked at.
pub const AFTER_PUT: &str = "wal::after_put";
/// The segment is in the store and the lease holds; nobody knows yet.
pub const AFTER_PUT_BEFORE_ACK: &str = "wal::after_put_before_ack";
/// A fence is about to be put.
pub const BEFORE_FENCE: &str = "wal::before_fence";
/// The fence is in the store; nobody knows yet.
pub const AFTER_FENCE: &str = "wal::after_fence";

/// All of them.
pub const ALL: [&str; 5] = [
    BEFORE_PUT,
    AFTER_PUT,
    AFTER_PUT_BEFORE_ACK,
    BEFORE_FENCE,
    AFTER_FENCE,
];

/// Passes such a place.
pub(crate) fn pass(_point: &'static str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(_point);
}
