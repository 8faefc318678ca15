//! Named places at which a test stops or crashes an ingester, beside those of its log and its
//! catalog. There are none without the feature `failpoints`.

/// Blocks are in the store; the catalog does not know them.
pub const BEFORE_COMMIT: &str = "ingester::before_commit";
/// The catalog knows the blocks; the tail does not know that.
pub const AFTER_COMMIT: &str = "ingester::after_commit";
/// Blocks of another's log are in the store; the catalog does not know them.
pub const BEFORE_RECOVER: &str = "ingester::before_recover";

/// All of them.
pub const ALL: [&str; 3] = [BEFORE_COMMIT, AFTER_COMMIT, BEFORE_RECOVER];

/// Passes such a place.
pub(crate) fn pass(_point: &'static str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(_point);
}

/// Whether a test has put this bug in.
#[cfg(feature = "failpoints")]
pub(crate) fn has_bug(bug: &'static str) -> bool {
    fail::fail_point!(bug, |_| true);
    false
}
