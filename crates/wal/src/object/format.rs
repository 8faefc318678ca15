//! The format of one object of a log, described in `docs/formats/log.md`: a segment, which holds
//! the entries of one group commit, or a fence, which ends the log.
//!
//! Owns no objects: it reads and writes bytes in memory.

use bytes::Bytes;
use cairn_block::Lsn;
use cairn_model::WriterId;
use cairn_store::Key;

use crate::Payload;

/// First bytes of an object; the digit is the version of the format.
pub(crate) const MAGIC: &[u8; 8] = b"CRNOBJ1\n";
/// What there is before the writer's name.
const FIXED: usize = 73;
/// The sum at the end.
const TRAILER: usize = 4;
/// The sum before each payload.
const RECORD: usize = 4;
/// Of an entry in the header, before its hashes.
const LISTED: usize = 8;
const HASH: usize = 16;
/// No object of a log is larger, so that reading one takes a known amount of memory.
pub const OBJECT_BYTES_MAX: u64 = 256 << 20;
/// No segment has more entries, so that a listing need not start far back.
pub const ENTRIES_MAX: usize = 1024;
/// No segment begins with a higher number, so that what comes after it can always be counted.
pub(crate) const FIRST_MAX: Lsn = Lsn::MAX >> 1;

/// Where in a log an object belongs, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub writer: WriterId,
    pub incarnation: u64,
    /// The number of its first entry, which is its name too.
    pub first: Lsn,
    /// Tells an object that its writer has put from one that was there before.
    pub nonce: u128,
    /// When it was made, nanoseconds since the epoch.
    pub made: i64,
}

/// What an object says of itself before its payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub place: Place,
    pub content: Content,
}

/// What an object is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Entries that became durable together; never none.
    Segment(Vec<Listed>),
    /// The log has no entry with this number or a higher one, and never will.
    Fence,
}

/// An entry in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub payload_bytes: u32,
    /// Of the profiles in it, as far as repeats of them can be told.
    pub hashes: Vec<u128>,
}

/// A whole object that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) header: Header,
    pub(crate) payloads: Vec<Bytes>,
}

/// Why bytes are no object of a log.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// What was read ends before the header does, which has this many bytes.
    #[error("it ends before its header, at byte {0}")]
    Short(usize),
    #[error("{0}")]
    Damaged(&'static str),
}

/// A group of payloads that is larger than a segment may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

// === impl Place ===

impl Place {
    /// The name of its object.
    pub fn key(&self) -> Key<'_> {
        Key::LogSegment {
            writer: &self.writer,
            incarnation: self.incarnation,
            first: self.first,
        }
    }
}

// === impl Header ===

impl Header {
    /// The first number after those in the object.
    pub fn end(&self) -> Lsn {
        let entries = match &self.content {
            Content::Segment(listed) => listed.len(),
            Content::Fence => 0,
        };
        self.place.first + entries as Lsn
    }

    pub fn is_fence(&self) -> bool {
        self.content == Content::Fence
    }

    /// Entries by number.
    pub fn entries(&self) -> impl Iterator<Item = (Lsn, &Listed)> {
        let listed = match &self.content {
            Content::Segment(listed) => listed.as_slice(),
            Content::Fence => &[],
        };
        (self.place.first..).zip(listed)
    }

    /// Of how many bytes the header of this object is, told by its first [`PROLOGUE`] bytes.
    fn len(bytes: &[u8]) -> Result<usize, Invalid> {
        let prologue = bytes.get(..PROLOGUE).ok_or(Invalid::Short(PROLOGUE))?;
        if !prologue.starts_with(MAGIC) {
            return Err(Invalid::Damaged("it is no object of a log of this version"));
        }
        let len = u32_at(prologue, 8) as usize;
        match len > FIXED && len as u64 <= OBJECT_BYTES_MAX {
            true => Ok(len),
            false => Err(Invalid::Damaged("its header has an impossible length")),
        }
    }

    /// Reads a header from the first bytes of an object of `size` bytes.
    pub(crate) fn decode(bytes: &[u8], size: u64) -> Result<Self, Invalid> {
        let len = Self::len(bytes)?;
        if (len + TRAILER) as u64 > size {
            return Err(Invalid::Damaged("it is shorter than its header says"));
        }
        let bytes = bytes.get(..len).ok_or(Invalid::Short(len))?;
        if header_sum(bytes) != u32_at(bytes, 12) {
            return Err(Invalid::Damaged("the checksum of its header is wrong"));
        }
        if u64_at(bytes, 16) != size {
            return Err(Invalid::Damaged("it has another length than it says"));
        }
        let name_end = FIXED + usize::from(bytes[FIXED - 1]);
        let name = bytes.get(FIXED..name_end);
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        let writer = name.and_then(|name| WriterId::parse(name).ok());
        let place = Place {
            writer: writer.ok_or(Invalid::Damaged("its writer has no name"))?,
            incarnation: u64_at(bytes, 24),
            first: u64_at(bytes, 32),
            nonce: u128_at(bytes, 40),
            made: u64_at(bytes, 56).cast_signed(),
        };
        let count = u32_at(bytes, 68) as usize;
        let listed = listed(&bytes[name_end..], count)?;
        let content = match u32_at(bytes, 64) {
            SEGMENT if !listed.is_empty() => Content::Segment(listed),
            FENCE if listed.is_empty() => Content::Fence,
            _ => return Err(Invalid::Damaged("it is of an unknown kind")),
        };
        if !(1..=FIRST_MAX).contains(&place.first) {
            return Err(Invalid::Damaged("its entries have impossible numbers"));
        }
        Ok(Self { place, content })
    }
}

const PROLOGUE: usize = 16;
const SEGMENT: u32 = 0;
const FENCE: u32 = 1;

/// The list of entries, which must fill `bytes`.
fn listed(mut bytes: &[u8], count: usize) -> Result<Vec<Listed>, Invalid> {
    let damaged = Invalid::Damaged("its list of entries is broken");
    if count > ENTRIES_MAX {
        return Err(damaged);
    }
    let mut listed = Vec::with_capacity(count);
    for _ in 0..count {
        let Some((numbers, rest)) = bytes.split_at_checked(LISTED) else {
            return Err(damaged);
        };
        let hashes = (u32_at(numbers, 4) as usize).checked_mul(HASH);
        let Some((hashes, rest)) = hashes.and_then(|len| rest.split_at_checked(len)) else {
            return Err(damaged);
        };
        let (hashes, _) = hashes.as_chunks::<HASH>();
        listed.push(Listed {
            payload_bytes: u32_at(numbers, 0),
            hashes: hashes
                .iter()
                .map(|hash| u128::from_le_bytes(*hash))
                .collect(),
        });
        bytes = rest;
    }
    match bytes.is_empty() {
        true => Ok(listed),
        false => Err(damaged),
    }
}

// === impl Object ===

impl Object {
    /// Reads a whole object. Payloads share its memory.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Invalid> {
        let header = Header::decode(bytes, bytes.len() as u64)?;
        let mut at = Header::len(bytes)?;
        let end = bytes.len() - TRAILER;
        if crc32fast::hash(&bytes[..end]) != u32_at(bytes, end) {
            return Err(Invalid::Damaged("its checksum is wrong"));
        }
        let mut payloads = Vec::with_capacity(header.entries().count());
        for (lsn, listed) in header.entries() {
            let start = at + RECORD;
            let stop = start.saturating_add(listed.payload_bytes as usize);
            if stop > end {
                return Err(Invalid::Damaged("its entries do not fit"));
            }
            if record_sum(lsn, &bytes[start..stop]) != u32_at(bytes, at) {
                return Err(Invalid::Damaged("the checksum of an entry is wrong"));
            }
            payloads.push(bytes.slice(start..stop));
            at = stop;
        }
        match at == end {
            true => Ok(Self { header, payloads }),
            false => Err(Invalid::Damaged("there is more in it than it says")),
        }
    }
}

/// A segment of these payloads.
pub(crate) fn segment(place: &Place, payloads: &[Payload]) -> Result<Bytes, TooLarge> {
    let list: usize = payloads
        .iter()
        .map(|p| LISTED + p.hashes.len() * HASH)
        .sum();
    let records: usize = payloads.iter().map(|p| RECORD + p.bytes.len()).sum();
    let header = FIXED + place.writer.as_str().len() + list;
    let size = header + records + TRAILER;
    if size as u64 > OBJECT_BYTES_MAX || payloads.len() > ENTRIES_MAX {
        return Err(TooLarge);
    }
    let mut out = Vec::with_capacity(size);
    put_fixed(&mut out, place, (header, size), (SEGMENT, payloads.len()));
    for Payload { bytes, hashes } in payloads {
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(&(hashes.len() as u32).to_le_bytes());
        for hash in hashes {
            out.extend_from_slice(&hash.to_le_bytes());
        }
    }
    seal_header(&mut out);
    for (lsn, Payload { bytes, .. }) in (place.first..).zip(payloads) {
        out.extend_from_slice(&record_sum(lsn, bytes).to_le_bytes());
        out.extend_from_slice(bytes);
    }
    Ok(seal(out))
}

/// The object that ends a log at its place.
pub(crate) fn fence(place: &Place) -> Bytes {
    let header = FIXED + place.writer.as_str().len();
    let mut out = Vec::with_capacity(header + TRAILER);
    put_fixed(&mut out, place, (header, header + TRAILER), (FENCE, 0));
    seal_header(&mut out);
    seal(out)
}

/// All up to the list of entries, with room for the header's sum.
fn put_fixed(
    out: &mut Vec<u8>,
    place: &Place,
    (header, size): (usize, usize),
    (kind, count): (u32, usize),
) {
    let name = place.writer.as_str();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(header as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(size as u64).to_le_bytes());
    out.extend_from_slice(&place.incarnation.to_le_bytes());
    out.extend_from_slice(&place.first.to_le_bytes());
    out.extend_from_slice(&place.nonce.to_le_bytes());
    out.extend_from_slice(&place.made.to_le_bytes());
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&(count as u32).to_le_bytes());
    // Names have at most 150 bytes.
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
}

fn seal_header(header: &mut [u8]) {
    let sum = header_sum(header);
    header[12..16].copy_from_slice(&sum.to_le_bytes());
}

fn seal(mut object: Vec<u8>) -> Bytes {
    let sum = crc32fast::hash(&object);
    object.extend_from_slice(&sum.to_le_bytes());
    object.into()
}

/// Over all of the header but the sum itself.
fn header_sum(header: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[..12]);
    hasher.update(&header[16..]);
    hasher.finalize()
}

/// The number counts too, so that no entry can take another's place.
fn record_sum(lsn: Lsn, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&lsn.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn u128_at(bytes: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(bytes[at..at + 16].try_into().expect("sixteen bytes"))
}

#[cfg(test)]
mod tests;
