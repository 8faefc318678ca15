//! The chunks of a recording: their headers and the events in them. Does not know what events
//! mean.

use cairn_model::Limits;

use crate::pools::Pools;
use crate::reader::Reader;
use crate::types::Types;
use crate::{Error, metadata};

const MAGIC: [u8; 4] = *b"FLR\0";
const HEADER_BYTES: usize = 68;
const METADATA: i64 = 0;
const CHECKPOINT: i64 = 1;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// Bytes of the chunk, with its header.
    pub(crate) bytes: usize,
    metadata_at: u64,
    /// Nanoseconds since the epoch.
    pub(crate) start: i64,
    /// Nanoseconds.
    pub(crate) duration: i64,
    pub(crate) ticks_per_second: u64,
    compressed: bool,
}

/// A chunk without the meaning of its events.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) header: Header,
    pub(crate) types: Types<'a>,
    pub(crate) pools: Pools<'a>,
    body: &'a [u8],
}

impl Header {
    /// Reads the header of the chunk that `bytes` begin with.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Error::undecodable(format!(
                "{} bytes are too few for a chunk",
                bytes.len()
            )));
        };
        if !header.starts_with(&MAGIC) {
            return Err(Error::undecodable("a chunk does not begin with FLR"));
        }
        let number = |at: usize| {
            let bytes = header[at..].first_chunk().expect("the header has 68 bytes");
            u64::from_be_bytes(*bytes)
        };
        let (major, minor) = (header[5], header[7]);
        if header[4] != 0 || !matches!(major, 1 | 2) {
            return Err(Error::undecodable(format!(
                "version {major}.{minor} is none that we read"
            )));
        }
        let size = number(8);
        let fits = usize::try_from(size).ok();
        let fits = fits.filter(|size| (HEADER_BYTES..=bytes.len()).contains(size));
        let Some(size) = fits else {
            return Err(Error::undecodable(format!(
                "a chunk of {size} bytes is not all there, or was never finished"
            )));
        };
        let ticks_per_second = number(56);
        if ticks_per_second == 0 {
            return Err(Error::undecodable("a chunk has no ticks"));
        }
        Ok(Self {
            bytes: size,
            metadata_at: number(24),
            start: number(32).cast_signed().max(0),
            duration: number(40).cast_signed().max(0),
            ticks_per_second,
            compressed: header[67] & 1 != 0,
        })
    }

    /// Nanoseconds of a time in ticks.
    pub(crate) fn nanoseconds(&self, ticks: i64) -> i64 {
        let nanoseconds = u128::from(ticks.max(0).unsigned_abs()) * 1_000_000_000
            / u128::from(self.ticks_per_second);
        i64::try_from(nanoseconds).unwrap_or(i64::MAX)
    }
}

impl<'a> Chunk<'a> {
    /// Reads the types; `bytes` are the chunk's own, and `readable` bytes of its constants may be
    /// read later.
    pub(crate) fn open(
        bytes: &'a [u8],
        header: Header,
        limits: &Limits,
        readable: usize,
    ) -> Result<Self, Error> {
        let place = || "metadata".to_owned();
        let at = usize::try_from(header.metadata_at)
            .ok()
            .filter(|at| (HEADER_BYTES..bytes.len()).contains(at))
            .ok_or_else(|| Error::undecodable("it lies outside of its chunk").within(place))?;
        let mut reader = Reader::new(&bytes[at..], header.compressed);
        let types = event(&mut reader)
            .and_then(|(type_id, reader)| match type_id {
                METADATA => metadata::read(reader, limits),
                other => Err(Error::undecodable(format!(
                    "there is an event of type {other} in its place"
                ))),
            })
            .map_err(|error| error.within(place))?;
        let pools = Pools::new(&types, limits, readable);
        Ok(Self {
            header,
            types,
            pools,
            body: bytes,
        })
    }

    /// Reads the constants, which lie between events in any number of parts.
    pub(crate) fn read_constants(&mut self) -> Result<(), Error> {
        let Self { types, pools, .. } = self;
        walk(self.body, self.header, |type_id, fields| match type_id {
            CHECKPOINT => pools.read(types, fields),
            _ => Ok(()),
        })
    }

    /// Tells `visit` the type's position and the fields of each event; no position if the type is
    /// unknown.
    pub(crate) fn events(
        &self,
        mut visit: impl FnMut(Option<u32>, Reader<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        walk(self.body, self.header, |type_id, fields| match type_id {
            METADATA | CHECKPOINT => Ok(()),
            _ => visit(self.types.by_id.get(&type_id).copied(), fields),
        })
    }
}

fn walk<'a>(
    body: &'a [u8],
    header: Header,
    mut visit: impl FnMut(i64, Reader<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = Reader::new(&body[HEADER_BYTES..], header.compressed);
    while !reader.rest().is_empty() {
        let at = body.len() - reader.rest().len();
        event(&mut reader)
            .and_then(|(type_id, fields)| visit(type_id, fields))
            .map_err(|error| error.within(|| format!("event at byte {at}")))?;
    }
    Ok(())
}

/// Passes over one event: its type and its fields.
fn event<'a>(reader: &mut Reader<'a>) -> Result<(i64, Reader<'a>), Error> {
    let mut fields = *reader;
    let size = fields.int()?;
    let size = usize::try_from(size).ok();
    let size = size.filter(|size| *size <= reader.rest().len());
    let read = reader.rest().len() - fields.rest().len();
    let Some(left) = size.and_then(|size| size.checked_sub(read)) else {
        return Err(Error::undecodable("its size is wrong"));
    };
    reader.take(read)?;
    let mut fields = fields.over(reader.take(left)?);
    Ok((fields.long()?, fields))
}
