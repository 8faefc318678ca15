//! The format of one segment file: a header, then records.
//!
//! A record is `length: u32, crc32: u32, lsn: u64, batch: u64, payload`, little-endian. The sum is
//! over everything after it; the length is that of the payload. `batch` is the number of the first
//! record of the same group commit, so whoever reads a valid record knows that everything before
//! `batch` was durable when it was written: that tells damage from a torn last write.
//! Owns no files: it reads and writes bytes in memory.

use cairn_block::Lsn;

/// First bytes of a segment; the digit is the version of the format.
pub(crate) const MAGIC: &[u8; 8] = b"CRNLOG1\n";
pub(crate) const HEADER: usize = 24;
/// No payload is larger, so that a damaged length can't ask for more.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// A record found where it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) lsn: Lsn,
    pub(crate) batch: Lsn,
    pub(crate) payload: &'a [u8],
}

/// What the rest of a segment after the last good record is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing.
    Clean,
    /// A write that never finished.
    Torn { offset: usize },
    /// Something durable that is not readable any more.
    Damaged { offset: usize, reason: String },
}

pub(crate) fn put(out: &mut Vec<u8>, lsn: Lsn, batch: Lsn, payload: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&lsn.to_le_bytes());
    out.extend_from_slice(&batch.to_le_bytes());
    out.extend_from_slice(payload);
    let sum = checksum(&out[start..]);
    out[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
}

/// The sum of a record of which the length is known to be right: over length, numbers, payload.
fn checksum(record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&record[..4]);
    hasher.update(&record[8..]);
    hasher.finalize()
}

/// The record at `offset`, if there is a whole and valid one.
pub(crate) fn record(segment: &[u8], offset: usize) -> Option<Record<'_>> {
    let header = segment.get(offset..offset.checked_add(HEADER)?)?;
    let len = u32_at(header, 0) as usize;
    if len > PAYLOAD_BYTES_MAX {
        return None;
    }
    let record = segment.get(offset..offset + HEADER + len)?;
    (checksum(record) == u32_at(record, 4)).then(|| Record {
        lsn: u64_at(record, 8),
        batch: u64_at(record, 16),
        payload: &record[HEADER..],
    })
}

/// Calls `each` with every record, the first of which has the number `first`.
pub(crate) fn walk<'a, E>(
    segment: &'a [u8],
    first: Lsn,
    mut each: impl FnMut(Record<'a>) -> Result<(), E>,
) -> Result<Tail, E> {
    if !segment.starts_with(MAGIC) {
        // The header is durable before the first record is written.
        let offset = 0;
        return Ok(if segment.len() > MAGIC.len() {
            let reason = "the header is unreadable".to_owned();
            Tail::Damaged { offset, reason }
        } else {
            Tail::Torn { offset }
        });
    }
    let (mut offset, mut expected) = (MAGIC.len(), first);
    while offset < segment.len() {
        match record(segment, offset) {
            Some(found) if found.lsn == expected => {
                offset += HEADER + found.payload.len();
                expected += 1;
                each(found)?;
            }
            Some(found) => {
                let reason = format!("record {} where {expected} should be", found.lsn);
                return Ok(Tail::Damaged { offset, reason });
            }
            None => return Ok(judge(segment, offset, expected)),
        }
    }
    Ok(Tail::Clean)
}

/// Is what begins at `offset`, where `expected` should be, a torn write or damage?
fn judge(segment: &[u8], offset: usize, expected: Lsn) -> Tail {
    match later_record(segment, offset + 1, expected) {
        Some(lsn) => Tail::Damaged {
            offset,
            reason: format!("record {expected} is unreadable, but the later {lsn} is not"),
        },
        None => Tail::Torn { offset },
    }
}

/// A valid record from `offset` on that proves that `lost` was durable: it belongs to a later batch.
fn later_record(segment: &[u8], offset: usize, lost: Lsn) -> Option<Lsn> {
    // Cheap tests first: sums are computed only where the numbers make sense.
    let plausible = |at: &usize| {
        segment.get(at + 8..at + HEADER).is_some_and(|numbers| {
            let (lsn, batch) = (u64_at(numbers, 0), u64_at(numbers, 8));
            batch > lost && batch <= lsn && lsn - lost <= segment.len() as u64
        })
    };
    let found = (offset..segment.len()).filter(plausible);
    found
        .filter_map(|at| record(segment, at))
        .map(|record| record.lsn)
        .next()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
