//! The fuzz target's inputs, run as an ordinary test.

use cairn_testkit::seeds;

#[path = "../../../../fuzz/checks/formats_decode.rs"]
mod check;

#[test]
fn seeds_do_not_panic() {
    let accepted = seeds::accepted("formats_decode", check::check);
    assert!(accepted >= 7, "only {accepted} seeds are of their format");
}
