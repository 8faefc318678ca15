//! `llvm-symbolizer`, asked about many addresses.

use std::path::Path;
use std::process::Command;

use cairn_testkit::addresses::answers;

/// One call at an address, as either side sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// The calls at each address, innermost first.
pub(crate) fn chains(path: &Path, addresses: &[u64]) -> Vec<Vec<Call>> {
    let mut tool = Command::new("llvm-symbolizer");
    tool.args(["--functions=linkage", "--no-demangle", "--inlines"])
        .args(["--output-style=LLVM", "--obj"])
        .arg(path);
    let text = answers(&mut tool, addresses);
    let mut chains = vec![Vec::new()];
    let mut lines = text.lines();
    while let Some(name) = lines.next() {
        if name.is_empty() {
            chains.push(Vec::new());
            continue;
        }
        let place = lines.next().unwrap();
        let mut parts = place.rsplitn(3, ':');
        let mut number = || parts.next().unwrap().parse().unwrap();
        let (column, line) = (number(), number());
        let file = parts.next().unwrap();
        chains.last_mut().unwrap().push(Call {
            name: name.replace("??", ""),
            file: tidy(&file.replace("??", "")),
            line,
            column,
        });
    }
    chains.pop();
    assert_eq!(chains.len(), addresses.len());
    chains
}

/// One spelling of a path, as far as the standard library knows how.
fn tidy(path: &str) -> String {
    let mut parts = std::path::PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.to_string_lossy().into_owned()
}
