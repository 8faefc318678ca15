//! The fuzz targets' inputs, run as an ordinary test.

use std::path::Path;

use cairn_symbols::{Limits, convert};

#[path = "../../../fuzz/checks/symbols_convert.rs"]
mod check_convert;
#[path = "../../../fuzz/checks/symbols_open.rs"]
mod check_open;

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds");

/// A target's seeds with their names.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(SEEDS).join(target);
    let entries = folder.read_dir().expect("seeds are committed");
    let seed = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("seeds are readable").path();
        let bytes = std::fs::read(&path).expect("seeds are readable");
        (path.display().to_string(), bytes)
    };
    entries.map(seed).collect()
}

#[test]
fn executables_do_not_panic_and_what_is_written_opens() {
    let mut accepted = 0;
    for (name, raw) in seeds("symbols_convert") {
        println!("{name}");
        accepted += usize::from(check_convert::check(&raw));
    }
    assert!(accepted >= 3, "only {accepted} seeds are executables");
}

#[test]
fn symbol_files_do_not_panic() {
    let mut accepted = 0;
    for (name, raw) in seeds("symbols_open") {
        println!("{name}");
        accepted += usize::from(check_open::check(&raw));
    }
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
