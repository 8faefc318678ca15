//! Plain tables behind a trie's frames: strings, functions, mappings, locations.
//!
//! Owns lookups by position only; finding the position of a given content is the interner's.

use std::hash::{BuildHasher, Hasher};

use cairn_model::{Function, Line, Location, Mapping, NONE, StrId, Strings};

/// Strings by position, as [`Strings`], under the name this crate's users know.
pub type StringTable = Strings;

/// The tables that locations resolve through. String `0` is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    pub strings: StringTable,
    pub functions: Vec<Function>,
    pub mappings: Vec<Mapping>,
    pub locations: Vec<Location>,
    pub lines: Vec<Line>,
}

impl Symbols {
    pub fn str(&self, id: StrId) -> &str {
        self.strings.get(id)
    }

    /// The calls at a location, innermost first; empty if it is not symbolized.
    pub fn lines(&self, location: u32) -> &[Line] {
        let (start, end) = self.locations[location as usize].lines;
        &self.lines[start as usize..end as usize]
    }

    /// A hash of what each location says, equal for equal content in any table.
    ///
    /// Computed when a table is opened and never stored, so it may change between versions.
    pub fn location_hashes(&self) -> Vec<u64> {
        let strings: Vec<u64> = self.strings.iter().map(hash_str).collect();
        let functions: Vec<u64> = self
            .functions
            .iter()
            .map(|f| hash_function(f, &strings))
            .collect();
        let mappings: Vec<u64> = self
            .mappings
            .iter()
            .map(|m| hash_mapping(m, &strings))
            .collect();
        let hash = |at: usize| {
            let Location {
                mapping, address, ..
            } = self.locations[at];
            let mapping = if mapping == NONE {
                0
            } else {
                mappings[mapping as usize]
            };
            let mut hash = mix(mapping, address);
            for line in self.lines(at as u32) {
                hash = mix(hash, functions[line.function as usize]);
                hash = mix(
                    hash,
                    (line.line as u64) ^ (line.column as u64).rotate_left(32),
                );
            }
            hash
        };
        (0..self.locations.len()).map(hash).collect()
    }
}

pub(crate) fn hash_str(text: &str) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    hasher.write(text.as_bytes());
    mix(hasher.finish(), text.len() as u64)
}

pub(crate) fn hash_function(function: &Function, strings: &[u64]) -> u64 {
    let Function {
        name,
        system_name,
        file,
        start_line,
    } = *function;
    let names = mix(strings[name as usize], strings[system_name as usize]);
    mix(mix(names, strings[file as usize]), start_line as u64)
}

pub(crate) fn hash_mapping(mapping: &Mapping, strings: &[u64]) -> u64 {
    let Mapping {
        file,
        build_id,
        addressing,
    } = *mapping;
    mix(
        mix(strings[file as usize], strings[build_id as usize]),
        addressing as u64 + 1,
    )
}

/// Folded multiply: both words reach every bit of the result.
#[inline]
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xc2b2_ae3d_27d4_eb4f | 1);
    (product as u64) ^ ((product >> 64) as u64) ^ a.rotate_left(23)
}
