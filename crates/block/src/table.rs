//! One section as a Parquet file of its own: how columns are packed, written and read back.
//!
//! Knows types and encodings, not meanings.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowWriter, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use crate::Error;
use crate::error::SectionName;
use crate::pages::Pages;
use crate::toc::Encoded;

/// Rows that are decoded at once: few enough to stay in a core's cache.
const BATCH_ROWS: usize = 8 << 10;

/// The same where there are texts: few enough that the longest ones fit one array.
const BATCH_TEXTS: usize = 1 << 10;

/// Sections of the index with no more rows aren't compressed: setting up a decoder for a column
/// takes longer than reading it.
const PLAIN_ROWS: usize = 256;

/// How a column is packed before compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// Few distinct values.
    Dictionary,
    /// Numbers near their neighbours.
    Delta,
    /// Numbers whose upper bytes are like their neighbours': all first bytes, all second bytes, ...
    Split,
    /// Texts that begin like their neighbours.
    Front,
    Plain,
}

/// A column: name, type, packing. A list is packed as its items.
pub(crate) struct Column {
    field: Field,
    packing: Packing,
    compressed: bool,
}

impl Column {
    pub(crate) fn new(name: &str, data_type: DataType, packing: Packing) -> Self {
        Self {
            field: Field::new(name, data_type, false),
            packing,
            compressed: true,
        }
    }

    pub(crate) fn optional(name: &str, data_type: DataType, packing: Packing) -> Self {
        Self {
            field: Field::new(name, data_type, true),
            packing,
            compressed: true,
        }
    }

    /// Leaves the column as packed, since compression would hardly make it smaller.
    pub(crate) fn uncompressed(self) -> Self {
        Self {
            compressed: false,
            ..self
        }
    }

    /// Paths of the columns that Parquet stores for this one.
    fn leaves(&self) -> Vec<ColumnPath> {
        fn walk(field: &Field, mut path: Vec<String>, out: &mut Vec<ColumnPath>) {
            path.push(field.name().clone());
            match field.data_type() {
                DataType::List(item) => {
                    path.push("list".to_owned());
                    walk(item, path, out);
                }
                DataType::Struct(fields) => {
                    for field in fields {
                        walk(field, path.clone(), out);
                    }
                }
                _ => out.push(ColumnPath::new(path)),
            }
        }
        let mut out = Vec::new();
        walk(&self.field, Vec::new(), &mut out);
        out
    }
}

/// The item of a list column.
pub(crate) fn item(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", data_type, false))
}

/// What all sections of a level share.
pub(crate) fn properties(level: u8) -> WriterPropertiesBuilder {
    let compression = match level {
        0 => Compression::LZ4_RAW,
        _ => Compression::ZSTD(ZstdLevel::try_new(3).expect("3 is a level of zstd")),
    };
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by("cairn".to_owned())
        .set_statistics_enabled(EnabledStatistics::None)
        .set_compression(compression)
}

/// The same for a section of the index with so many rows.
pub(crate) fn index_properties(
    properties: &WriterPropertiesBuilder,
    rows: usize,
) -> WriterPropertiesBuilder {
    let properties = properties.clone();
    if rows <= PLAIN_ROWS {
        properties.set_compression(Compression::UNCOMPRESSED)
    } else {
        properties
    }
}

/// A section being written.
pub(crate) struct Table {
    name: SectionName,
    schema: Arc<Schema>,
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
}

impl Table {
    pub(crate) fn new(
        name: SectionName,
        columns: Vec<Column>,
        mut properties: WriterPropertiesBuilder,
    ) -> Result<Self, Error> {
        for column in &columns {
            for path in column.leaves() {
                if !column.compressed {
                    let none = Compression::UNCOMPRESSED;
                    properties = properties.set_column_compression(path.clone(), none);
                }
                properties = pack(properties, path, column.packing);
            }
        }
        let fields: Vec<Field> = columns.into_iter().map(|column| column.field).collect();
        let schema = Arc::new(Schema::new(fields));
        // Readers get by with Parquet's own schema; Arrow's would be half of a small block.
        let options = ArrowWriterOptions::new()
            .with_properties(properties.build())
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options)
            .map_err(|source| Error::Encode {
                section: name,
                source,
            })?;
        Ok(Self {
            name,
            schema,
            writer,
            rows: 0,
        })
    }

    /// Appends rows, one array per column.
    pub(crate) fn push(&mut self, columns: Vec<ArrayRef>) -> Result<(), Error> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("arrays are as the columns say");
        self.rows += batch.num_rows() as u64;
        self.writer
            .write(&batch)
            .map_err(|source| self.error(source))
    }

    pub(crate) fn finish(mut self) -> Result<Encoded, Error> {
        let metadata = self.writer.finish().map_err(|source| self.error(source))?;
        Ok(Encoded {
            name: self.name,
            rows: self.rows,
            footer: footer(&metadata),
            bytes: std::mem::take(self.writer.inner_mut()),
        })
    }

    fn error(&self, source: parquet::errors::ParquetError) -> Error {
        Error::Encode {
            section: self.name,
            source,
        }
    }
}

fn pack(
    properties: WriterPropertiesBuilder,
    path: ColumnPath,
    packing: Packing,
) -> WriterPropertiesBuilder {
    let encoding = match packing {
        Packing::Dictionary => return properties,
        Packing::Delta => Encoding::DELTA_BINARY_PACKED,
        Packing::Split => Encoding::BYTE_STREAM_SPLIT,
        Packing::Front => Encoding::DELTA_BYTE_ARRAY,
        Packing::Plain => Encoding::PLAIN,
    };
    properties
        .set_column_dictionary_enabled(path.clone(), false)
        .set_column_encoding(path, encoding)
}

/// Where the data of a file ends and what describes it begins.
fn footer(metadata: &ParquetMetaData) -> u64 {
    let columns = metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns());
    let ends = columns.map(|column| {
        let (start, bytes) = column.byte_range();
        start + bytes
    });
    ends.max().unwrap_or(0)
}

/// Runs what decodes a section. The Parquet library panics on some malformed files: damage fails
/// its checksum before, but a section that was made to deceive does not.
pub(crate) fn decode<T>(
    name: SectionName,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err(Error::corrupt(name, "it is malformed")))
}

/// Rows of a section in batches, with the columns found by name.
pub(crate) struct Batches {
    name: SectionName,
    reader: ParquetRecordBatchReader,
}

/// Opens a section whose checksums agree.
pub(crate) fn read(name: SectionName, bytes: Bytes) -> Result<Batches, Error> {
    open(name, bytes, |_| ProjectionMask::all())
}

/// The same for a single column.
pub(crate) fn read_column(name: SectionName, bytes: Bytes, column: &str) -> Result<Batches, Error> {
    open(name, bytes, |schema| {
        ProjectionMask::columns(schema, [column])
    })
}

fn open(
    name: SectionName,
    bytes: Bytes,
    columns: impl FnOnce(&SchemaDescriptor) -> ProjectionMask,
) -> Result<Batches, Error> {
    decode(name, || {
        let corrupt = |error| Error::corrupt(name, error);
        let metadata = Arc::new(metadata(&bytes).map_err(corrupt)?);
        let schema = metadata.file_metadata().schema_descr();
        let mut all = schema.columns().iter();
        let rows = match all.any(|column| column.physical_type() == Type::BYTE_ARRAY) {
            true => BATCH_TEXTS,
            false => BATCH_ROWS,
        };
        let levels =
            parquet_to_arrow_field_levels(schema, columns(schema), None).map_err(corrupt)?;
        let pages = Pages {
            bytes: Arc::new(bytes),
            metadata: Arc::clone(&metadata),
        };
        let reader = ParquetRecordBatchReader::try_new_with_row_groups(&levels, &pages, rows, None);
        let reader = reader.map_err(corrupt)?;
        Ok(Batches { name, reader })
    })
}

/// How many rows a section says it has.
pub(crate) fn rows(name: SectionName, bytes: Bytes) -> Result<u64, Error> {
    decode(name, || {
        let metadata = metadata(&bytes).map_err(|error| Error::corrupt(name, error))?;
        u64::try_from(metadata.file_metadata().num_rows())
            .map_err(|_| Error::corrupt(name, "it has fewer than no rows"))
    })
}

fn metadata(bytes: &Bytes) -> parquet::errors::Result<ParquetMetaData> {
    let mut reader = ParquetMetaDataReader::new();
    reader.try_parse(bytes)?;
    reader.finish()
}

impl Batches {
    pub(crate) fn next(&mut self) -> Result<Option<Batch>, Error> {
        let name = self.name;
        decode(name, || match self.reader.next() {
            None => Ok(None),
            Some(Ok(rows)) => Ok(Some(Batch { name, rows })),
            Some(Err(error)) => Err(Error::corrupt(name, error)),
        })
    }
}

pub(crate) struct Batch {
    name: SectionName,
    rows: RecordBatch,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Whether there is such a column.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.rows.column_by_name(column).is_some()
    }

    /// A column of required values.
    pub(crate) fn column<A: Array + 'static>(&self, column: &str) -> Result<&A, Error> {
        let found: &A = self.optional(column)?;
        if found.null_count() > 0 {
            return Err(self.corrupt(format_args!("column {column} has gaps")));
        }
        Ok(found)
    }

    pub(crate) fn optional<A: Array + 'static>(&self, column: &str) -> Result<&A, Error> {
        self.rows
            .column_by_name(column)
            .and_then(|array| array.as_any().downcast_ref())
            .ok_or_else(|| self.corrupt(format_args!("no column {column} of the right type")))
    }

    /// An array within a column of lists.
    pub(crate) fn inner<'a, A: Array + 'static>(
        &self,
        array: &'a ArrayRef,
    ) -> Result<&'a A, Error> {
        let inner = array.as_any().downcast_ref::<A>();
        inner
            .filter(|inner| inner.null_count() == 0)
            .ok_or_else(|| self.corrupt("a list has items of another type"))
    }

    pub(crate) fn corrupt(&self, reason: impl ToString) -> Error {
        Error::corrupt(self.name, reason)
    }
}
