//! One profile in memory: what every decoder produces and every encoder takes.
//!
//! Flat arrays, since one allocation per sample is what makes profile decoding slow. All indices
//! are positions in the tables of the same profile; decoders check them, so users need not.
//! Profiles of one request share their tables where the format does: to give each its own takes
//! longer than everything else.

use std::sync::Arc;

/// Position of a string in [`Strings`]. `0` is always the empty string.
pub type StrId = u32;

/// "No such thing" wherever a table position is optional.
pub const NONE: u32 = u32::MAX;

/// The strings of a profile, back to back in one arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strings {
    arena: String,
    ends: Vec<u32>,
}

impl Default for Strings {
    fn default() -> Self {
        Self {
            arena: String::new(),
            ends: vec![0],
        }
    }
}

impl Strings {
    pub fn with_capacity(strings: usize, bytes: usize) -> Self {
        let mut ends = Vec::with_capacity(strings + 1);
        ends.push(0);
        Self {
            arena: String::with_capacity(bytes),
            ends,
        }
    }

    /// Appends without looking for an equal one. The caller bounds the total to 4 GiB.
    pub fn push(&mut self, text: &str) -> StrId {
        self.arena.push_str(text);
        self.ends
            .push(u32::try_from(self.arena.len()).expect("callers bound the arena to 4 GiB"));
        self.ends.len() as u32 - 1
    }

    pub fn get(&self, id: StrId) -> &str {
        let start = match id {
            0 => 0,
            id => self.ends[id as usize - 1],
        };
        &self.arena[start as usize..self.ends[id as usize] as usize]
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.arena.is_empty()
    }

    /// Bytes of all texts.
    pub fn text_bytes(&self) -> usize {
        self.arena.len()
    }

    /// How much memory they take.
    pub fn bytes(&self) -> usize {
        self.arena.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len() as u32).map(|id| self.get(id))
    }
}

/// What a value column, or the period, counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueType {
    pub kind: StrId,
    pub unit: StrId,
}

/// How the addresses of a mapping's locations are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Addressing {
    /// Offsets into the file; the file's program headers turn them into virtual addresses.
    #[default]
    FileOffset,
    /// Virtual addresses of the ELF file.
    Virtual,
}

/// What the numbers of a question about names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ask {
    /// Of machine code.
    Addresses(Addressing),
    /// Of generated code, as [`crate::javascript::Position::address`] has them.
    Positions,
}

/// A binary. Where it was mapped is gone: addresses are normalised on decoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    pub file: StrId,
    /// As sent; `BuildId::parse` gives the one spelling.
    pub build_id: StrId,
    pub addressing: Addressing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Function {
    pub name: StrId,
    pub system_name: StrId,
    pub file: StrId,
    pub start_line: i64,
}

/// One call at a location; a location with several has inlined calls, innermost first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub function: u32,
    pub line: i64,
    pub column: i64,
}

/// An instruction. Without lines it is unnamed and (mapping, address) says what to symbolize.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Position in `mappings`, or [`NONE`].
    pub mapping: u32,
    pub address: u64,
    /// Range in `lines`.
    pub lines: (u32, u32),
}

/// A label of a single sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attr {
    pub key: StrId,
    pub value: AttrValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttrValue {
    Str(StrId),
    Num { value: i64, unit: StrId },
}

/// The request that a sample belongs to. An all-zero id is an absent one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
}

/// A part of a sample's value, and when it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point {
    /// Nanoseconds since the epoch.
    pub time: i64,
    pub value: i64,
}

/// Lists of locations, leaf first, back to back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stacks {
    /// Stack `i` is `locations[ends[i-1]..ends[i]]`.
    pub ends: Vec<u32>,
    pub locations: Vec<u32>,
}

impl Stacks {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Locations of a stack, leaf first.
    pub fn get(&self, stack: u32) -> &[u32] {
        &self.locations[span(&self.ends, stack as usize)]
    }

    /// Appends without looking for an equal one.
    pub fn push(&mut self, locations: &[u32]) -> u32 {
        self.locations.extend_from_slice(locations);
        self.end()
    }

    /// Makes a stack of the locations that were appended since the last one.
    pub fn end(&mut self) -> u32 {
        self.ends.push(self.locations.len() as u32);
        self.ends.len() as u32 - 1
    }
}

/// What samples refer to, directly or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    pub strings: Strings,
    pub functions: Vec<Function>,
    pub mappings: Vec<Mapping>,
    pub locations: Vec<Location>,
    pub lines: Vec<Line>,
    pub stacks: Stacks,
    pub links: Vec<Link>,
}

impl Tables {
    pub fn str(&self, id: StrId) -> &str {
        self.strings.get(id)
    }

    /// The calls at a location, innermost first.
    pub fn lines(&self, location: u32) -> &[Line] {
        let (start, end) = self.locations[location as usize].lines;
        &self.lines[start as usize..end as usize]
    }

    /// Appends the location of a frame of which only the name is known; does not look for an equal
    /// one.
    pub fn push_frame(&mut self, name: &str) -> u32 {
        let name = self.strings.push(name);
        self.functions.push(Function {
            name,
            ..Function::default()
        });
        self.lines.push(Line {
            function: self.functions.len() as u32 - 1,
            ..Line::default()
        });
        let line = self.lines.len() as u32;
        self.locations.push(Location {
            mapping: NONE,
            address: 0,
            lines: (line - 1, line),
        });
        self.locations.len() as u32 - 1
    }

    /// About how much memory they take.
    pub fn bytes(&self) -> usize {
        self.strings.bytes()
            + size_of_val(&self.functions[..])
            + size_of_val(&self.mappings[..])
            + size_of_val(&self.locations[..])
            + size_of_val(&self.lines[..])
            + size_of_val(&self.stacks.ends[..])
            + size_of_val(&self.stacks.locations[..])
            + size_of_val(&self.links[..])
    }
}

/// The samples of a profile, column by column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// Position of the stack per sample.
    pub stacks: Vec<u32>,
    /// Row-major: `types.len()` values per sample.
    pub values: Vec<i64>,
    /// Sample `i` has `attrs[attr_ends[i-1]..attr_ends[i]]`. Empty if no sample has any.
    pub attr_ends: Vec<u32>,
    pub attrs: Vec<Attr>,
    /// Position of the link per sample, or [`NONE`]. Empty if no sample has one.
    pub links: Vec<u32>,
    /// Like `attr_ends`, for `points`. Empty if no sample says when it was taken, and in profiles
    /// of several types.
    pub point_ends: Vec<u32>,
    /// The values of a sample's points add up to its value.
    pub points: Vec<Point>,
}

fn span(ends: &[u32], at: usize) -> std::ops::Range<usize> {
    let start = if at == 0 { 0 } else { ends[at - 1] };
    start as usize..ends[at] as usize
}

impl Samples {
    pub fn len(&self) -> usize {
        self.stacks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.stacks.is_empty()
    }

    pub fn attrs(&self, sample: usize) -> &[Attr] {
        if self.attr_ends.is_empty() {
            &[]
        } else {
            &self.attrs[span(&self.attr_ends, sample)]
        }
    }

    /// When parts of the sample's value were taken; empty if it does not say.
    pub fn points(&self, sample: usize) -> &[Point] {
        if self.point_ends.is_empty() {
            &[]
        } else {
            &self.points[span(&self.point_ends, sample)]
        }
    }

    /// Position of the link.
    pub fn link(&self, sample: usize) -> Option<u32> {
        self.links.get(sample).copied().filter(|link| *link != NONE)
    }

    /// About how much memory they take.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.stacks[..])
            + size_of_val(&self.values[..])
            + size_of_val(&self.attr_ends[..])
            + size_of_val(&self.attrs[..])
            + size_of_val(&self.links[..])
            + size_of_val(&self.point_ends[..])
            + size_of_val(&self.points[..])
    }
}

/// One decoded profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Start, nanoseconds since the epoch; `0` if the sender did not say.
    pub time: i64,
    /// Nanoseconds covered; `0` for snapshots.
    pub duration: i64,
    pub period_type: ValueType,
    pub period: i64,
    /// One per value column.
    pub types: Vec<ValueType>,
    pub tables: Arc<Tables>,
    pub samples: Samples,
}

impl Profile {
    pub fn str(&self, id: StrId) -> &str {
        self.tables.str(id)
    }

    /// The calls at a location, innermost first.
    pub fn lines(&self, location: u32) -> &[Line] {
        self.tables.lines(location)
    }

    /// Locations of a sample, leaf first.
    pub fn stack(&self, sample: usize) -> &[u32] {
        self.tables.stacks.get(self.samples.stacks[sample])
    }

    /// Values of one sample, one per type.
    pub fn values(&self, sample: usize) -> &[i64] {
        let n = self.types.len();
        &self.samples.values[sample * n..(sample + 1) * n]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_and_zero_is_empty() {
        let mut strings = Strings::default();
        let ids: Vec<StrId> = ["main", "", "größe"]
            .iter()
            .map(|s| strings.push(s))
            .collect();
        assert_eq!(ids, [1, 2, 3]);
        assert_eq!(
            strings.iter().collect::<Vec<_>>(),
            ["", "main", "", "größe"]
        );
    }
}
