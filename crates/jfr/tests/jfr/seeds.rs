//! The fuzz target's inputs, run as an ordinary test.

use cairn_testkit::seeds::{self, STALE};

use crate::mutations;

#[path = "../../../../fuzz/checks/jfr_decode.rs"]
mod check;

const TARGET: &str = "jfr_decode";

#[test]
fn seeds_do_not_panic() {
    let accepted = seeds::accepted(TARGET, check::check);
    assert!(accepted >= 1, "no seed is a recording");
}

#[test]
fn generated_seeds_are_as_committed() {
    let bytes = mutations::small();
    let committed = seeds::committed(TARGET, "small.jfr", &bytes);
    assert!(committed == bytes, "small.jfr {STALE}");
}
