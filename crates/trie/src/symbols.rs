//! Plain tables behind a trie's frames: strings, functions, mappings, locations.
//!
//! Owns lookups by position only; finding the position of a given content is the interner's.

use std::hash::{BuildHasher, Hasher};

use cairn_model::{Function, Line, Location, Mapping, StrId, Strings};

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

    /// How much memory the tables take.
    pub fn bytes(&self) -> usize {
        let Self {
            strings,
            functions,
            mappings,
            locations,
            lines,
        } = self;
        strings.bytes()
            + functions.capacity() * size_of::<Function>()
            + mappings.capacity() * size_of::<Mapping>()
            + locations.capacity() * size_of::<Location>()
            + lines.capacity() * size_of::<Line>()
    }

    /// The calls at a location, innermost first; empty if it is not symbolized.
    pub fn lines(&self, location: u32) -> &[Line] {
        let (start, end) = self.locations[location as usize].lines;
        &self.lines[start as usize..end as usize]
    }
}

impl Symbols {
    /// Appends a location without looking for an equal one.
    pub(crate) fn push_location(
        &mut self,
        mapping: u32,
        address: u64,
        lines: impl IntoIterator<Item = Line>,
    ) -> u32 {
        let start = self.lines.len() as u32;
        self.lines.extend(lines);
        self.locations.push(Location {
            mapping,
            address,
            lines: (start, self.lines.len() as u32),
        });
        self.locations.len() as u32 - 1
    }
}

/// The function among other strings: `strings` says where each string went.
pub(crate) fn moved_function(row: &Function, strings: &[StrId]) -> Function {
    Function {
        name: strings[row.name as usize],
        system_name: strings[row.system_name as usize],
        file: strings[row.file as usize],
        start_line: row.start_line,
    }
}

/// The mapping among other strings.
pub(crate) fn moved_mapping(row: &Mapping, strings: &[StrId]) -> Mapping {
    Mapping {
        file: strings[row.file as usize],
        build_id: strings[row.build_id as usize],
        addressing: row.addressing,
    }
}

/// The line among other functions.
pub(crate) fn moved_line(row: &Line, functions: &[u32]) -> Line {
    Line {
        function: functions[row.function as usize],
        ..*row
    }
}

pub(crate) fn hash_str(text: &str) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    hasher.write(text.as_bytes());
    mix(hasher.finish(), text.len() as u64)
}

/// Folded multiply: both words reach every bit of the result.
#[inline]
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xc2b2_ae3d_27d4_eb4f | 1);
    (product as u64) ^ ((product >> 64) as u64) ^ a.rotate_left(23)
}

/// A hash as tables keep it beside a position.
#[inline]
pub(crate) fn tag_of(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

/// A table takes a place from the low bits and a mark from the high ones.
#[inline]
pub(crate) fn spread(tag: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(tag)
}
