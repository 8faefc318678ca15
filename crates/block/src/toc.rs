//! The end of a block: checksums, table of contents, trailer.
//!
//! Owns which bytes belong to what and whether they are the bytes that were written; what they
//! mean is the sections' business.

use std::ops::{Range, RangeInclusive};

use bytes::Bytes;
use cairn_model::TimeRange;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::SectionName;
use crate::origins::{Origins, PackedOrigins};
use crate::traces::Traces;
use crate::write::Info;

/// The format that this build writes.
pub(crate) const VERSION: u32 = 3;

/// The oldest format that this build reads.
const VERSION_MIN: u32 = 1;

/// The first format whose tables of contents say where rows come from.
const VERSION_ORIGINS: u32 = 2;

/// The first format with a filter of traces.
const VERSION_TRACES: u32 = 3;

const MAGIC: [u8; 8] = *b"CAIRNBLK";

/// Lengths of checksums and table of contents, version, checksum, magic.
const TRAILER_BYTES: usize = 24;

/// Every run of this many bytes of a section has a checksum of its own, so that a part of a section
/// can be read and still be checked.
const CHUNK_BYTES: u64 = 64 << 10;

/// What is read from the end of an object at first, at least and at most.
const SUFFIX_BYTES: RangeInclusive<u64> = 64 << 10..=1 << 20;

/// A table of contents is smaller than the object by more than this, nearly always: the filter of
/// traces and the checksums, which it mostly is, grow with the object.
const SUFFIX_SHARE: u64 = 128;

/// The same where the index will be needed, and what says where rows are.
const INDEX_BYTES: RangeInclusive<u64> = 128 << 10..=2 << 20;

/// They are a thirtieth of an object or less, unless its profiles have only a few rows each.
const INDEX_SHARE: u64 = 24;

/// A table of contents has no more text than this: one that was read takes memory in proportion.
const TEXT_BYTES_MAX: u64 = 8 << 20;

/// What the first read of an object is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The table of contents, which may be all that is needed.
    Contents,
    /// The index and what says where rows are as well, nearly always.
    Index,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Toc {
    pub(crate) level: u8,
    pub(crate) range: TimeRange,
    pub(crate) rows: u64,
    pub(crate) profiles: u64,
    /// Sets of sample labels, the empty one included.
    pub(crate) attr_sets: u32,
    pub(crate) stacks: u32,
    #[serde(default)]
    pub(crate) origins: PackedOrigins,
    pub(crate) sections: Vec<Section>,
    /// Behind the sections.
    #[serde(default)]
    traces: Filter,
    /// One per chunk, section after section. Kept outside the JSON text.
    #[serde(skip)]
    checksums: Vec<u32>,
    #[serde(skip)]
    object_bytes: u64,
    /// Of the format.
    #[serde(skip)]
    pub(crate) version: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    /// Where in the section Parquet's own indexes and footer begin.
    pub(crate) footer: u64,
}

/// Where the filter of traces is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Filter {
    bytes: u64,
    checksum: u32,
}

impl Section {
    pub(crate) fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.bytes
    }

    fn chunks(&self) -> u64 {
        self.bytes.div_ceil(CHUNK_BYTES)
    }
}

/// What the bytes at the end of an object turned out to be.
pub(crate) enum Tail {
    Toc(Box<Toc>),
    /// Read this many bytes from the end instead.
    Longer(u64),
}

impl Toc {
    pub(crate) fn new(
        info: &Info,
        (level, origins): (u8, &Origins),
        (stacks, attr_sets): (u32, u32),
    ) -> Self {
        Self {
            level,
            range: info.range,
            rows: info.rows,
            profiles: info.profiles,
            attr_sets,
            stacks,
            origins: PackedOrigins::pack(origins),
            sections: Vec::new(),
            traces: Filter::default(),
            checksums: Vec::new(),
            object_bytes: 0,
            version: VERSION,
        }
    }

    /// The whole object: sections, filter of traces, checksums, table, trailer.
    pub(crate) fn finish(mut self, sections: Vec<Encoded>, traces: Traces) -> Bytes {
        let mut end = 0;
        for section in &sections {
            let chunks = section.bytes.chunks(CHUNK_BYTES as usize);
            self.checksums.extend(chunks.map(crc32fast::hash));
            self.sections.push(Section {
                name: section.name.to_owned(),
                offset: end,
                bytes: section.bytes.len() as u64,
                rows: section.rows,
                footer: section.footer,
            });
            end += section.bytes.len() as u64;
        }
        let traces = traces.write();
        self.traces = Filter {
            bytes: traces.len() as u64,
            checksum: crc32fast::hash(&traces),
        };
        let text = serde_json::to_vec(&self).expect("a table of contents is plain data");
        let lengths = [self.checksums.len() * size_of::<u32>(), text.len()];
        // Exactly, since twice the block might be more memory than there is.
        let total = end as usize + traces.len() + lengths[0] + lengths[1] + TRAILER_BYTES;
        let mut object = Vec::with_capacity(total);
        for section in sections {
            object.extend_from_slice(&section.bytes);
        }
        object.extend_from_slice(&traces);
        let start = object.len();
        for checksum in &self.checksums {
            object.extend_from_slice(&checksum.to_le_bytes());
        }
        object.extend_from_slice(&text);
        for length in lengths {
            let length = u32::try_from(length).expect("a table of contents is far below 4 GiB");
            object.extend_from_slice(&length.to_le_bytes());
        }
        object.extend_from_slice(&VERSION.to_le_bytes());
        let checksum = crc32fast::hash(&object[start..]);
        object.extend_from_slice(&checksum.to_le_bytes());
        object.extend_from_slice(&MAGIC);
        object.into()
    }

    /// How much to read from the end of an object of `bytes` at first.
    pub(crate) fn suffix(bytes: u64, first: First) -> Range<u64> {
        let (share, allowed) = match first {
            First::Contents => (SUFFIX_SHARE, SUFFIX_BYTES),
            First::Index => (INDEX_SHARE, INDEX_BYTES),
        };
        let read = (bytes / share).clamp(*allowed.start(), *allowed.end());
        bytes.saturating_sub(read)..bytes
    }

    /// Reads the table from the last bytes of an object of `object_bytes`.
    pub(crate) fn parse(tail: &[u8], object_bytes: u64) -> Result<Tail, Error> {
        let Some(trailer) = tail.len().checked_sub(TRAILER_BYTES) else {
            return Err(bad("the object is too short to be a block"));
        };
        let word = |at: usize| {
            let bytes = tail[trailer + at..trailer + at + 4].try_into();
            u32::from_le_bytes(bytes.expect("four bytes are a word"))
        };
        let [sums, text, version, checksum] = [0, 4, 8, 12].map(word);
        if tail[trailer + 16..] != MAGIC {
            return Err(bad("the object does not end as a block does"));
        }
        let (sums, text) = (u64::from(sums), u64::from(text));
        let whole = sums + text + TRAILER_BYTES as u64;
        if text > TEXT_BYTES_MAX {
            return Err(bad("it is longer than any"));
        }
        if whole > object_bytes {
            return Err(bad("it is longer than the object"));
        }
        let Some(start) = (tail.len() as u64).checked_sub(whole) else {
            return Ok(Tail::Longer(whole));
        };
        if crc32fast::hash(&tail[start as usize..trailer + 12]) != checksum {
            return Err(bad("its checksum is wrong"));
        }
        if !(VERSION_MIN..=VERSION).contains(&version) {
            return Err(Error::UnsupportedVersion(version));
        }
        let (sums, text) = tail[start as usize..trailer].split_at(sums as usize);
        let mut toc: Self = serde_json::from_slice(text).map_err(bad)?;
        toc.version = version;
        if version < VERSION_ORIGINS {
            toc.origins = PackedOrigins::default();
        }
        if version < VERSION_TRACES {
            toc.traces = Filter::default();
        }
        toc.origins.check()?;
        toc.object_bytes = object_bytes;
        toc.checksums = sums
            .chunks_exact(4)
            .map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes are a word")))
            .collect();
        toc.check(object_bytes - whole)?;
        Ok(Tail::Toc(Box::new(toc)))
    }

    /// Sections and filter must fill the object up to `end` without gaps, and every chunk has a
    /// checksum.
    fn check(&self, end: u64) -> Result<(), Error> {
        let mut at = 0u64;
        let mut chunks = 0;
        for section in &self.sections {
            let within = section.offset == at && section.footer <= section.bytes;
            let next = at.checked_add(section.bytes);
            at = next.filter(|next| within && *next <= end).ok_or_else(|| {
                bad(format!(
                    "section {} is out of place",
                    section.name.escape_debug()
                ))
            })?;
            chunks += section.chunks();
        }
        if !Traces::is_size(self.traces.bytes) {
            return Err(bad("the filter of traces has a length that none has"));
        }
        if at.checked_add(self.traces.bytes) != Some(end) || chunks != self.checksums.len() as u64 {
            return Err(bad("sections and object differ in length"));
        }
        Ok(())
    }

    pub(crate) fn info(&self) -> Info {
        Info {
            range: self.range,
            rows: self.rows,
            profiles: self.profiles,
            bytes: self.object_bytes,
        }
    }

    /// A section that may be left out if it has no rows.
    pub(crate) fn find(&self, name: SectionName) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    pub(crate) fn section(&self, name: SectionName) -> Result<&Section, Error> {
        self.find(name)
            .ok_or_else(|| Error::corrupt(name, "it is missing"))
    }

    /// Where the filter of traces is; nowhere if the format has none.
    pub(crate) fn traces(&self) -> Option<Range<u64>> {
        let start = self.sections.last().map_or(0, |last| last.range().end);
        (self.version >= VERSION_TRACES).then(|| start..start + self.traces.bytes)
    }

    /// The filter of traces that these bytes are.
    pub(crate) fn read_traces(&self, bytes: &[u8]) -> Result<Traces, Error> {
        match crc32fast::hash(bytes) == self.traces.checksum {
            true => Ok(Traces::read(bytes)),
            false => Err(Error::corrupt("filter of traces", "its checksum is wrong")),
        }
    }

    /// The chunks that hold `range` of the object, which lies in one section.
    pub(crate) fn chunks_around(&self, section: &Section, range: &Range<u64>) -> Range<u64> {
        let start = (range.start - section.offset) / CHUNK_BYTES * CHUNK_BYTES;
        let end = (range.end - section.offset).next_multiple_of(CHUNK_BYTES);
        section.offset + start..section.offset + end.min(section.bytes)
    }

    /// Compares bytes that start at `offset`, which begins a chunk of `section`, with their checksums.
    pub(crate) fn verify(
        &self,
        (name, section): (SectionName, &Section),
        offset: u64,
        bytes: &Bytes,
    ) -> Result<(), Error> {
        let before: u64 = self
            .sections
            .iter()
            .take_while(|other| other.name != section.name)
            .map(Section::chunks)
            .sum();
        let first = before + (offset - section.offset) / CHUNK_BYTES;
        let expected = self.checksums.get(first as usize..).unwrap_or_default();
        let chunks = bytes.chunks(CHUNK_BYTES as usize);
        if chunks.len() > expected.len() {
            return Err(Error::corrupt(name, "it has no checksums"));
        }
        for (at, (chunk, expected)) in chunks.zip(expected).enumerate() {
            if crc32fast::hash(chunk) != *expected {
                let at = offset + at as u64 * CHUNK_BYTES;
                return Err(Error::corrupt(
                    name,
                    format_args!("wrong checksum of the bytes from {at} on"),
                ));
            }
        }
        Ok(())
    }
}

/// A finished section: a complete Parquet file.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) name: SectionName,
    pub(crate) bytes: Vec<u8>,
    pub(crate) rows: u64,
    /// Where Parquet's own indexes and footer begin.
    pub(crate) footer: u64,
}

fn bad(reason: impl ToString) -> Error {
    Error::corrupt("table of contents", reason)
}
