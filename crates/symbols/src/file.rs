//! A symbol file in memory, and the answers it gives.

use std::fmt;

use cairn_model::Addressing;

use crate::Error;
use crate::format::{self, DEPTH_MAX, Function, Location, NONE, Raw, Segment};

/// The names, files and lines of one binary. Everything in it was checked on opening, so no
/// lookup can fail or run away.
pub struct SymbolFile {
    base: u64,
    units_skipped: u32,
    segments: Vec<Segment>,
    range_starts: Vec<u32>,
    range_locations: Vec<u32>,
    locations: Vec<Location>,
    functions: Vec<Names>,
    /// Where each string lies in `strings`.
    spans: Vec<Span>,
    strings: String,
}

#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

/// A function with its strings found: one look at memory less for each.
struct Names {
    name: Span,
    system_name: Span,
    start_line: u32,
}

/// One call at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// As people write it: demangled, without parameters.
    pub function: &'a str,
    /// As the linker knows it, without what the compiler appended.
    pub system_name: &'a str,
    /// Empty if unknown.
    pub file: &'a str,
    /// The line on which the function begins; 0 if unknown.
    pub start_line: u32,
    /// The line of this call; 0 if unknown.
    pub line: u32,
    /// The call was inlined into the next frame.
    pub inlined: bool,
}

/// Why an address has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Miss {
    #[error("the uploaded file maps no code at this file offset")]
    NoSegment,
    #[error("the uploaded file names no function at this address")]
    NoFunction,
}

impl SymbolFile {
    /// Opens what [`crate::convert`] made. The bytes are not trusted: they come from storage.
    pub fn open(bytes: &[u8]) -> Result<Self, Error> {
        let raw = format::decode(bytes)?;
        check_ranges(&raw)?;
        check_locations(&raw)?;
        let strings = check_strings(&raw)?;
        let starts = std::iter::once(0).chain(raw.string_ends.iter().copied());
        let spans = starts.zip(&raw.string_ends);
        let spans: Vec<Span> = spans.map(|(start, &end)| Span { start, end }).collect();
        let functions = raw.functions.iter().map(|function| Names {
            name: spans[function.name as usize],
            system_name: spans[function.system_name as usize],
            start_line: function.start_line,
        });
        Ok(Self {
            base: raw.base,
            units_skipped: raw.units_skipped,
            segments: raw.segments,
            range_starts: raw.range_starts,
            range_locations: raw.range_locations,
            locations: raw.locations,
            functions: functions.collect(),
            spans,
            strings,
        })
    }

    /// The calls active at an address, innermost first.
    pub fn lookup(&self, addressing: Addressing, address: u64) -> Result<Frames<'_>, Miss> {
        let address = self.virtual_address(addressing, address)?;
        self.frames(self.range_of(address))
    }

    /// Looks up many addresses, in the order given, and hands each answer to `answer` with its
    /// position. Sorted addresses are found several times faster than others.
    pub fn lookup_all<'a>(
        &'a self,
        addressing: Addressing,
        addresses: &[u64],
        mut answer: impl FnMut(usize, Result<Frames<'a>, Miss>),
    ) {
        let mut near = 0;
        for (at, &address) in addresses.iter().enumerate() {
            let found = self
                .virtual_address(addressing, address)
                .and_then(|address| {
                    let range = self.range_near(near, address);
                    near = range.unwrap_or(near);
                    self.frames(range)
                });
            answer(at, found);
        }
    }

    /// Turns an address into a virtual one, if the file says how.
    pub fn virtual_address(&self, addressing: Addressing, address: u64) -> Result<u64, Miss> {
        match addressing {
            Addressing::Virtual => Ok(address),
            Addressing::FileOffset => {
                let holds = |s: &&Segment| address >= s.offset && address - s.offset < s.bytes;
                let segment = self.segments.iter().find(holds).ok_or(Miss::NoSegment)?;
                Ok(segment.address.wrapping_add(address - segment.offset))
            }
        }
    }

    /// Whether the file says where its code lies, so that file offsets can be looked up.
    pub fn has_segments(&self) -> bool {
        !self.segments.is_empty()
    }

    pub fn has_functions(&self) -> bool {
        !self.locations.is_empty()
    }

    /// Units of DWARF that could not be read.
    pub fn units_skipped(&self) -> u32 {
        self.units_skipped
    }

    /// Bytes of memory that this symbol file holds.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.segments)
            + size_of_val(&*self.range_starts)
            + size_of_val(&*self.range_locations)
            + size_of_val(&*self.locations)
            + size_of_val(&*self.functions)
            + size_of_val(&*self.spans)
            + self.strings.len()
    }

    fn range_of(&self, address: u64) -> Option<usize> {
        let delta = u32::try_from(address.checked_sub(self.base)?).ok()?;
        self.range_starts
            .partition_point(|&start| start <= delta)
            .checked_sub(1)
    }

    /// As [`Self::range_of`], looking first behind a range that lies before the answer.
    fn range_near(&self, near: usize, address: u64) -> Option<usize> {
        let delta = u32::try_from(address.checked_sub(self.base)?).ok()?;
        let starts = &self.range_starts;
        if starts.get(near).is_none_or(|&start| start > delta) {
            return self.range_of(address);
        }
        let (mut low, mut step) = (near, 1);
        while starts.get(low + step).is_some_and(|&start| start <= delta) {
            low += step;
            step *= 2;
        }
        let high = (low + step).min(starts.len());
        Some(low + starts[low..high].partition_point(|&start| start <= delta) - 1)
    }

    fn frames(&self, range: Option<usize>) -> Result<Frames<'_>, Miss> {
        match range.map(|range| self.range_locations[range]) {
            None | Some(NONE) => Err(Miss::NoFunction),
            Some(location) => Ok(Frames {
                file: self,
                location,
            }),
        }
    }

    fn text(&self, span: Span) -> &str {
        &self.strings[span.start as usize..span.end as usize]
    }
}

impl fmt::Debug for SymbolFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SymbolFile")
            .field("ranges", &self.range_starts.len())
            .field("functions", &self.functions.len())
            .finish_non_exhaustive()
    }
}

/// The calls at one address, innermost first.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    file: &'a SymbolFile,
    location: u32,
}

impl Frames<'_> {
    /// Addresses with the same number, in the same symbol file, have the same frames.
    pub fn id(&self) -> u32 {
        self.location
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let location = *self.file.locations.get(self.location as usize)?;
        self.location = location.parent;
        let function = &self.file.functions[location.function as usize];
        Some(Frame {
            function: self.file.text(function.name),
            system_name: self.file.text(function.system_name),
            file: match location.file {
                NONE => "",
                file => self.file.text(self.file.spans[file as usize]),
            },
            start_line: function.start_line,
            line: location.line,
            inlined: location.parent != NONE,
        })
    }
}

fn check_ranges(raw: &Raw<'_>) -> Result<(), Error> {
    if !raw.range_starts.is_sorted_by(|a, b| a < b) {
        return Err(Error::Damaged("its ranges are not in order"));
    }
    let known = |&location: &u32| location == NONE || (location as usize) < raw.locations.len();
    if !raw.range_locations.iter().all(known) {
        return Err(Error::Damaged("a range names no location"));
    }
    Ok(())
}

fn check_locations(raw: &Raw<'_>) -> Result<(), Error> {
    let mut depths: Vec<u32> = Vec::with_capacity(raw.locations.len());
    let string = |id: u32| (id as usize) < raw.string_ends.len();
    for location in &raw.locations {
        let depth = match location.parent {
            NONE => 0,
            // Parents come first, so chains can't be circles.
            parent => match depths.get(parent as usize) {
                Some(&depth) if depth < DEPTH_MAX => depth + 1,
                _ => return Err(Error::Damaged("a location has no caller")),
            },
        };
        depths.push(depth);
        if location.function as usize >= raw.functions.len() {
            return Err(Error::Damaged("a location names no function"));
        }
        if location.file != NONE && !string(location.file) {
            return Err(Error::Damaged("a location names no file"));
        }
    }
    let named = |f: &Function| string(f.name) && string(f.system_name);
    if !raw.functions.iter().all(named) {
        return Err(Error::Damaged("a function has no name"));
    }
    Ok(())
}

fn check_strings(raw: &Raw<'_>) -> Result<String, Error> {
    let strings = std::str::from_utf8(raw.string_bytes)
        .map_err(|_| Error::Damaged("its strings are not text"))?;
    let mut start = 0;
    for &end in &raw.string_ends {
        if end < start || !strings.is_char_boundary(end as usize) {
            return Err(Error::Damaged("its strings overlap"));
        }
        start = end;
    }
    Ok(strings.to_owned())
}
