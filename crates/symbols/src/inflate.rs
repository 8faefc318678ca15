//! Compressed parts of files, inflated within a bound.

use std::borrow::Cow;
use std::io::Read;

use object::{CompressedData, CompressionFormat};

/// Memory that the dictionary of an xz stream may claim.
const XZ_DICTIONARY_KIB_MAX: u32 = 64 << 10;

/// The bytes of a section; `None` if they are damaged or more than `bytes_max`.
pub(crate) fn section<'a>(data: &CompressedData<'a>, bytes_max: usize) -> Option<Cow<'a, [u8]>> {
    let claimed = usize::try_from(data.uncompressed_size).ok()?;
    if claimed > bytes_max {
        return None;
    }
    let inflated = match data.format {
        CompressionFormat::None => return Some(Cow::Borrowed(data.data)),
        CompressionFormat::Zlib => bounded(flate2::read::ZlibDecoder::new(data.data), claimed),
        CompressionFormat::Zstandard => {
            bounded(zstd::stream::read::Decoder::new(data.data).ok()?, claimed)
        }
        _ => None,
    }?;
    (inflated.len() == claimed).then_some(Cow::Owned(inflated))
}

/// The content of an xz stream; `None` if it is damaged or has more than `bytes_max`.
pub(crate) fn xz(stream: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let reader = lzma_rust2::XzReader::new_mem_limit(stream, false, XZ_DICTIONARY_KIB_MAX);
    bounded(reader, bytes_max)
}

/// Grows with what there is: the size that a header claims allocates nothing.
fn bounded(reader: impl Read, bytes_max: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let one_more = (bytes_max as u64).saturating_add(1);
    reader.take(one_more).read_to_end(&mut bytes).ok()?;
    (bytes.len() <= bytes_max).then_some(bytes)
}
