//! Answers a query from one source.
//!
//! Owns which rows match and what they add up to; reading them is the block's business.

use cairn_block::{Head, Lsn};

use crate::query::{Query, Scanned};

/// Answers from the rows of a tail that came after `after`.
pub fn scan_head(head: &Head, after: Lsn, query: &Query) -> Scanned {
    let _ = (head, after, query);
    unimplemented!("scan")
}
