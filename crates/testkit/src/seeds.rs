//! The seeds of fuzz targets, which tests run too. Knows where they are, not what they mean.

use std::path::{Path, PathBuf};

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds");

/// What to say of a generated seed that is not as it would be generated now.
pub const STALE: &str = "is stale: run this test with CAIRN_WRITE_SEEDS=1";

/// Gives every seed of a target to `check`; returns how many it accepted. The name of each is
/// printed first, so that a panic tells which one it was.
#[expect(
    clippy::print_stdout,
    reason = "tests show what they print when they fail"
)]
pub fn accepted(target: &str, mut check: impl FnMut(&[u8]) -> bool) -> usize {
    let mut paths: Vec<PathBuf> = Path::new(SEEDS)
        .join(target)
        .read_dir()
        .expect("seeds are committed")
        .map(|entry| entry.expect("seeds are readable").path())
        .collect();
    paths.sort();
    let accepted = paths.iter().filter(|path| {
        println!("{}", path.display());
        check(&std::fs::read(path).expect("seeds are readable"))
    });
    accepted.count()
}

/// A seed that was not generated.
pub fn read(target: &str, name: &str) -> Vec<u8> {
    std::fs::read(Path::new(SEEDS).join(target).join(name)).expect("seeds are committed")
}

/// A generated seed as it was committed; empty if it was not. If `CAIRN_WRITE_SEEDS` is set,
/// `generated` takes its place first.
pub fn committed(target: &str, name: &str, generated: &[u8]) -> Vec<u8> {
    let path = Path::new(SEEDS).join(target).join(name);
    if std::env::var_os("CAIRN_WRITE_SEEDS").is_some() {
        std::fs::write(&path, generated).expect("the seeds' folder is writable");
    }
    std::fs::read(&path).unwrap_or_default()
}
