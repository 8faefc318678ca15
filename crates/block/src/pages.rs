//! The pages of a section, looked at before they are decoded.
//!
//! Texts packed by their lengths say how many there are. The Parquet library asks for room for as
//! many before it reads the first one, and a process that asks for more than there is ends at once.
//! So pages whose counts can't be true are refused here; all else is the library's to check.

use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;

/// Texts of one page. Ours have 20,000 rows.
const TEXTS_MAX: u64 = 16 << 20;

/// All rows of a section whose pages are checked.
pub(crate) struct Pages {
    pub(crate) bytes: Arc<Bytes>,
    pub(crate) metadata: Arc<ParquetMetaData>,
}

impl RowGroups for Pages {
    fn num_rows(&self) -> usize {
        let rows = self.row_groups().map(|group| group.num_rows() as usize);
        rows.fold(0, usize::saturating_add)
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        Ok(Box::new(Chunks {
            bytes: Arc::clone(&self.bytes),
            metadata: Arc::clone(&self.metadata),
            column,
            group: 0,
        }))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.metadata.row_groups().iter())
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// What one column has in each row group.
struct Chunks {
    bytes: Arc<Bytes>,
    metadata: Arc<ParquetMetaData>,
    column: usize,
    group: usize,
}

impl Iterator for Chunks {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.metadata.row_groups().get(self.group)?;
        self.group += 1;
        let bytes = Arc::clone(&self.bytes);
        let rows = group.num_rows() as usize;
        let pages = SerializedPageReader::new(bytes, group.column(self.column), rows, None);
        Some(pages.map(|pages| Box::new(Checked(pages)) as Box<dyn PageReader>))
    }
}

impl PageIterator for Chunks {}

struct Checked(SerializedPageReader<Bytes>);

impl Iterator for Checked {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Checked {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.0.get_next_page()?;
        page.iter().try_for_each(check)?;
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.0.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.0.at_record_boundary()
    }
}

/// Refuses a page of texts that claims to hold more of them than its header does.
fn check(page: &Page) -> Result<()> {
    // Front coding has the lengths of what is shared, then those of the rest.
    let counts = match page.encoding() {
        Encoding::DELTA_BYTE_ARRAY => 2,
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        _ => return Ok(()),
    };
    let Page::DataPageV2 {
        buf,
        num_values,
        def_levels_byte_len,
        rep_levels_byte_len,
        ..
    } = page
    else {
        return Err(wrong("its texts lie in a page of version 1"));
    };
    let max = u64::from(*num_values);
    if max > TEXTS_MAX {
        return Err(wrong("a page has more than 16 Mi texts"));
    }
    let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
    let levels = usize::try_from(levels).ok();
    let mut rest = levels
        .and_then(|levels| buf.get(levels..))
        .ok_or_else(ends)?;
    for _ in 0..counts {
        let (count, after) = numbers(rest).ok_or_else(ends)?;
        if count > max {
            return Err(wrong("a page has more texts than it says"));
        }
        rest = after;
    }
    Ok(())
}

fn ends() -> ParquetError {
    wrong("the lengths of its texts end early")
}

fn wrong(reason: &str) -> ParquetError {
    ParquetError::General(reason.to_owned())
}

/// How many numbers begin here in Parquet's `DELTA_BINARY_PACKED`, and what follows them. None if
/// they end early or can't be measured.
fn numbers(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (block, rest) = varint(bytes)?;
    let (parts, rest) = varint(rest)?;
    let (count, rest) = varint(rest)?;
    let (_first, mut rest) = varint(rest)?;
    let per_part = usize::try_from(block.checked_div(parts)?).ok()?;
    let parts = usize::try_from(parts).ok()?;
    if per_part == 0 {
        return None;
    }
    let mut left = usize::try_from(count).ok()?.saturating_sub(1);
    while left > 0 {
        let (_least, after) = varint(rest)?;
        let (widths, mut packed) = after.split_at_checked(parts)?;
        for &width in widths {
            // The widths of parts that are not there mean nothing.
            if left > 0 {
                let bits = usize::from(width).checked_mul(per_part)?;
                packed = packed.get(bits / 8..)?;
                left = left.saturating_sub(per_part);
            }
        }
        rest = packed;
    }
    Some((count, rest))
}

/// A number of seven bits per byte, lowest first.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * at as u32)?;
        if byte < 0x80 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::data_type::Int32Type;
    use parquet::file::metadata::ParquetMetaDataReader;

    /// Numbers as the library packs them, and something behind them.
    fn packed(values: &[i32]) -> Vec<u8> {
        use parquet::file::properties::{WriterProperties, WriterVersion};
        use parquet::file::writer::SerializedFileWriter;
        use parquet::schema::parser::parse_message_type;

        let schema = parse_message_type("message m { required int32 n; }").expect("a schema");
        let properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_dictionary_enabled(false)
            .set_encoding(Encoding::DELTA_BINARY_PACKED)
            .build();
        let mut file =
            SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))
                .expect("a writer");
        let mut group = file.next_row_group().expect("a group");
        let mut column = group.next_column().expect("readable").expect("a column");
        let typed = column.typed::<Int32Type>();
        typed.write_batch(values, None, None).expect("written");
        column.close().expect("closed");
        group.close().expect("closed");
        let bytes = Bytes::from(file.into_inner().expect("written"));
        let mut reader = ParquetMetaDataReader::new();
        reader.try_parse(&bytes).expect("valid");
        let pages = Pages {
            bytes: Arc::new(bytes),
            metadata: Arc::new(reader.finish().expect("valid")),
        };
        let mut chunks = pages.column_chunks(0).expect("a column");
        let mut chunk = chunks.next().expect("a chunk").expect("readable");
        let page = chunk.get_next_page().expect("readable").expect("a page");
        page.buffer().to_vec()
    }

    #[test]
    fn numbers_end_where_the_library_ends_them() {
        for count in [1, 2, 31, 32, 33, 128, 129, 130, 1_000] {
            let spread = |n: i32| n.wrapping_mul(2_654_435);
            for values in [
                (0..count).collect::<Vec<i32>>(),
                (0..count).map(spread).collect(),
            ] {
                let mut bytes = packed(&values);
                bytes.extend_from_slice(b"rest");
                let (found, rest) = numbers(&bytes).expect("whole");
                assert_eq!((found, rest), (count as u64, &b"rest"[..]));
                for end in 0..bytes.len() - 4 {
                    assert!(numbers(&bytes[..end]).is_none(), "cut at {end}");
                }
            }
        }
    }
}
