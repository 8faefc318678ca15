//! The fuzz target's inputs, run as an ordinary test.

use cairn_testkit::seeds::{self, STALE};

#[path = "../../../../fuzz/checks/otlp_decode.rs"]
mod check;

const TARGET: &str = "otlp_decode";

#[test]
fn seeds_do_not_panic() {
    let accepted = seeds::accepted(TARGET, check::check);
    assert!(accepted >= 5, "only {accepted} seeds are requests");
}

#[test]
fn generated_seeds_are_as_committed() {
    for (at, (_, bytes)) in crate::releases::all().into_iter().enumerate() {
        let name = format!("release-{at}.pb");
        let committed = seeds::committed(TARGET, &name, &bytes);
        assert!(committed == bytes, "{name} {STALE}");
    }
}
