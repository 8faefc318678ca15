//! The fuzz target's inputs, run as an ordinary test.

use cairn_testkit::seeds;

#[path = "../../../fuzz/checks/model_selector.rs"]
mod check;

#[test]
fn seeds_are_refused_or_print_as_what_parses_to_the_same() {
    let accepted = seeds::accepted("model_selector", check::check);
    assert!(accepted >= 4, "only {accepted} seeds are valid selectors");
}
