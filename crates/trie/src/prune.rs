//! Cuts a trie and its tables down to what values need.
//!
//! Copies by position and compares nothing: tables without repeats stay without repeats.

use cairn_model::{Function, Line, Location, Mapping, NONE, StrId};

use crate::partial::{Group, Partial, Value};
use crate::symbols::Symbols;
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
        let count = used.iter().filter(|used| **used).count();
        let mut subset = Subset::new(symbols);
        let mut new = Trie::with_capacity(count);
        let mut nodes = vec![NONE; trie.len()];
        nodes[0] = Trie::ROOT;
        for node in (1..trie.len()).filter(|node| used[*node]) {
            let frame = subset.location(frames[node]);
            nodes[node] = new.push(nodes[parents[node] as usize], frame);
        }
        for value in &mut values {
            value.node = nodes[value.node as usize];
        }
        Self {
            symbols: subset.symbols,
            trie: new,
            groups,
            values,
        }
    }
}

/// Tables that hold what was asked for, in the order it was asked for.
struct Subset<'a> {
    from: &'a Symbols,
    symbols: Symbols,
    strings: Vec<u32>,
    functions: Vec<u32>,
    mappings: Vec<u32>,
    locations: Vec<u32>,
}

impl<'a> Subset<'a> {
    fn new(from: &'a Symbols) -> Self {
        let mut strings = vec![NONE; from.strings.len()];
        strings[0] = 0;
        Self {
            from,
            symbols: Symbols::default(),
            strings,
            functions: vec![NONE; from.functions.len()],
            mappings: vec![NONE; from.mappings.len()],
            locations: vec![NONE; from.locations.len()],
        }
    }

    fn location(&mut self, id: u32) -> u32 {
        let known = self.locations[id as usize];
        if known != NONE {
            return known;
        }
        let Location {
            mapping,
            address,
            lines: _,
        } = self.from.locations[id as usize];
        let mapping = if mapping == NONE {
            NONE
        } else {
            self.mapping(mapping)
        };
        let from = self.from;
        let start = self.symbols.lines.len() as u32;
        for line in from.lines(id) {
            let function = self.function(line.function);
            self.symbols.lines.push(Line { function, ..*line });
        }
        let lines = (start, self.symbols.lines.len() as u32);
        let new = self.symbols.locations.len() as u32;
        self.symbols.locations.push(Location {
            mapping,
            address,
            lines,
        });
        self.locations[id as usize] = new;
        new
    }

    fn function(&mut self, id: u32) -> u32 {
        if self.functions[id as usize] == NONE {
            let Function {
                name,
                system_name,
                file,
                start_line,
            } = self.from.functions[id as usize];
            let new = Function {
                name: self.str(name),
                system_name: self.str(system_name),
                file: self.str(file),
                start_line,
            };
            self.functions[id as usize] = self.symbols.functions.len() as u32;
            self.symbols.functions.push(new);
        }
        self.functions[id as usize]
    }

    fn mapping(&mut self, id: u32) -> u32 {
        if self.mappings[id as usize] == NONE {
            let Mapping {
                file,
                build_id,
                addressing,
            } = self.from.mappings[id as usize];
            let new = Mapping {
                file: self.str(file),
                build_id: self.str(build_id),
                addressing,
            };
            self.mappings[id as usize] = self.symbols.mappings.len() as u32;
            self.symbols.mappings.push(new);
        }
        self.mappings[id as usize]
    }

    fn str(&mut self, id: StrId) -> StrId {
        if self.strings[id as usize] == NONE {
            self.strings[id as usize] = self.symbols.strings.push(self.from.str(id));
        }
        self.strings[id as usize]
    }
}
