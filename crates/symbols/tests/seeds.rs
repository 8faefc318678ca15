//! The fuzz targets' inputs, run as an ordinary test.

use cairn_symbols::{Limits, convert};
use cairn_testkit::seeds::{self, STALE};

#[path = "../../../fuzz/checks/symbols_convert.rs"]
mod check_convert;
#[path = "../../../fuzz/checks/symbols_open.rs"]
mod check_open;

#[test]
fn executables_do_not_panic_and_what_is_written_opens() {
    let accepted = seeds::accepted("symbols_convert", check_convert::check);
    assert!(accepted >= 3, "only {accepted} seeds are executables");
}

#[test]
fn symbol_files_do_not_panic() {
    let accepted = seeds::accepted("symbols_open", check_open::check);
    assert!(accepted >= 2, "only {accepted} seeds are symbol files");
}

#[test]
fn generated_seeds_are_as_committed() {
    for name in ["tiny", "tinypp"] {
        // What is converted is compiled, not generated.
        let elf = seeds::read("symbols_convert", name);
        let bytes = convert(&elf, &Limits::default()).expect("the seed is an executable");
        let committed = seeds::committed("symbols_open", name, &bytes);
        assert!(committed == bytes, "{name} {STALE}");
    }
}
