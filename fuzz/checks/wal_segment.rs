//! What must hold of any bytes that are read as a part of a write-ahead log.

use cairn_wal::any;

/// Of a record in a segment file, before its payload, and of its checksum in it.
const HEAD: usize = 24;
const SUM: std::ops::Range<usize> = 4..8;
const MAGIC: usize = 8;

/// Reads the bytes as they are, then with checksums that fit, since nearly all damage ends there.
/// Whether they are a part of a log as they are.
pub(crate) fn check(raw: &[u8]) -> bool {
    check_object(&sealed_object(raw));
    check_file(&sealed_file(raw));
    let is_object = check_object(raw);
    check_file(raw) || is_object
}

/// What is accepted is written as it was read, and its entries make rows or do not.
fn check_object(raw: &[u8]) -> bool {
    let Some((header, payloads)) = any::object(raw) else {
        return false;
    };
    assert_eq!(any::header(raw, raw.len() as u64).as_ref(), Some(&header));
    assert_eq!(header.entries().count(), payloads.len());
    assert!(any::encode_object(&header, &payloads) == raw);
    payloads.iter().for_each(|payload| {
        any::rows(payload);
    });
    true
}

fn check_file(raw: &[u8]) -> bool {
    let records = any::records(raw, 1);
    if records.is_empty() {
        return false;
    }
    assert!(
        records
            .iter()
            .map(|(lsn, ..)| *lsn)
            .eq(1..=records.len() as u64)
    );
    assert!(raw.starts_with(&any::encode_records(&records)));
    records.iter().for_each(|(.., payload)| {
        any::rows(payload);
    });
    true
}

fn sealed_object(raw: &[u8]) -> Vec<u8> {
    let mut sealed = raw.to_vec();
    let size = raw.len();
    let Some(len) = raw.get(8..12).and_then(|len| len.try_into().ok()) else {
        return sealed;
    };
    let len = u32::from_le_bytes(len) as usize;
    if len < 24 || len + 4 > size {
        return sealed;
    }
    sealed[16..24].copy_from_slice(&(size as u64).to_le_bytes());
    let sum = crc32fast::hash(&[&sealed[..12], &sealed[16..len]].concat());
    sealed[12..16].copy_from_slice(&sum.to_le_bytes());
    if let Some(header) = any::header(&sealed, size as u64) {
        let mut at = len;
        for (lsn, listed) in header.entries() {
            let end = at.saturating_add(4 + listed.payload_bytes as usize);
            let Some(record) = sealed.get_mut(at..end) else {
                break;
            };
            let sum = crc32fast::hash(&[&lsn.to_le_bytes(), &record[4..]].concat());
            record[..4].copy_from_slice(&sum.to_le_bytes());
            at = end;
        }
    }
    let sum = crc32fast::hash(&sealed[..size - 4]);
    sealed[size - 4..].copy_from_slice(&sum.to_le_bytes());
    sealed
}

fn sealed_file(raw: &[u8]) -> Vec<u8> {
    let mut sealed = raw.to_vec();
    let mut at = MAGIC;
    while let Some(len) = sealed.get(at..at + 4).and_then(|len| len.try_into().ok()) {
        let end = at.saturating_add(HEAD + u32::from_le_bytes(len) as usize);
        let Some(record) = sealed.get_mut(at..end) else {
            break;
        };
        let sum = crc32fast::hash(&[&record[..SUM.start], &record[SUM.end..]].concat());
        record[SUM].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
    sealed
}
