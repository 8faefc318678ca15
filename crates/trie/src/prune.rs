//! Cuts a trie and its tables down to what values need.
//!
//! Copies by position and compares nothing: what was in canonical order stays so.

use cairn_model::{NONE, StrId};

use crate::partial::{Group, Partial, Value};
use crate::symbols::{Symbols, moved_function, moved_line, moved_mapping};
use crate::trie::Trie;

impl Partial {
    /// The part of `trie` and `symbols` that `values` need. The values are those of a
    /// [`Partial`] already, but for zeros, which are dropped together with what only they need.
    pub fn pruned(
        symbols: &Symbols,
        trie: &Trie,
        groups: Vec<Group>,
        mut values: Vec<Value>,
    ) -> Self {
        values.retain(|value| value.value != 0);
        let mut used = vec![false; trie.len()];
        used[0] = true;
        for value in &values {
            used[value.node as usize] = true;
        }
        let (parents, frames) = (trie.parents(), trie.frames());
        for node in (1..trie.len()).rev() {
            if used[node] {
                used[parents[node] as usize] = true;
            }
        }
        let mut is_location_used = vec![false; symbols.locations.len()];
        let mut count = 1;
        for node in (1..trie.len()).filter(|node| used[*node]) {
            is_location_used[frames[node] as usize] = true;
            count += 1;
        }
        let (symbols, locations) = subset(symbols, &is_location_used);
        let mut new = Trie::with_capacity(count);
        let mut nodes = vec![NONE; trie.len()];
        nodes[0] = Trie::ROOT;
        for node in (1..trie.len()).filter(|node| used[*node]) {
            let frame = locations[frames[node] as usize];
            nodes[node] = new.push(nodes[parents[node] as usize], frame);
        }
        for value in &mut values {
            value.node = nodes[value.node as usize];
        }
        Self {
            symbols,
            trie: new,
            groups,
            values,
        }
    }
}

/// What the used locations need, in the order it was in, and where each location is there.
fn subset(from: &Symbols, is_used: &[bool]) -> (Symbols, Vec<u32>) {
    let used = |at: &usize| is_used[*at];
    let mut strings = vec![false; from.strings.len()];
    let mut functions = vec![false; from.functions.len()];
    let mut mappings = vec![false; from.mappings.len()];
    for at in (0..from.locations.len()).filter(used) {
        if let Some(is_used) = mappings.get_mut(from.locations[at].mapping as usize) {
            *is_used = true;
        }
        for line in from.lines(at as u32) {
            functions[line.function as usize] = true;
        }
    }
    for (row, _) in kept(&from.functions, &functions) {
        for id in [row.name, row.system_name, row.file] {
            strings[id as usize] = true;
        }
    }
    for (row, _) in kept(&from.mappings, &mappings) {
        strings[row.file as usize] = true;
        strings[row.build_id as usize] = true;
    }
    let mut to = Symbols::default();
    let mut strings_to = vec![0; strings.len()];
    for at in (1..strings.len()).filter(|at| strings[*at]) {
        strings_to[at] = to.strings.push(from.str(at as StrId));
    }
    let mut functions_to = vec![NONE; functions.len()];
    for (row, at) in kept(&from.functions, &functions) {
        functions_to[at] = to.functions.len() as u32;
        to.functions.push(moved_function(row, &strings_to));
    }
    let mut mappings_to = vec![NONE; mappings.len()];
    for (row, at) in kept(&from.mappings, &mappings) {
        mappings_to[at] = to.mappings.len() as u32;
        to.mappings.push(moved_mapping(row, &strings_to));
    }
    let mut locations_to = vec![NONE; is_used.len()];
    for at in (0..from.locations.len()).filter(used) {
        let row = &from.locations[at];
        let mapping = mappings_to.get(row.mapping as usize);
        let lines = from.lines(at as u32).iter();
        locations_to[at] = to.push_location(
            mapping.copied().unwrap_or(NONE),
            row.address,
            lines.map(|line| moved_line(line, &functions_to)),
        );
    }
    (to, locations_to)
}

fn kept<'a, T>(rows: &'a [T], is_used: &'a [bool]) -> impl Iterator<Item = (&'a T, usize)> {
    let rows = rows.iter().enumerate().zip(is_used);
    rows.filter_map(|((at, row), is_used)| is_used.then_some((row, at)))
}
