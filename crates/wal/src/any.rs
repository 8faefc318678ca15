//! What the decoders make of any bytes, for fuzzing: no part of what others may rely on.

use bytes::Bytes;
use cairn_block::Lsn;

use crate::local::segment;
use crate::object::format::{self, Content, Header, Object};
use crate::{Entry, Payload};

/// A record of a segment file.
pub type Record<'a> = (Lsn, Lsn, &'a [u8]);

/// The header that an object of this size begins with.
pub fn header(bytes: &[u8], size: u64) -> Option<Header> {
    Header::decode(bytes, size).ok()
}

/// An object: its header and its payloads.
pub fn object(bytes: &[u8]) -> Option<(Header, Vec<Bytes>)> {
    let object = Object::decode(&Bytes::copy_from_slice(bytes)).ok()?;
    Some((object.header, object.payloads))
}

/// The bytes of such an object.
pub fn encode_object(header: &Header, payloads: &[Bytes]) -> Bytes {
    match &header.content {
        Content::Fence => format::fence(&header.place),
        Content::Segment(listed) => {
            let payloads = listed.iter().zip(payloads);
            let payloads = payloads.map(|(listed, bytes)| Payload {
                bytes: bytes.to_vec(),
                hashes: listed.hashes.clone(),
            });
            let payloads: Vec<_> = payloads.collect();
            format::segment(&header.place, &payloads).expect("it came from an object")
        }
    }
}

/// The records of a segment file that begins with number `first`.
pub fn records(bytes: &[u8], first: Lsn) -> Vec<Record<'_>> {
    let mut found = Vec::new();
    let walked = segment::walk(bytes, first, |record| {
        found.push((record.lsn, record.batch, record.payload));
        Ok::<_, std::convert::Infallible>(())
    });
    match walked {
        Ok(_) => found,
    }
}

/// The bytes of a segment file with such records.
pub fn encode_records(records: &[Record<'_>]) -> Vec<u8> {
    let mut out = segment::MAGIC.to_vec();
    for (lsn, batch, payload) in records {
        segment::put(&mut out, *lsn, *batch, payload);
    }
    out
}

/// The rows of an entry, as far as it is one.
pub fn rows(payload: &[u8]) -> usize {
    Entry::decode(payload).map_or(0, |entry| entry.rows().into_iter().flatten().count())
}
