//! What every source file and document keeps to.

use std::path::{Path, PathBuf};

use crate::Complaint;

/// Lines of a source file before its tests.
const LINES_MAX: usize = 500;

/// Folders that hold no text of ours.
const SKIPPED: [&str; 6] = ["target", "node_modules", ".git", "dist", "corpus", "data"];

/// Length, module docs and unfinished marks of every Rust file under `root`.
pub fn sources(root: &Path) -> anyhow::Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for path in files(root, "rs")? {
        let text = std::fs::read_to_string(&path)?;
        let mut complain = |rule, instead: String| {
            complaints.push(Complaint {
                place: path.display().to_string(),
                rule,
                instead,
            });
        };
        let lines = text
            .lines()
            .position(|line| line.starts_with("#[cfg(test)]"))
            .unwrap_or(text.lines().count());
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests")
            || path
                .components()
                .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "benches")));
        if lines > LINES_MAX && !is_test {
            complain(
                "a file has at most 500 lines besides its tests",
                format!("split these {lines} lines by subject"),
            );
        }
        if !text.starts_with("//!") && !text.starts_with("#!") && !is_test {
            complain(
                "a module starts with `//!`",
                "say what it owns and what it leaves to others".into(),
            );
        }
        if path.ends_with("mod.rs") {
            complain(
                "modules are foo.rs beside foo/",
                "rename mod.rs after its folder".into(),
            );
        }
        // Spelled apart so that this line is not its own complaint.
        if let Some(line) = text.lines().position(|line| {
            line.contains(concat!("TO", "DO")) || line.contains(concat!("FIX", "ME"))
        }) {
            complain(
                "nothing is left to do in comments",
                format!("line {}: do it, or leave it out", line + 1),
            );
        }
    }
    Ok(complaints)
}

/// Relative links of every Markdown file under `root`.
pub fn links(root: &Path) -> anyhow::Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for path in files(root, "md")? {
        let text = std::fs::read_to_string(&path)?;
        let folder = path.parent().expect("a file is in a folder");
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = target.split('#').next().unwrap_or(target);
            let relative = !target.is_empty() && !target.contains(':') && !target.contains(' ');
            if relative && !folder.join(target).exists() {
                complaints.push(Complaint {
                    place: path.display().to_string(),
                    rule: "links lead somewhere",
                    instead: format!("{target} does not exist"),
                });
            }
        }
    }
    Ok(complaints)
}

fn files(root: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if path.is_dir() && !SKIPPED.contains(&name) && !path.is_symlink() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
