//! The fuzz targets' inputs, run as an ordinary test.

use std::path::Path;

use cairn_symbols::{Limits, convert};

#[path = "../../../fuzz/checks/symbols_convert.rs"]
mod check_convert;
#[path = "../../../fuzz/checks/symbols_open.rs"]
mod check_open;

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds");

/// How many of a target's seeds it accepts.
fn accepted(target: &str, check: fn(&[u8]) -> bool) -> usize {
    let folder = Path::new(SEEDS).join(target);
    let entries = folder.read_dir().expect("seeds are committed");
    let check_entry = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("seeds are readable").path();
        println!("{}", path.display());
        check(&std::fs::read(&path).expect("seeds are readable"))
    };
    entries
        .map(check_entry)
        .filter(|accepted| *accepted)
        .count()
}

#[test]
fn executables_do_not_panic_and_what_is_written_opens() {
    let accepted = accepted("symbols_convert", check_convert::check);
    assert!(accepted >= 3, "only {accepted} seeds are executables");
}

#[test]
fn symbol_files_do_not_panic() {
    let accepted = accepted("symbols_open", check_open::check);
    assert!(accepted >= 2, "only {accepted} seeds are symbol files");
}

/// Writes the generated seeds again if `CAIRN_WRITE_SEEDS` is set; otherwise says if they are stale.
#[test]
fn generated_seeds_are_as_committed() {
    for name in ["tiny", "tinypp"] {
        let elf = std::fs::read(Path::new(SEEDS).join("symbols_convert").join(name));
        let elf = elf.expect("seeds are readable");
        let bytes = convert(&elf, &Limits::default()).expect("the seed is an executable");
        let path = Path::new(SEEDS).join("symbols_open").join(name);
        if std::env::var_os("CAIRN_WRITE_SEEDS").is_some() {
            std::fs::write(&path, &bytes).expect("the seeds' folder is writable");
        }
        let committed = std::fs::read(&path).unwrap_or_default();
        assert!(
            committed == bytes,
            "{name} is stale: run this test with CAIRN_WRITE_SEEDS=1"
        );
    }
}
