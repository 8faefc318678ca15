//! Bytes to record batches. Owns the framing of Arrow streams, and checks what the Arrow library
//! trusts: where buffers lie and how long they become.
//!
//! A buffer may hold several streams, one after another; each has its own schema.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::{Message, MessageHeader, MetadataVersion};
use flatbuffers::VerifierOptions;

use crate::Error;
use crate::layout::Layout;
use crate::meter::Meter;

const CONTINUATION: u32 = u32::MAX;

/// Length of what tells how long a compressed buffer becomes.
const LENGTH_BYTES: usize = 8;

/// What it costs to begin inflating a buffer, in bytes that could be read meanwhile.
const INFLATE_COST: usize = 4 << 10;

/// What it costs to look at one field of the schema for one message.
const FIELD_COST: usize = 16;

/// Tables in the message of a schema: about three per field.
const SCHEMA_TABLES_MAX: usize = 100_000;

/// Tables in any other message.
const TABLES_MAX: usize = 64;

/// Runs what reads a buffer. The Arrow library panics on some malformed messages.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let done = std::panic::catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err(Error::undecodable("a message is malformed")))
}

/// Calls `take` with every batch of every stream. Returns how many columns have no meaning.
pub(crate) fn read<'a>(
    bytes: &[u8],
    meter: &mut Meter<'a>,
    mut take: impl FnMut(&Layout, &RecordBatch, &mut Meter<'a>) -> Result<(), Error>,
) -> Result<u64, Error> {
    let mut rest = bytes;
    let mut open: Option<Stream> = None;
    let (mut streams, mut ignored) = (0, 0);
    while !rest.is_empty() {
        let (metadata, after) = metadata(rest)?;
        let Some(metadata) = metadata else {
            rest = after;
            open = None;
            continue;
        };
        let is_first = open.is_none();
        let message = verified(metadata, is_first)?;
        let body_bytes = usize::try_from(message.bodyLength()).ok();
        let Some((body, after)) = body_bytes.and_then(|bytes| after.split_at_checked(bytes)) else {
            return Err(Error::undecodable(format!(
                "a message says it has {} bytes, but {} are left",
                message.bodyLength(),
                after.len()
            )));
        };
        rest = after;
        match &mut open {
            None => {
                let schema = message.header_as_schema();
                let schema = schema
                    .ok_or_else(|| Error::undecodable("a stream does not begin with a schema"))?;
                let schema = arrow_ipc::convert::try_fb_to_schema(schema)?;
                let layout = Layout::new(&schema)?;
                streams += 1;
                ignored += layout.ignored;
                open = Some(Stream {
                    layout,
                    dictionaries: HashMap::new(),
                    sizes: HashMap::new(),
                });
            }
            Some(stream) => {
                if let Some(batch) = stream.message(&message, body, meter)? {
                    take(&stream.layout, &batch, meter)?;
                }
            }
        }
    }
    if streams == 0 {
        return Err(Error::undecodable("there is no schema"));
    }
    Ok(ignored)
}

/// The description of the next message, if the stream goes on, and what follows it.
fn metadata(bytes: &[u8]) -> Result<(Option<&[u8]>, &[u8]), Error> {
    let short = || Error::undecodable("the last message is cut off");
    let (mut word, mut rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
    // Old writers leave the marker out.
    if u32::from_le_bytes(*word) == CONTINUATION {
        (word, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    }
    match u32::from_le_bytes(*word) as usize {
        0 => Ok((None, rest)),
        length => {
            let (metadata, rest) = rest.split_at_checked(length).ok_or_else(short)?;
            Ok((Some(metadata), rest))
        }
    }
}

fn verified(metadata: &[u8], may_be_schema: bool) -> Result<Message<'_>, Error> {
    let options = VerifierOptions {
        max_tables: match may_be_schema {
            true => SCHEMA_TABLES_MAX,
            false => TABLES_MAX,
        },
        // Tables may overlap; those of honest writers hardly do.
        max_apparent_size: metadata.len().saturating_mul(8).saturating_add(4 << 10),
        ..VerifierOptions::default()
    };
    arrow_ipc::root_as_message_with_opts(&options, metadata)
        .map_err(|_| Error::undecodable("the description of a message is malformed"))
}

/// A stream whose schema has been read.
struct Stream {
    layout: Layout,
    dictionaries: HashMap<i64, ArrayRef>,
    /// Bytes of each dictionary, which are copied when entries are appended.
    sizes: HashMap<i64, usize>,
}

impl Stream {
    fn message(
        &mut self,
        message: &Message<'_>,
        body: &[u8],
        meter: &mut Meter<'_>,
    ) -> Result<Option<RecordBatch>, Error> {
        meter
            .read
            .take(self.layout.fields.saturating_mul(FIELD_COST))?;
        let malformed = || Error::undecodable("the header of a message is malformed");
        match message.header_type() {
            MessageHeader::DictionaryBatch => {
                let batch = message.header_as_dictionary_batch().ok_or_else(malformed)?;
                self.dictionary(batch, body, message.version(), meter)?;
                Ok(None)
            }
            MessageHeader::RecordBatch => {
                let batch = message.header_as_record_batch().ok_or_else(malformed)?;
                check(&batch, body, meter)?;
                let batch = arrow_ipc::reader::read_record_batch(
                    &Buffer::from(body),
                    batch,
                    Arc::clone(&self.layout.schema),
                    &self.dictionaries,
                    Some(&self.layout.needed),
                    &message.version(),
                )?;
                Ok(Some(batch))
            }
            MessageHeader::NONE => Ok(None),
            _ => Err(Error::undecodable(
                "a message is neither a batch nor a dictionary",
            )),
        }
    }

    fn dictionary(
        &mut self,
        batch: arrow_ipc::DictionaryBatch<'_>,
        body: &[u8],
        version: MetadataVersion,
        meter: &mut Meter<'_>,
    ) -> Result<(), Error> {
        let id = batch.id();
        if !self.layout.dictionaries.contains(&id) {
            return Ok(());
        }
        let data = batch.data();
        let data = data.ok_or_else(|| Error::undecodable("a dictionary has no entries"))?;
        let mut size = check(&data, body, meter)?;
        if batch.isDelta() {
            let before = self.sizes.get(&id).copied().unwrap_or(0);
            meter.plain.take(before)?;
            size += before;
        }
        self.sizes.insert(id, size);
        arrow_ipc::reader::read_dictionary(
            &Buffer::from(body),
            batch,
            &self.layout.schema,
            &mut self.dictionaries,
            &version,
        )?;
        Ok(())
    }
}

/// Checks where the parts of a batch lie, and takes account of how long they become, before any
/// of it is inflated. Returns that length.
fn check(
    batch: &arrow_ipc::RecordBatch<'_>,
    body: &[u8],
    meter: &mut Meter<'_>,
) -> Result<usize, Error> {
    let out_of_range = || Error::undecodable("a part of a batch lies outside of it");
    let mut rows = 0_usize;
    for node in batch.nodes().into_iter().flatten() {
        let (length, nulls) = (node.length(), node.null_count());
        if nulls < 0 || nulls > length {
            return Err(Error::undecodable("a column has more nulls than rows"));
        }
        rows = rows.saturating_add(length as usize);
    }
    meter.read.take(rows)?;
    if batch.length() < 0 {
        return Err(Error::undecodable("a batch has fewer than no rows"));
    }
    let mut bytes = 0_usize;
    for buffer in batch.buffers().into_iter().flatten() {
        let offset = usize::try_from(buffer.offset()).map_err(|_| out_of_range())?;
        let length = usize::try_from(buffer.length()).map_err(|_| out_of_range())?;
        let end = offset.checked_add(length).ok_or_else(out_of_range)?;
        let part = body.get(offset..end).ok_or_else(out_of_range)?;
        let plain = match batch.compression() {
            Some(_) if !part.is_empty() => {
                meter.read.take(INFLATE_COST.saturating_add(part.len()))?;
                inflated(part)?
            }
            _ => part.len(),
        };
        meter.plain.take(plain)?;
        bytes = bytes.saturating_add(plain);
    }
    Ok(bytes.saturating_add(rows))
}

/// What a compressed part says of its length; `-1` says that it is not compressed after all.
fn inflated(part: &[u8]) -> Result<usize, Error> {
    let wrong = || Error::undecodable("a compressed part has no length");
    let (length, rest) = part.split_first_chunk::<LENGTH_BYTES>().ok_or_else(wrong)?;
    match i64::from_le_bytes(*length) {
        -1 => Ok(rest.len()),
        length => usize::try_from(length).map_err(|_| wrong()),
    }
}
