//! Sample rows as they are read: which bytes hold them, and decoding those.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes, buf::Reader};
use parquet::basic::Type;
use parquet::column::page::PageReader;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use crate::Error;
use crate::samples::{ATTRS, Columns, LINK, SAMPLES, STACK, TIME, VALUE};
use crate::table;
use crate::tables::{RowRange, SampleColumns};
use crate::toc::Toc;

/// Rows that are decoded at once: they stay in a core's cache until they are used.
const BATCH_ROWS: usize = 16 << 10;

/// Where the rows of a block are.
#[derive(Debug)]
pub(crate) struct Layout {
    metadata: ParquetMetaData,
    /// First row of every row group, and the number of rows.
    starts: Vec<u64>,
    bytes: u64,
    limits: Limits,
}

/// What row values must stay below.
#[derive(Clone, Copy, Debug)]
struct Limits {
    stacks: u32,
    attrs: u32,
    links: u32,
}

impl Layout {
    /// `footer` are the last bytes of a section of `bytes`.
    pub(crate) fn parse(footer: &Bytes, bytes: u64, toc: &Toc) -> Result<Self, Error> {
        let mut reader =
            ParquetMetaDataReader::new().with_offset_index_policy(PageIndexPolicy::Required);
        reader.try_parse_sized(footer, bytes).map_err(corrupt)?;
        let metadata = reader.finish().map_err(corrupt)?;
        let mut starts = vec![0u64];
        for group in metadata.row_groups() {
            let end = starts[starts.len() - 1].checked_add_signed(group.num_rows());
            starts.push(end.ok_or_else(|| corrupt("a row group has no valid length"))?);
        }
        if starts.last() != Some(&toc.rows) {
            return Err(corrupt("there are more or fewer rows than counted"));
        }
        for column in metadata
            .row_groups()
            .iter()
            .flat_map(|group| group.columns())
        {
            let first = column.dictionary_page_offset();
            let first = first.unwrap_or(column.data_page_offset());
            if column.compressed_size() < 0 || first < 0 {
                return Err(corrupt("a column has no valid place"));
            }
        }
        let limits = Limits {
            stacks: toc.stacks,
            attrs: toc.attr_sets,
            links: toc.find(crate::index::LINKS).map_or(1, |s| s.rows as u32),
        };
        Ok(Self {
            metadata,
            starts,
            bytes,
            limits,
        })
    }

    /// How much memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.metadata.memory_size()
    }

    /// Sorts and joins `ranges` and cuts them at row groups.
    pub(crate) fn parts(&self, ranges: &[RowRange]) -> Result<Vec<Part>, Error> {
        let mut sorted: Vec<Range<u64>> = ranges
            .iter()
            .filter(|range| range.len > 0)
            .map(|range| range.start..range.start.saturating_add(u64::from(range.len)))
            .collect();
        sorted.sort_unstable_by_key(|range| range.start);
        let total = self.starts[self.starts.len() - 1];
        let mut parts: Vec<Part> = Vec::new();
        let mut group = 0;
        let mut done = 0;
        for range in sorted {
            if range.end > total {
                return Err(corrupt("rows beyond the last one were asked for"));
            }
            let mut at = range.start.max(done);
            while at < range.end {
                while self.starts[group + 1] <= at {
                    group += 1;
                }
                let end = range.end.min(self.starts[group + 1]);
                let piece = at - self.starts[group]..end - self.starts[group];
                match parts.last_mut().filter(|part| part.group == group) {
                    Some(part) => part.add(piece),
                    None => parts.push(Part {
                        group,
                        rows: vec![piece],
                    }),
                }
                at = end;
            }
            done = done.max(range.end);
        }
        Ok(parts)
    }

    /// The bytes of the section that hold a part, sorted and joined.
    pub(crate) fn bytes(&self, part: &Part, columns: Columns) -> Result<Vec<Range<u64>>, Error> {
        let mut out: Vec<Range<u64>> = Vec::new();
        let group = self.metadata.row_group(part.group);
        let wanted = |column: &usize| columns.has(&group.column(*column).column_path().string());
        for column in (0..group.num_columns()).filter(wanted) {
            let pages = self.pages(part.group, column)?;
            let (start, bytes) = group.column(column).byte_range();
            let first = pages
                .first()
                .map_or(start + bytes, |page| page.offset as u64);
            if start < first {
                out.push(start..first);
            }
            let mut rows = part.rows.iter().peekable();
            for (at, page) in pages.iter().enumerate() {
                let end = pages
                    .get(at + 1)
                    .map_or(u64::MAX, |p| p.first_row_index as u64);
                while rows
                    .next_if(|rows| rows.end <= page.first_row_index as u64)
                    .is_some()
                {}
                if rows.peek().is_some_and(|rows| rows.start < end) {
                    let start = page.offset as u64;
                    out.push(start..start + page.compressed_page_size as u64);
                }
            }
        }
        out.sort_unstable_by_key(|range| range.start);
        if out
            .iter()
            .any(|range| range.start > range.end || range.end > self.bytes)
        {
            return Err(corrupt("a page is outside of the section"));
        }
        Ok(out)
    }

    fn pages(&self, group: usize, column: usize) -> Result<&Vec<PageLocation>, Error> {
        let index = self.metadata.page_index();
        let chunk = self.metadata.row_group(group).column(column);
        let start = chunk.byte_range().0 as i64;
        index
            .and_then(|index| index.offset_index(group, column))
            .map(|index| index.page_locations())
            .filter(|pages| {
                pages.iter().all(|page| {
                    page.offset >= start
                        && page.compressed_page_size >= 0
                        && page.first_row_index >= 0
                })
            })
            .ok_or_else(|| corrupt("there is no page index"))
    }
}

/// Rows of one row group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub(crate) group: usize,
    /// Within the group; sorted, apart, not empty.
    rows: Vec<Range<u64>>,
}

impl Part {
    fn add(&mut self, rows: Range<u64>) {
        match self.rows.last_mut().filter(|last| last.end == rows.start) {
            Some(last) => last.end = rows.end,
            None => self.rows.push(rows),
        }
    }

    pub fn len(&self) -> u64 {
        self.rows.iter().map(|rows| rows.end - rows.start).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Cuts it into pieces of at most so many rows; the pages of a column end at about the same ones.
    fn cut(&self, rows_max: u64) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut piece = Self {
            group: self.group,
            rows: Vec::new(),
        };
        let mut left = rows_max.max(1);
        for range in &self.rows {
            let mut at = range.start;
            while at < range.end {
                let end = range.end.min(at.saturating_add(left));
                piece.rows.push(at..end);
                left -= end - at;
                at = end;
                if left == 0 {
                    left = rows_max.max(1);
                    let rows = std::mem::take(&mut piece.rows);
                    pieces.push(Self { rows, ..piece });
                }
            }
        }
        if !piece.is_empty() {
            pieces.push(piece);
        }
        pieces
    }
}

/// Sample rows in memory, compared with their checksums but still encoded.
#[derive(Clone, Debug)]
pub struct Rows {
    layout: Arc<Layout>,
    part: Part,
    columns: Columns,
    bytes: Sparse,
}

impl Rows {
    pub(crate) fn new(
        layout: Arc<Layout>,
        (part, columns): (Part, Columns),
        bytes: Vec<(u64, Bytes)>,
    ) -> Self {
        let bytes = Sparse {
            len: layout.bytes,
            pieces: bytes.into(),
        };
        Self {
            layout,
            part,
            columns,
            bytes,
        }
    }

    /// The same in pieces of about so many rows, which can be decoded beside each other.
    pub fn cut(self, rows_max: u64) -> Vec<Self> {
        let of = |part| Self {
            part,
            ..self.clone()
        };
        self.part.cut(rows_max).into_iter().map(of).collect()
    }

    /// Gives every row to `visit`, in order: the number of a run's first row, and the run. Takes
    /// CPU time only.
    pub fn visit(&self, visit: &mut dyn FnMut(u64, &SampleColumns)) -> Result<(), Error> {
        let mut decoder = self.decoder()?;
        let mut rows = SampleColumns::default();
        while let Some(first) = decoder.next(&mut rows)? {
            visit(first, &rows);
        }
        Ok(())
    }

    /// The same at the pace of whoever asks.
    pub fn decoder(&self) -> Result<Decoder, Error> {
        let stack = self.column(STACK)?;
        let value = self.column(VALUE)?;
        Ok(Decoder {
            stack: stack.ok_or_else(|| corrupt("there is no column of stacks"))?,
            value: value.ok_or_else(|| corrupt("there is no column of values"))?,
            attr: self.column(ATTRS)?,
            link: self.column(LINK)?,
            time: self.column(TIME)?,
            limits: self.layout.limits,
            start: self.layout.starts[self.part.group],
            left: self.part.rows.clone().into_iter(),
            now: 0..0,
            at: 0,
        })
    }

    fn column<T: DataType>(&self, name: &str) -> Result<Option<ColumnReaderImpl<T>>, Error> {
        if !self.columns.has(name) {
            return Ok(None);
        }
        let group = self.layout.metadata.row_group(self.part.group);
        let found = (0..group.num_columns())
            .find(|column| group.column(*column).column_path().string() == name);
        let Some(column) = found else {
            return Ok(None);
        };
        let chunk = group.column(column);
        let descriptor = chunk.column_descr_ptr();
        let expected: Type = T::get_physical_type();
        if chunk.column_type() != expected || descriptor.max_def_level() != 0 {
            return Err(corrupt(format_args!("column {name} is of another type")));
        }
        let pages = self.layout.pages(self.part.group, column)?.clone();
        let rows = group.num_rows() as usize;
        let pages =
            SerializedPageReader::new(Arc::new(self.bytes.clone()), chunk, rows, Some(pages));
        let pages: Box<dyn PageReader> = Box::new(pages.map_err(corrupt)?);
        Ok(Some(ColumnReaderImpl::new(descriptor, pages)))
    }
}

/// Decodes rows run by run.
pub struct Decoder {
    stack: ColumnReaderImpl<Int32Type>,
    value: ColumnReaderImpl<Int64Type>,
    attr: Option<ColumnReaderImpl<Int32Type>>,
    link: Option<ColumnReaderImpl<Int32Type>>,
    time: Option<ColumnReaderImpl<Int32Type>>,
    limits: Limits,
    /// First row of the row group.
    start: u64,
    left: std::vec::IntoIter<Range<u64>>,
    /// What is left of the current range.
    now: Range<u64>,
    /// Where the columns stand.
    at: u64,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// Replaces `rows` by the next run; gives the number of its first row.
    pub fn next(&mut self, rows: &mut SampleColumns) -> Result<Option<u64>, Error> {
        table::decode(SAMPLES, || self.run(rows))
    }

    fn run(&mut self, rows: &mut SampleColumns) -> Result<Option<u64>, Error> {
        if self.now.is_empty() {
            match self.left.next() {
                Some(range) => self.now = range,
                None => return Ok(None),
            }
        }
        let first = self.now.start;
        let count = (self.now.end - first).min(BATCH_ROWS as u64) as usize;
        let skip = (first - self.at) as usize;
        let Limits {
            stacks,
            attrs,
            links,
        } = self.limits;
        read_positions(&mut self.stack, (skip, count), stacks, &mut rows.stacks)?;
        read(&mut self.value, (skip, count), &mut rows.values)?;
        match &mut self.attr {
            Some(column) => read_positions(column, (skip, count), attrs, &mut rows.attrs)?,
            None => rows.attrs.clear(),
        }
        match &mut self.link {
            Some(column) => read_positions(column, (skip, count), links, &mut rows.links)?,
            None => rows.links.clear(),
        }
        match &mut self.time {
            Some(column) => read_positions(column, (skip, count), u32::MAX, &mut rows.times)?,
            None => rows.times.clear(),
        }
        self.now.start += count as u64;
        self.at = self.now.start;
        Ok(Some(self.start + first))
    }
}

/// Skips, then reads rows in place of what `out` holds.
fn read<T: DataType>(
    column: &mut ColumnReaderImpl<T>,
    (skip, count): (usize, usize),
    out: &mut Vec<T::T>,
) -> Result<(), Error> {
    out.clear();
    let skipped = column.skip_records(skip).map_err(corrupt)?;
    let (read, ..) = column
        .read_records(count, None, None, out)
        .map_err(corrupt)?;
    if skipped == skip && read == count && out.len() == count {
        Ok(())
    } else {
        Err(corrupt("a column ends early"))
    }
}

fn read_positions(
    column: &mut ColumnReaderImpl<Int32Type>,
    rows: (usize, usize),
    limit: u32,
    out: &mut Vec<u32>,
) -> Result<(), Error> {
    // Parquet has no unsigned type: the same bits under another name, in the same memory.
    let mut signed: Vec<i32> = std::mem::take(out).into_iter().map(|v| v as i32).collect();
    read(column, rows, &mut signed)?;
    *out = signed.into_iter().map(|v| v as u32).collect();
    match out.iter().copied().max() {
        Some(max) if max >= limit => {
            Err(corrupt(format_args!("position {max} is beyond its table")))
        }
        _ => Ok(()),
    }
}

/// A section of which only some bytes were read.
#[derive(Clone, Debug)]
struct Sparse {
    len: u64,
    /// Offset and bytes, sorted.
    pieces: Arc<[(u64, Bytes)]>,
}

impl Length for Sparse {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Sparse {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let piece = self.pieces.partition_point(|(offset, _)| *offset <= start);
        let piece = piece.checked_sub(1).map(|at| &self.pieces[at]);
        piece
            .and_then(|(offset, bytes)| Some((bytes, usize::try_from(start - offset).ok()?)))
            .filter(|(bytes, skip)| *skip <= bytes.len())
            .map(|(bytes, skip)| bytes.slice(skip..).reader())
            .ok_or_else(|| ParquetError::EOF(format!("byte {start} was not read")))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.get_read(start)?.into_inner();
        if length > bytes.remaining() {
            let reason = format!("{length} bytes from {start} on were not read");
            return Err(ParquetError::EOF(reason));
        }
        Ok(bytes.slice(..length))
    }
}

fn corrupt(reason: impl ToString) -> Error {
    Error::corrupt(SAMPLES, reason)
}
