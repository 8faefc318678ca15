//! Places at which a test stops or crashes a node, by name. Nothing without the feature
//! `failpoints`.

pub const BEFORE_APPEND: &str = "catalog-before-append";
pub const AFTER_APPEND: &str = "catalog-after-append";
pub const BEFORE_APPLY: &str = "catalog-before-apply";
pub const AFTER_SNAPSHOT: &str = "catalog-after-snapshot";

/// All of them.
pub const ALL: [&str; 4] = [BEFORE_APPEND, AFTER_APPEND, BEFORE_APPLY, AFTER_SNAPSHOT];
