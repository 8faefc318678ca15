//! A symbol file, mapped or in memory, and the answers it gives.

use std::fmt;
use std::ops::Range;

use cairn_model::Addressing;

use crate::Error;
use crate::format::{self, DEPTH_MAX, HEAD_BYTES, Head, Location, NONE, Segment};

/// The names, files and lines of one binary, read where they lie. Nothing but the head is read on
/// opening; whatever the rest holds, no lookup fails, runs away or leaves the bytes.
pub struct SymbolFile {
    bytes: Box<dyn AsRef<[u8]> + Send + Sync>,
    head: Head,
}

/// How many addresses are put in order at a time.
const SORTED_MAX: usize = 1 << 20;

/// One call at an address.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    file: &'a SymbolFile,
    function: [u32; 4],
    source: u32,
    /// The line on which the function begins; 0 if unknown.
    pub start_line: u32,
    /// The line of this call; 0 if unknown.
    pub line: u32,
    /// The column of this call; 0 if unknown.
    pub column: u32,
    /// The call was inlined into the next frame.
    pub inlined: bool,
}

impl<'a> Frame<'a> {
    /// As people write it: demangled, without parameters.
    pub fn function(&self) -> &'a str {
        self.file.text(self.function[0], self.function[1])
    }

    /// As the linker knows it, without what the compiler appended.
    pub fn system_name(&self) -> &'a str {
        self.file.text(self.function[2], self.function[3])
    }

    /// Empty if unknown.
    pub fn file(&self) -> &'a str {
        let files = self.file.table::<8>(&self.file.head.files);
        match files.get(self.source as usize) {
            Some(row) => self.file.text(word(row, 0), word(row, 4)),
            None => "",
        }
    }
}

/// Why an address has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Miss {
    #[error("the uploaded file maps no code at this file offset")]
    NoSegment,
    #[error("the uploaded file names no function at this address")]
    NoFunction,
    #[error("the source map says nothing of this position")]
    NoPosition,
}

impl SymbolFile {
    /// Opens what [`crate::convert`] made: a vector, or a file that is mapped. The bytes are not
    /// trusted. Only the head is checked; [`Self::verify`] checks the rest.
    pub fn open(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self, Error> {
        let head = format::decode(bytes.as_ref())?;
        Ok(Self {
            bytes: Box::new(bytes),
            head,
        })
    }

    /// Whether the bytes are what was written, at the cost of reading them all. Who keeps a file
    /// for long asks once, when it arrives.
    pub fn verify(&self) -> Result<(), Error> {
        let body = self.slice(&(HEAD_BYTES..self.head.text.end));
        if crc32fast::hash(body) != self.head.body_crc {
            return Err(Error::Damaged("its checksum does not match"));
        }
        Ok(())
    }

    /// The calls active at an address, innermost first.
    pub fn lookup(&self, addressing: Addressing, address: u64) -> Result<Frames<'_>, Miss> {
        let address = self.virtual_address(addressing, address)?;
        self.frames(self.location_at(address))
    }

    /// What a position of generated text comes from, by a source map; both numbers from 1. The
    /// function is nameless unless the map has a name for what begins there.
    pub fn at_position(&self, line: u32, column: u32) -> Result<Frames<'_>, Miss> {
        let (line, column) = (line.checked_sub(1), column.checked_sub(1));
        let (Some(line), Some(column)) = (line, column) else {
            return Err(Miss::NoPosition);
        };
        let segments = self.segments();
        let at = segments.binary_search_by_key(&u64::from(line), |row| segment(row).offset);
        let segment = segment(&segments[at.map_err(|_| Miss::NoPosition)?]);
        let column = u64::from(column).min(segment.bytes.saturating_sub(1));
        let location = self.location_at(segment.address.wrapping_add(column));
        self.frames(location).map_err(|_| Miss::NoPosition)
    }

    /// Looks up many addresses, in any order, and hands each answer to `answer` with the position of
    /// its address. They are looked up in the order in which the file has them, several times faster
    /// than one by one in no order: what lies together is read together.
    pub fn lookup_all<'a>(
        &'a self,
        addressing: Addressing,
        addresses: &[u64],
        mut answer: impl FnMut(usize, Result<Frames<'a>, Miss>),
    ) {
        for (part, addresses) in addresses.chunks(SORTED_MAX).enumerate() {
            let first = part * SORTED_MAX;
            // Distance in the high half, position in the low one.
            let mut order: Vec<u64> = Vec::with_capacity(addresses.len());
            for (at, &address) in addresses.iter().enumerate() {
                let address = self.virtual_address(addressing, address);
                match address.map(|address| self.distance(address)) {
                    Err(miss) => answer(first + at, Err(miss)),
                    Ok(None) => answer(first + at, Err(Miss::NoFunction)),
                    Ok(Some(distance)) => order.push(u64::from(distance) << 32 | at as u64),
                }
            }
            order.sort_unstable();
            for entry in order {
                let location = self.location_behind((entry >> 32) as u32);
                answer(first + entry as u32 as usize, self.frames(location));
            }
        }
    }

    /// Turns an address into a virtual one, if the file says how.
    pub fn virtual_address(&self, addressing: Addressing, address: u64) -> Result<u64, Miss> {
        match addressing {
            Addressing::Virtual => Ok(address),
            Addressing::FileOffset => {
                let holds = |s: &Segment| address >= s.offset && address - s.offset < s.bytes;
                let mut segments = self.segments().iter().map(segment);
                let segment = segments.find(holds).ok_or(Miss::NoSegment)?;
                Ok(segment.address.wrapping_add(address - segment.offset))
            }
        }
    }

    /// Whether the file says where its code lies, so that file offsets can be looked up.
    pub fn has_segments(&self) -> bool {
        !self.head.segments.is_empty()
    }

    pub fn has_functions(&self) -> bool {
        !self.head.locations.is_empty()
    }

    /// Units of DWARF that could not be read.
    pub fn units_skipped(&self) -> u32 {
        self.head.lost.skipped
    }

    /// Units of DWARF whose functions are in a file that was not there.
    pub fn units_missing(&self) -> u32 {
        self.head.lost.missing
    }

    /// Bytes that this symbol file holds, in memory or mapped.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.head.text.end
    }

    fn segments(&self) -> &[[u8; 24]] {
        self.table::<24>(&self.head.segments)
    }

    fn location_at(&self, address: u64) -> Option<u32> {
        self.location_behind(self.distance(address)?)
    }

    /// From the start of the first range, if the file says anything of what lies so far.
    fn distance(&self, address: u64) -> Option<u32> {
        u32::try_from(address.checked_sub(self.head.base)?).ok()
    }

    fn location_behind(&self, distance: u32) -> Option<u32> {
        let directory = self.table::<4>(&self.head.directory);
        let bucket = (distance >> self.head.shift) as usize;
        // Behind the last entry there is nothing but what the last range says.
        let bucket = bucket.min(directory.len().checked_sub(2)?);
        let (first, last) = (word(&directory[bucket], 0), word(&directory[bucket + 1], 0));
        let ranges = self.table::<8>(&self.head.ranges);
        let some = ranges.get(first as usize..last as usize)?;
        let behind = some.partition_point(|row| word(row, 0) <= distance);
        let row = ranges.get((first as usize + behind).checked_sub(1)?)?;
        Some(word(row, 4))
    }

    fn frames(&self, location: Option<u32>) -> Result<Frames<'_>, Miss> {
        match location {
            None | Some(NONE) => Err(Miss::NoFunction),
            Some(location) => Ok(Frames {
                file: self,
                location,
                left: DEPTH_MAX + 1,
            }),
        }
    }

    fn location(&self, id: u32) -> Option<Location> {
        let row = self.table::<20>(&self.head.locations).get(id as usize)?;
        Some(Location {
            function: word(row, 0),
            file: word(row, 4),
            line: word(row, 8),
            parent: word(row, 12),
            column: u16::from_le_bytes([row[16], row[17]]),
            depth: u16::from_le_bytes([row[18], row[19]]),
        })
    }

    /// Rows of `N` bytes.
    fn table<const N: usize>(&self, place: &Range<usize>) -> &[[u8; N]] {
        self.slice(place).as_chunks::<N>().0
    }

    fn slice(&self, place: &Range<usize>) -> &[u8] {
        let bytes = (*self.bytes).as_ref();
        bytes.get(place.clone()).unwrap_or(&[])
    }

    fn text(&self, at: u32, bytes: u32) -> &str {
        let (at, bytes) = (at as usize, bytes as usize);
        let text = self
            .slice(&self.head.text)
            .get(at..at.saturating_add(bytes));
        std::str::from_utf8(text.unwrap_or(&[])).unwrap_or("")
    }
}

fn segment(row: &[u8; 24]) -> Segment {
    Segment {
        offset: long(row, 0),
        address: long(row, 8),
        bytes: long(row, 16),
    }
}

fn word(row: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]])
}

fn long(row: &[u8], at: usize) -> u64 {
    u64::from(word(row, at + 4)) << 32 | u64::from(word(row, at))
}

impl fmt::Debug for SymbolFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SymbolFile")
            .field("bytes", &self.head.text.end)
            .field("ranges", &(self.head.ranges.len() / 8))
            .field("functions", &(self.head.functions.len() / 20))
            .finish_non_exhaustive()
    }
}

/// The calls at one address, innermost first.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    file: &'a SymbolFile,
    location: u32,
    left: u32,
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
        self.left = self.left.checked_sub(1)?;
        let location = self.file.location(self.location)?;
        // Parents come first, so chains can't be circles.
        self.location = match location.parent < self.location {
            true => location.parent,
            false => NONE,
        };
        let functions = self.file.table::<20>(&self.file.head.functions);
        let row = functions.get(location.function as usize)?;
        Some(Frame {
            file: self.file,
            function: [0, 4, 8, 12].map(|at| word(row, at)),
            source: location.file,
            start_line: word(row, 16),
            line: location.line,
            column: u32::from(location.column),
            inlined: location.parent != NONE,
        })
    }
}
