//! The bytes of a symbol file, version 1. All numbers are little-endian.
//!
//! ```text
//! magic "CAIRNSYM", version u32, CRC-32 u32 of everything that follows
//! base u64, units skipped u32, counts u32: segments, ranges, locations, functions, strings; string bytes u32
//! segments   (file offset u64, address u64, bytes u64)
//! ranges     (start - base u32, location u32), by start; each lasts to the next
//! locations  (function u32, file string u32, line u32, parent location u32), parents first
//! functions  (name string u32, system name string u32, start line u32)
//! strings    end u32 of each, then their bytes
//! ```
//!
//! Only sizes and positions are checked here; who reads the tables is [`crate::SymbolFile`].

use crate::Error;

/// Any change to the layout or to what conversion puts in raises it.
pub const VERSION: u32 = 1;

/// "No such thing" wherever a position is optional.
pub(crate) const NONE: u32 = u32::MAX;

/// Inlined calls at one address.
pub(crate) const DEPTH_MAX: u32 = 512;

const MAGIC: [u8; 8] = *b"CAIRNSYM";

/// A part of the file that is mapped as code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Location {
    pub(crate) function: u32,
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) parent: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: u32,
    pub(crate) system_name: u32,
    pub(crate) start_line: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) base: u64,
    pub(crate) ranges: Vec<(u32, u32)>,
    pub(crate) locations: Vec<Location>,
    pub(crate) functions: Vec<Function>,
    pub(crate) strings: Vec<String>,
}

/// The tables as they were written, unchecked.
pub(crate) struct Raw<'a> {
    pub(crate) base: u64,
    pub(crate) units_skipped: u32,
    pub(crate) segments: Vec<Segment>,
    pub(crate) range_starts: Vec<u32>,
    pub(crate) range_locations: Vec<u32>,
    pub(crate) locations: Vec<Location>,
    pub(crate) functions: Vec<Function>,
    pub(crate) string_ends: Vec<u32>,
    pub(crate) string_bytes: &'a [u8],
}

pub(crate) fn encode(tables: &Tables, segments: &[Segment], units_skipped: u32) -> Vec<u8> {
    let mut body = Vec::new();
    let mut word = |value: u32| body.extend_from_slice(&value.to_le_bytes());
    let count = |len: usize| u32::try_from(len).expect("limits keep tables below 4 G entries");
    word(tables.base as u32);
    word((tables.base >> 32) as u32);
    word(units_skipped);
    word(count(segments.len()));
    word(count(tables.ranges.len()));
    word(count(tables.locations.len()));
    word(count(tables.functions.len()));
    word(count(tables.strings.len()));
    word(count(tables.strings.iter().map(String::len).sum()));
    for segment in segments {
        for value in [segment.offset, segment.address, segment.bytes] {
            word(value as u32);
            word((value >> 32) as u32);
        }
    }
    for &(start, location) in &tables.ranges {
        word(start);
        word(location);
    }
    for location in &tables.locations {
        word(location.function);
        word(location.file);
        word(location.line);
        word(location.parent);
    }
    for function in &tables.functions {
        word(function.name);
        word(function.system_name);
        word(function.start_line);
    }
    let mut end = 0;
    for string in &tables.strings {
        end += string.len();
        word(count(end));
    }
    for string in &tables.strings {
        body.extend_from_slice(string.as_bytes());
    }
    let mut file = Vec::with_capacity(body.len() + 16);
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    file.append(&mut body);
    file
}

pub(crate) fn decode(file: &[u8]) -> Result<Raw<'_>, Error> {
    let mut head = Words(file);
    let magic = head.bytes(MAGIC.len())?;
    if magic != MAGIC {
        return Err(Error::Damaged("it does not begin with its mark"));
    }
    let (version, crc) = (head.word()?, head.word()?);
    if version != VERSION {
        return Err(Error::Version {
            found: version,
            want: VERSION,
        });
    }
    let mut body = head;
    if crc32fast::hash(body.0) != crc {
        return Err(Error::Damaged("its checksum does not match"));
    }
    let base = body.long()?;
    let units_skipped = body.word()?;
    let mut count = || body.word().map(|count| count as usize);
    let (segments, ranges, locations) = (count()?, count()?, count()?);
    let (functions, strings, string_bytes) = (count()?, count()?, count()?);

    // Each table is cut from the file before it is copied, so a false count allocates nothing.
    let segments = body.table::<6>(segments)?;
    let segments = segments.map(|w| Segment {
        offset: long(w[0], w[1]),
        address: long(w[2], w[3]),
        bytes: long(w[4], w[5]),
    });
    let segments = segments.collect();
    let (range_starts, range_locations) = body.table(ranges)?.map(|[s, l]| (s, l)).unzip();
    let locations = body.table(locations)?;
    let locations = locations.map(|[function, file, line, parent]| Location {
        function,
        file,
        line,
        parent,
    });
    let locations = locations.collect();
    let functions = body.table(functions)?;
    let functions = functions.map(|[name, system_name, start_line]| Function {
        name,
        system_name,
        start_line,
    });
    let functions = functions.collect();
    let string_ends = body.table(strings)?.map(|[end]| end).collect();
    let string_bytes = body.bytes(string_bytes)?;
    if !body.0.is_empty() {
        return Err(Error::Damaged("bytes follow its last table"));
    }
    Ok(Raw {
        base,
        units_skipped,
        segments,
        range_starts,
        range_locations,
        locations,
        functions,
        string_ends,
        string_bytes,
    })
}

fn long(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// What is left to read.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(Error::Damaged("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn word(&mut self) -> Result<u32, Error> {
        let bytes = self.bytes(4)?.try_into().expect("four bytes were cut");
        Ok(u32::from_le_bytes(bytes))
    }

    fn long(&mut self) -> Result<u64, Error> {
        Ok(long(self.word()?, self.word()?))
    }

    fn table<const N: usize>(
        &mut self,
        rows: usize,
    ) -> Result<impl ExactSizeIterator<Item = [u32; N]> + use<'a, N>, Error> {
        let len = rows
            .checked_mul(N * 4)
            .ok_or(Error::Damaged("it ends too early"))?;
        let (words, _) = self.bytes(len)?.as_chunks::<4>();
        let (rows, _) = words.as_chunks::<N>();
        Ok(rows.iter().map(|row| row.map(u32::from_le_bytes)))
    }
}
