//! Every section is a Parquet file to other programs too.

use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_block::{Block, write};
use futures::executor::block_on;

use crate::model::{head, options, read, sample_sent};

/// DuckDB in a Python environment of its own, made when it is missing.
fn python() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("other-readers");
    let requirements = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/requirements.txt");
    let python = folder.join("bin/python");
    let done = folder.join("requirements.txt");
    let wanted = std::fs::read(requirements).expect("requirements.txt is in the repository");
    if std::fs::read(&done).is_ok_and(|found| found == wanted) {
        return python;
    }
    let run = |command: &mut Command| {
        let status = command.status().expect("python3 is installed");
        assert!(status.success(), "{command:?} failed: {status}");
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(requirements));
    std::fs::write(&done, wanted).expect("the folder is writable");
    python
}

#[test]
fn duckdb_reads_every_section() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/open_with_duckdb.py");
    for level in [0, 1] {
        let built = write(&head(&sample_sent()), options(level)).expect("written");
        let path = folder.path().join(format!("{level}.cairn"));
        std::fs::write(&path, &built.bytes).expect("written");
        let block = Block::from_bytes(built.bytes).expect("opened");
        let (index, _, rows) = block_on(read(&block)).expect("read");
        let values: i128 = rows.values.iter().map(|value| i128::from(*value)).sum();
        let totals: i128 = index
            .profiles
            .iter()
            .map(|profile| i128::from(profile.total))
            .sum();
        let output = Command::new(python())
            .arg(script)
            .arg(&path)
            .output()
            .expect("python starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{errors}");
        let expected = format!("rows {} values {values} totals {totals}", rows.len());
        assert_eq!(text.lines().last(), Some(&*expected), "{text}");
    }
}
