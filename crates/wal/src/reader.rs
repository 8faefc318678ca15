//! Reading logs of the object store whose writers are gone, or do not answer.
//!
//! Owns the order in which objects make a log, and its end; what entries mean is theirs.

mod ahead;

use bytes::Bytes;
use cairn_block::Lsn;
use cairn_model::WriterId;
use cairn_store::{Key, LogObject, Store};

use crate::object::format::{self, ENTRIES_MAX, Header, Invalid, OBJECT_BYTES_MAX, Object, Place};
use crate::outside::{Backoff, Outside};
use crate::{Error, points};

pub use ahead::Segments;

/// A log that others write or wrote.
#[derive(Clone, Debug)]
pub struct LogReader {
    store: Store,
    writer: WriterId,
    incarnation: u64,
}

/// What a listing says of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Those that hold entries in question, oldest first.
    pub segments: Vec<SegmentRef>,
    /// The first number after all entries.
    pub end: Lsn,
    /// There will never be more.
    pub is_fenced: bool,
}

/// A segment that was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRef {
    pub first: Lsn,
    pub bytes: u64,
    /// Where the log goes on after it.
    next: Lsn,
}

/// The entries of one segment.
#[derive(Clone, Debug)]
pub struct Segment {
    pub header: Header,
    payloads: Vec<Bytes>,
}

/// Bytes of an object that are read to find its header; most headers are smaller.
const HEADER_READ: u64 = 16 << 10;
/// How often a fence is put in a row before the store is taken to be down.
const FENCE_ATTEMPTS: usize = 8;

impl Segment {
    /// Payloads by number.
    pub fn entries(&self) -> impl Iterator<Item = (Lsn, &Bytes)> {
        (self.header.place.first..).zip(&self.payloads)
    }
}

impl LogReader {
    pub fn new(store: Store, writer: WriterId, incarnation: u64) -> Self {
        Self {
            store,
            writer,
            incarnation,
        }
    }

    /// The segments that hold entries after `after`, which must be no earlier than what the catalog
    /// knows to be in blocks: older segments may be gone.
    ///
    /// That they follow each other without gaps shows when they are read: each says how many
    /// entries it holds.
    pub async fn segments(&self, after: Lsn) -> Result<Listing, Error> {
        let wanted = after.saturating_add(1);
        let objects = self.list(after).await?;
        let Some(newest) = objects.last() else {
            return Ok(Listing {
                segments: Vec::new(),
                end: wanted,
                is_fenced: false,
            });
        };
        let header = self.header_of(newest).await?;
        let (end, is_fenced) = (header.end(), header.is_fence());
        if is_fenced && end < wanted {
            let reason = format!("it is a fence, but {after} is in blocks");
            return Err(self.corrupt(end, reason));
        }
        // The one that holds the first entry in question may begin before it.
        let start = objects.partition_point(|object| object.first <= wanted);
        let start = start.checked_sub(1);
        if start.is_none() {
            let reason = format!("the log begins with it, and {wanted} is missing");
            return Err(self.corrupt(objects[0].first, reason));
        }
        let mut segments = Vec::new();
        for (at, object) in objects.iter().enumerate().skip(start.unwrap_or_default()) {
            let next = objects.get(at + 1).map_or(end, |next| next.first);
            if next > wanted.max(object.first) {
                segments.push(SegmentRef {
                    first: object.first,
                    bytes: object.bytes,
                    next,
                });
            }
        }
        Ok(Listing {
            segments,
            end: end.max(wanted),
            is_fenced,
        })
    }

    /// All segments that are there. Those whose entries have long been in blocks are gone.
    pub async fn all(&self) -> Result<Listing, Error> {
        let objects = self.store.list_log(&self.writer, self.incarnation, 0);
        let objects = objects.await.map_err(Error::Store)?;
        let before = objects
            .first()
            .map_or(0, |first| first.first.saturating_sub(1));
        self.segments(before).await
    }

    /// Reads a whole segment.
    pub async fn read(&self, segment: &SegmentRef) -> Result<Segment, Error> {
        let bytes = self.object(segment.first, segment.bytes).await?;
        let object = Object::decode(&bytes);
        let Object { header, payloads } =
            object.map_err(|invalid| self.corrupt(segment.first, invalid))?;
        self.check(segment, &header)?;
        Ok(Segment { header, payloads })
    }

    /// Reads segments one after the other, a few of them ahead.
    pub fn read_all(&self, segments: Vec<SegmentRef>) -> Segments {
        Segments::new(self.clone(), segments)
    }

    /// Reads what a segment says of its entries: their batch hashes, and when they were appended.
    pub async fn header(&self, segment: &SegmentRef) -> Result<Header, Error> {
        let SegmentRef { first, bytes, .. } = *segment;
        let header = self.header_at(first, bytes).await?;
        self.check(segment, &header)?;
        Ok(header)
    }

    /// Ends the log, so that its writer, should it still be there, appends no more; returns the
    /// first number after all entries. A log that is fenced already stays as it is.
    ///
    /// `flushed` must be what the catalog says after it has sealed the writer: with all segments
    /// gone, it alone tells where the writer would go on.
    pub async fn fence(&self, flushed: Lsn, now: i64, outside: &Outside) -> Result<Lsn, Error> {
        let mut end = flushed.saturating_add(1);
        if let Some(newest) = self.list(flushed).await?.last() {
            let header = self.header_of(newest).await?;
            if header.is_fence() {
                return Ok(newest.first);
            }
            end = end.max(header.end());
        }
        let nonce = outside.random();
        loop {
            let fence = format::fence(&Place {
                writer: self.writer.clone(),
                incarnation: self.incarnation,
                first: end,
                nonce,
                made: now,
            });
            points::pass(points::BEFORE_FENCE);
            if self.put_fence(end, fence, outside).await? {
                points::pass(points::AFTER_FENCE);
                return Ok(end);
            }
            // Somebody was faster: the writer, or another who fences.
            let size = self.store.size(self.key(end)).await;
            let header = self
                .header_at(end, size.map_err(|e| self.failed(end, e))?)
                .await?;
            if header.is_fence() {
                return Ok(end);
            }
            end = header.end();
        }
    }

    /// False if something else is there.
    async fn put_fence(&self, at: Lsn, fence: Bytes, outside: &Outside) -> Result<bool, Error> {
        let mut backoff = Backoff::new(outside);
        let mut attempt = 1;
        loop {
            match self.store.create_once(self.key(at), fence.clone()).await {
                Ok(()) => return Ok(true),
                Err(cairn_store::Error::AlreadyExists { .. }) => return Ok(false),
                Err(error) if attempt == FENCE_ATTEMPTS => return Err(Error::Store(error)),
                Err(error) => {
                    let (key, error): (_, &dyn std::error::Error) = (self.key(at), &error);
                    tracing::warn!(%key, error, "a fence is put again");
                }
            }
            attempt += 1;
            backoff.pause().await;
        }
    }

    /// The objects that may hold entries after `after`, and all later ones.
    async fn list(&self, after: Lsn) -> Result<Vec<LogObject>, Error> {
        let from = after.saturating_sub(ENTRIES_MAX as Lsn);
        let objects = self.store.list_log(&self.writer, self.incarnation, from);
        objects.await.map_err(Error::Store)
    }

    async fn header_of(&self, object: &LogObject) -> Result<Header, Error> {
        self.header_at(object.first, object.bytes).await
    }

    async fn header_at(&self, first: Lsn, size: u64) -> Result<Header, Error> {
        self.check_size(first, size)?;
        let mut read = size.min(HEADER_READ);
        loop {
            let bytes = self.store.get_range(self.key(first), 0..read).await;
            let bytes = bytes.map_err(|error| self.failed(first, error))?;
            match Header::decode(&bytes, size) {
                Ok(header) => {
                    self.check_place(first, &header)?;
                    return Ok(header);
                }
                Err(Invalid::Short(len)) if read < size && len as u64 <= size => read = len as u64,
                Err(invalid) => return Err(self.corrupt(first, invalid)),
            }
        }
    }

    async fn object(&self, first: Lsn, size: u64) -> Result<Bytes, Error> {
        self.check_size(first, size)?;
        let bytes = self.store.get(self.key(first)).await;
        bytes.map_err(|error| self.failed(first, error))
    }

    fn check_size(&self, first: Lsn, size: u64) -> Result<(), Error> {
        match size <= OBJECT_BYTES_MAX {
            true => Ok(()),
            false => Err(self.corrupt(first, format!("{size} bytes are more than it may have"))),
        }
    }

    fn check(&self, segment: &SegmentRef, header: &Header) -> Result<(), Error> {
        self.check_place(segment.first, header)?;
        if header.is_fence() {
            let reason = format!("it is a fence, but {} follows", self.key(segment.next));
            return Err(self.corrupt(segment.first, reason));
        }
        if header.end() != segment.next {
            let (end, next) = (header.end(), self.key(segment.next));
            let reason = format!("{end} comes after it, but the next object is {next}");
            return Err(self.corrupt(segment.first, reason));
        }
        Ok(())
    }

    fn check_place(&self, first: Lsn, header: &Header) -> Result<(), Error> {
        let Place {
            writer,
            incarnation,
            first: says,
            ..
        } = &header.place;
        if (writer, *incarnation, *says) != (&self.writer, self.incarnation, first) {
            let reason = format!("it says that it is {writer}/{incarnation}/{says}");
            return Err(self.corrupt(first, reason));
        }
        Ok(())
    }

    fn key(&self, first: Lsn) -> Key<'_> {
        Key::LogSegment {
            writer: &self.writer,
            incarnation: self.incarnation,
            first,
        }
    }

    fn failed(&self, first: Lsn, error: cairn_store::Error) -> Error {
        match error {
            // It was not truncated before its entries were in blocks.
            cairn_store::Error::OutOfRange { .. } => self.corrupt(first, "it is cut off"),
            error => Error::Store(error),
        }
    }

    fn corrupt(&self, first: Lsn, reason: impl ToString) -> Error {
        Error::Corrupt {
            key: self.key(first).to_string(),
            reason: reason.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
