//! The fuzz targets' inputs, run as an ordinary test.

use cairn_symbols::{Companions, Limits, convert};
use cairn_testkit::seeds::{self, STALE};

#[path = "../../../fuzz/checks/symbols_convert.rs"]
mod check_convert;
#[path = "../../../fuzz/checks/symbols_open.rs"]
mod check_open;
#[path = "../../../fuzz/checks/symbols_source_map.rs"]
mod check_source_map;

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
fn source_maps_do_not_panic_and_what_is_written_opens() {
    let accepted = seeds::accepted("symbols_source_map", check_source_map::check);
    assert!(accepted >= 3, "only {accepted} seeds are source maps");
}

#[test]
fn generated_seeds_are_as_committed() {
    for name in ["tiny", "tinypp"] {
        // What is converted is compiled, not generated.
        let elf = seeds::read("symbols_convert", name);
        let bytes = convert(&elf, &Companions::default(), &Limits::default())
            .expect("the seed is an executable");
        assert_committed(name, &bytes);
        let cut = &bytes[..bytes.len() - 9];
        assert_committed(&format!("{name}-cut"), cut);
        assert_committed(&format!("{name}-circles"), &circles(bytes));
    }
}

fn assert_committed(name: &str, bytes: &[u8]) {
    let committed = seeds::committed("symbols_open", name, bytes);
    assert!(committed == bytes, "{name} {STALE}");
}

/// A symbol file in which many a number is its own position: calls that lead to themselves.
fn circles(mut bytes: Vec<u8>) -> Vec<u8> {
    const HEAD: usize = 72;
    for (position, row) in bytes[HEAD..].chunks_exact_mut(20).enumerate() {
        row[12..16].copy_from_slice(&(position as u32).to_le_bytes());
    }
    bytes
}
