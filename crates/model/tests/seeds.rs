//! The fuzz target's inputs, run as an ordinary test.

use std::path::Path;

#[path = "../../../fuzz/checks/model_selector.rs"]
mod check;

const SEEDS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../fuzz/seeds/model_selector"
);

#[test]
fn seeds_are_refused_or_print_as_what_parses_to_the_same() {
    let mut accepted = 0;
    for entry in Path::new(SEEDS).read_dir().expect("seeds are committed") {
        let path = entry.expect("seeds are readable").path();
        println!("{}", path.display());
        let raw = std::fs::read(&path).expect("seeds are readable");
        accepted += usize::from(check::check(&raw));
    }
    assert!(accepted >= 4, "only {accepted} seeds are valid selectors");
}
