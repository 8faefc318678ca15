//! Named places at which a test stops or crashes a compactor. There are none without the feature
//! `failpoints`.

/// A merged block is in the store; the catalog does not know it.
pub const BEFORE_REPLACE: &str = "compactor::before_replace";
/// The catalog has swapped the blocks; nobody has been told.
pub const AFTER_REPLACE: &str = "compactor::after_replace";

/// All of them.
pub const ALL: [&str; 2] = [BEFORE_REPLACE, AFTER_REPLACE];

/// Passes such a place.
pub(crate) fn pass(_point: &'static str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(_point);
}
