//! What the lines of a source file cost.

use std::collections::BTreeMap;

use cairn_model::{NONE, StrId};
use cairn_trie::{Partial, Symbols};
use hashbrown::HashMap;

/// One line of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// Of the partial's symbols.
    pub file: StrId,
    /// `0` collects what has no line.
    pub line: i64,
    /// Value of the stacks in which the line is: once each, however often it is there.
    pub cumulative: i64,
    /// Value of the stacks that end there.
    pub flat: i64,
}

/// The lines of files that are called `file` or end in `/file`, in binaries with this build id, or
/// in any if it is empty; by file and line.
pub fn source_lines(partial: &Partial, build_id: &str, file: &str) -> Vec<SourceLine> {
    let symbols = &partial.symbols;
    let mut lines: Vec<SourceLine> = Vec::new();
    let of_location = of_locations(symbols, build_id, file, &mut lines);
    // The value that counted a line last.
    let mut counted = vec![NONE; lines.len()];
    for (at, value) in partial.values.iter().enumerate() {
        for (depth, location) in partial.trie.stack(value.node).enumerate() {
            for (line, is_innermost) in &of_location[location as usize] {
                let sums = &mut lines[*line as usize];
                if depth == 0 && *is_innermost {
                    sums.flat = sums.flat.wrapping_add(value.value);
                }
                if std::mem::replace(&mut counted[*line as usize], at as u32) != at as u32 {
                    sums.cumulative = sums.cumulative.wrapping_add(value.value);
                }
            }
        }
    }
    lines.retain(|line| (line.cumulative, line.flat) != (0, 0));
    lines.sort_unstable_by_key(|line| (symbols.str(line.file), line.line));
    lines
}

/// Per location the lines that are wanted, each with whether it is that of the innermost call.
fn of_locations(
    symbols: &Symbols,
    build_id: &str,
    file: &str,
    lines: &mut Vec<SourceLine>,
) -> Vec<Vec<(u32, bool)>> {
    let mut known: HashMap<(StrId, i64), u32, foldhash::fast::RandomState> = HashMap::default();
    let mut wanted: BTreeMap<StrId, bool> = BTreeMap::new();
    let mut out = vec![Vec::new(); symbols.locations.len()];
    for (id, location) in symbols.locations.iter().enumerate() {
        let found = match location.mapping {
            NONE => "",
            mapping => symbols.str(symbols.mappings[mapping as usize].build_id),
        };
        if !build_id.is_empty() && found != build_id {
            continue;
        }
        for (at, line) in symbols.lines(id as u32).iter().enumerate() {
            let of = symbols.functions[line.function as usize].file;
            let is_wanted = *wanted
                .entry(of)
                .or_insert_with(|| is_file(symbols.str(of), file));
            if !is_wanted {
                continue;
            }
            let next = lines.len() as u32;
            let number = *known.entry((of, line.line)).or_insert(next);
            if number == next {
                lines.push(SourceLine {
                    file: of,
                    line: line.line,
                    cumulative: 0,
                    flat: 0,
                });
            }
            out[id].push((number, at == 0));
        }
    }
    out
}

/// Whether `path` is this file, of which the leading folders may be left out.
fn is_file(path: &str, file: &str) -> bool {
    !file.is_empty()
        && path.strip_suffix(file).is_some_and(|before| {
            before.is_empty() || before.ends_with('/') || file.starts_with('/')
        })
}
