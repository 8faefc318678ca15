//! The bytes of a symbol file, version 3. All numbers are little-endian.
//!
//! ```text
//! head       magic "CAIRNSYM", version u32, CRC-32 of the rest of the head, CRC-32 of what follows the head,
//!            base u64, units skipped, units missing, shift, u32 counts of the tables below and of bytes of text
//! segments   (file offset u64, address u64, bytes u64)
//! directory  position in ranges u32, for each 2^shift of addresses, and one more
//! ranges     (start - base u32, location u32), by start; each lasts to the next
//! locations  (function u32, file u32, line u32, parent location u32, column u16, depth u16), parents first
//! functions  (name at u32, bytes u32, system name at u32, bytes u32, start line u32)
//! files      (name at u32, bytes u32)
//! text       UTF-8
//! ```
//!
//! An address is found by one look into the directory and a search of the few ranges that it leaves.
//! Who reads the tables is [`crate::SymbolFile`]; opening reads the head alone.

use std::ops::Range;

use crate::Error;
use crate::layers::Piece;
use crate::tables::Tables;

/// Any change to the layout or to what conversion puts in raises it.
pub const VERSION: u32 = 3;

/// "No such thing" wherever a position is optional.
pub(crate) const NONE: u32 = u32::MAX;

/// Inlined calls at one address.
pub(crate) const DEPTH_MAX: u32 = 512;

const MAGIC: [u8; 8] = *b"CAIRNSYM";

/// Bytes before the first table.
pub(crate) const HEAD_BYTES: usize = 72;
/// Bytes of the head that its own checksum does not cover.
const HEAD_UNCHECKED: usize = 16;

/// Bytes of a row of each table, in their order.
const ROW_BYTES: [usize; 7] = [24, 4, 8, 20, 20, 8, 1];

/// A part of the file that is mapped as code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) bytes: u64,
}

/// A call: where in which function, and the call that it was inlined into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Location {
    pub(crate) function: u32,
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) parent: u32,
    pub(crate) column: u16,
    /// How many calls lead to it.
    pub(crate) depth: u16,
}

impl Location {
    pub(crate) const UNKNOWN: Self = Self {
        function: NONE,
        file: NONE,
        line: 0,
        parent: NONE,
        column: 0,
        depth: 0,
    };
}

/// A function, by the numbers of its strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Function {
    pub(crate) name: u32,
    pub(crate) system_name: u32,
    pub(crate) start_line: u32,
}

/// What is counted of the debug information that was not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Units that are malformed.
    pub(crate) skipped: u32,
    /// Units whose content is in a file that was not there.
    pub(crate) missing: u32,
}

/// The fixed part, and where each table lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) body_crc: u32,
    pub(crate) base: u64,
    pub(crate) lost: Lost,
    pub(crate) shift: u32,
    pub(crate) segments: Range<usize>,
    pub(crate) directory: Range<usize>,
    pub(crate) ranges: Range<usize>,
    pub(crate) locations: Range<usize>,
    pub(crate) functions: Range<usize>,
    pub(crate) files: Range<usize>,
    pub(crate) text: Range<usize>,
}

/// Writes the ranges, whose ids are locations, and what of the tables they need. Takes what it
/// gets, so that nothing is held twice when the file grows.
pub(crate) fn encode(
    tables: Tables,
    pieces: Vec<Piece>,
    segments: &[Segment],
    lost: Lost,
) -> Result<Vec<u8>, Error> {
    let mut used = Used::new(&tables);
    let base = pieces.first().map_or(0, |piece| piece.start);
    let mut ranges: Vec<(u32, u32)> = Vec::with_capacity(pieces.len() * 2);
    let mut end = base;
    for piece in &pieces {
        let delta = |address: u64| u32::try_from(address - base).map_err(|_| Error::TooWide);
        if piece.start > end {
            ranges.push((delta(end)?, NONE));
        }
        ranges.push((delta(piece.start)?, used.location(piece.id)));
        end = piece.end;
    }
    if let Ok(end) = u32::try_from(end - base)
        && !ranges.is_empty()
    {
        ranges.push((end, NONE));
    }
    drop(pieces);
    let Used {
        locations,
        functions,
        files,
        text,
        ..
    } = used;
    drop(tables);
    let (shift, directory) = directory(&ranges);
    let counts = [
        segments.len(),
        directory.len(),
        ranges.len(),
        locations.len(),
        functions.len(),
        files.len(),
        text.len(),
    ];
    let bytes: usize = counts.iter().zip(ROW_BYTES).map(|(n, row)| n * row).sum();
    let mut file = Vec::with_capacity(HEAD_BYTES + bytes);
    file.resize(HEAD_BYTES, 0);
    let words = |file: &mut Vec<u8>, words: &[u32]| {
        words
            .iter()
            .for_each(|word| file.extend_from_slice(&word.to_le_bytes()));
    };
    for segment in segments {
        for value in [segment.offset, segment.address, segment.bytes] {
            file.extend_from_slice(&value.to_le_bytes());
        }
    }
    words(&mut file, &directory);
    for &(start, location) in &ranges {
        words(&mut file, &[start, location]);
    }
    for at in &locations {
        words(&mut file, &[at.function, at.file, at.line, at.parent]);
        file.extend_from_slice(&at.column.to_le_bytes());
        file.extend_from_slice(&at.depth.to_le_bytes());
    }
    for function in &functions {
        words(&mut file, function);
    }
    for name in &files {
        words(&mut file, name);
    }
    file.extend_from_slice(text.as_bytes());
    write_head(&mut file, base, lost, shift, &counts)?;
    Ok(file)
}

fn write_head(
    file: &mut [u8],
    base: u64,
    lost: Lost,
    shift: u32,
    counts: &[usize],
) -> Result<(), Error> {
    let mut rest = Vec::new();
    rest.extend_from_slice(&crc32fast::hash(&file[HEAD_BYTES..]).to_le_bytes());
    rest.extend_from_slice(&base.to_le_bytes());
    for word in [lost.skipped, lost.missing, shift] {
        rest.extend_from_slice(&word.to_le_bytes());
    }
    for &count in counts {
        let count = u32::try_from(count).map_err(|_| Error::TooMany {
            what: "entries of a table",
            max: u64::from(u32::MAX),
        })?;
        rest.extend_from_slice(&count.to_le_bytes());
    }
    rest.resize(HEAD_BYTES - HEAD_UNCHECKED, 0);
    file[..8].copy_from_slice(&MAGIC);
    file[8..12].copy_from_slice(&VERSION.to_le_bytes());
    file[12..16].copy_from_slice(&crc32fast::hash(&rest).to_le_bytes());
    file[HEAD_UNCHECKED..HEAD_BYTES].copy_from_slice(&rest);
    Ok(())
}

/// For each 2^shift of addresses, how many ranges begin before it. About as many entries as ranges.
fn directory(ranges: &[(u32, u32)]) -> (u32, Vec<u32>) {
    let span = ranges.last().map_or(0, |&(start, _)| start);
    let mut shift = 0;
    while (span >> shift) as usize > ranges.len() {
        shift += 1;
    }
    let buckets = (span >> shift) as usize + 1;
    let mut directory = Vec::with_capacity(buckets + 1);
    let mut before = 0;
    for bucket in 0..buckets as u64 {
        let start = bucket << shift;
        while ranges
            .get(before)
            .is_some_and(|&(at, _)| u64::from(at) < start)
        {
            before += 1;
        }
        directory.push(before as u32);
    }
    directory.push(ranges.len() as u32);
    (shift, directory)
}

/// What the ranges refer to, renumbered in the order of addresses: what is looked up together
/// lies together.
struct Used<'t> {
    tables: &'t Tables,
    location_ids: Vec<u32>,
    locations: Vec<Location>,
    function_ids: Vec<u32>,
    functions: Vec<[u32; 5]>,
    file_ids: Vec<u32>,
    files: Vec<[u32; 2]>,
    spans: Vec<[u32; 2]>,
    text: String,
}

impl<'t> Used<'t> {
    fn new(tables: &'t Tables) -> Self {
        Self {
            tables,
            location_ids: vec![NONE; tables.locations.len()],
            locations: Vec::new(),
            function_ids: vec![NONE; tables.functions.len()],
            functions: Vec::new(),
            file_ids: vec![NONE; tables.strings.len()],
            files: Vec::new(),
            spans: vec![[NONE; 2]; tables.strings.len()],
            text: String::new(),
        }
    }

    fn location(&mut self, id: u32) -> u32 {
        let mut chain = Vec::new();
        let mut at = id;
        while at != NONE && self.location_ids[at as usize] == NONE {
            chain.push(at);
            at = self.tables.locations[at as usize].parent;
        }
        for &old in chain.iter().rev() {
            let location = self.tables.locations[old as usize];
            let new = Location {
                function: self.function(location.function),
                file: self.file(location.file),
                parent: match location.parent {
                    NONE => NONE,
                    parent => self.location_ids[parent as usize],
                },
                ..location
            };
            self.location_ids[old as usize] = self.locations.len() as u32;
            self.locations.push(new);
        }
        self.location_ids[id as usize]
    }

    fn function(&mut self, id: u32) -> u32 {
        if self.function_ids[id as usize] == NONE {
            let function = self.tables.functions[id as usize];
            let name = self.span(function.name);
            let system = self.span(function.system_name);
            self.function_ids[id as usize] = self.functions.len() as u32;
            let line = function.start_line;
            self.functions
                .push([name[0], name[1], system[0], system[1], line]);
        }
        self.function_ids[id as usize]
    }

    fn file(&mut self, string: u32) -> u32 {
        if string == NONE {
            return NONE;
        }
        if self.file_ids[string as usize] == NONE {
            let span = self.span(string);
            self.file_ids[string as usize] = self.files.len() as u32;
            self.files.push(span);
        }
        self.file_ids[string as usize]
    }

    fn span(&mut self, string: u32) -> [u32; 2] {
        let span = &mut self.spans[string as usize];
        if span[0] == NONE {
            let text = self.tables.strings.get(string);
            *span = [self.text.len() as u32, text.len() as u32];
            self.text.push_str(text);
        }
        *span
    }
}

/// Reads and checks the head. The file must be exactly as long as it says.
pub(crate) fn decode(file: &[u8]) -> Result<Head, Error> {
    let Some((head, _)) = file.split_first_chunk::<HEAD_BYTES>() else {
        return Err(match file.starts_with(&MAGIC) {
            true => Error::Damaged("it ends too early"),
            false => Error::Damaged("it does not begin with its mark"),
        });
    };
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if head[..8] != MAGIC {
        return Err(Error::Damaged("it does not begin with its mark"));
    }
    if word(8) != VERSION {
        return Err(Error::Version {
            found: word(8),
            want: VERSION,
        });
    }
    if crc32fast::hash(&head[HEAD_UNCHECKED..]) != word(12) {
        return Err(Error::Damaged("the checksum of its head does not match"));
    }
    let mut end = HEAD_BYTES;
    let mut table = 0;
    let mut next = || {
        let start = end;
        let rows = word(40 + 4 * table) as usize;
        // At most 7 tables of 100 GiB each: a sum of 64 bits does not overflow.
        end += rows * ROW_BYTES[table];
        table += 1;
        start..end
    };
    let head = Head {
        body_crc: word(16),
        base: u64::from(word(24)) << 32 | u64::from(word(20)),
        lost: Lost {
            skipped: word(28),
            missing: word(32),
        },
        shift: word(36),
        segments: next(),
        directory: next(),
        ranges: next(),
        locations: next(),
        functions: next(),
        files: next(),
        text: next(),
    };
    match file.len().cmp(&end) {
        std::cmp::Ordering::Less => Err(Error::Damaged("it ends too early")),
        std::cmp::Ordering::Greater => Err(Error::Damaged("bytes follow its last table")),
        std::cmp::Ordering::Equal if head.shift > 31 => Err(Error::Damaged("its shift is wrong")),
        std::cmp::Ordering::Equal => Ok(head),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::Limits;

    fn sample() -> Vec<u8> {
        let mut tables = Tables::new(&Limits::default(), false);
        let outer = tables.function("_ZN3foo3barEi", 7).expect("few strings");
        let inner = tables.function("memcpy", 0).expect("few strings");
        let file = tables.string("/a/b.c").expect("few strings");
        let mut location = |location| tables.location(location).expect("few").expect("flat");
        let call = Location {
            function: outer,
            file,
            line: 12,
            column: 3,
            ..Location::UNKNOWN
        };
        let call = location(call);
        let inlined = location(Location {
            function: inner,
            parent: call,
            ..Location::UNKNOWN
        });
        let piece = |start, end, id| Piece { start, end, id };
        let pieces = [
            piece(0x1000, 0x1010, call),
            piece(0x1010, 0x1020, inlined),
            piece(0x4000, 0x4001, call),
        ];
        let segment = Segment {
            offset: 0x400,
            address: 0x1000,
            bytes: 0x4000,
        };
        let lost = Lost {
            skipped: 1,
            missing: 2,
        };
        encode(tables, pieces.to_vec(), &[segment], lost).expect("narrow")
    }

    /// Files that were written stay as they are: who changes the layout raises the version, and
    /// then the sum.
    #[test]
    fn the_layout_changes_only_with_the_version() {
        let sum = crc32fast::hash(&sample());
        assert_eq!(
            (VERSION, sum),
            (3, GOLDEN),
            "raise VERSION: the sum is {sum:#x}"
        );
    }

    const GOLDEN: u32 = 0x6f5f_b391;

    #[test]
    fn ranges_and_gaps_are_found() {
        use cairn_model::Addressing;
        let file = crate::SymbolFile::open(sample()).expect("whole");
        let lines = |addressing, address| -> Vec<u32> {
            let frames = file.lookup(addressing, address).into_iter().flatten();
            frames.map(|frame| frame.line).collect()
        };
        for (address, want) in [
            (0, vec![]),
            (0xfff, vec![]),
            (0x1000, vec![12]),
            (0x100f, vec![12]),
            (0x1010, vec![0, 12]),
            (0x101f, vec![0, 12]),
            (0x1020, vec![]),
            (0x3fff, vec![]),
            (0x4000, vec![12]),
            (0x4001, vec![]),
            (u64::MAX, vec![]),
        ] {
            assert_eq!(lines(Addressing::Virtual, address), want, "{address:#x}");
            let offset = address.wrapping_sub(0xc00);
            let want = if (0x400..0x4400).contains(&offset) {
                want
            } else {
                vec![]
            };
            assert_eq!(lines(Addressing::FileOffset, offset), want, "{address:#x}");
        }
    }
}
