//! Records as agents write them, for tests and load generators. Owns no reading; panics on numbers
//! that agents don't send, such as negative lines.

mod arrays;
mod one_way;
mod two_way;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::{Field, Schema};

pub use one_way::{v2, v2_batch};
pub use two_way::{v1_samples, v1_samples_batch, v1_stacks, v1_stacks_batch};

use crate::StackId;
use crate::layout::VERSION_KEY;

/// One row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pub labels: Vec<(String, String)>,
    /// Leaf first; written in version 2 only.
    pub stack: Arc<[Frame]>,
    pub stack_id: StackId,
    pub value: i64,
    pub producer: String,
    pub sample_type: String,
    pub sample_unit: String,
    pub period_type: String,
    pub period_unit: String,
    /// Empty if there is none.
    pub temporality: String,
    pub period: i64,
    /// Nanoseconds.
    pub duration: i64,
    /// Nanoseconds since the epoch.
    pub time: i64,
}

impl Sample {
    /// What agents say of all samples of CPU time.
    pub fn of_cpu() -> Self {
        Self {
            producer: "parca_agent".to_owned(),
            sample_type: "samples".to_owned(),
            sample_unit: "count".to_owned(),
            period_type: "cpu".to_owned(),
            period_unit: "nanoseconds".to_owned(),
            temporality: "delta".to_owned(),
            ..Self::default()
        }
    }
}

/// One location. Empty texts are written as nulls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Frame {
    pub address: u64,
    pub frame_type: String,
    pub file: String,
    pub build_id: String,
    /// Version 1 only: where the file is mapped.
    pub mapping_start: u64,
    pub mapping_offset: u64,
    /// Innermost first.
    pub calls: Vec<Call>,
}

/// One call at a location.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Call {
    /// Version 1 only.
    pub name: String,
    pub system_name: String,
    pub file: String,
    pub start_line: i64,
    pub line: i64,
    pub column: i64,
}

/// A stream of batches of one schema, compressed as agents do.
pub fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    stream_with(batches, Some(CompressionType::LZ4_FRAME))
}

/// The same, with the compression given.
pub fn stream_with(batches: &[RecordBatch], compression: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default()
        .try_with_compression(compression)
        .expect("this compression is compiled in");
    let mut bytes = Vec::new();
    let schema = batches[0].schema();
    let mut writer = StreamWriter::try_new_with_options(&mut bytes, &schema, options)
        .expect("memory takes what is written");
    for batch in batches {
        writer.write(batch).expect("memory takes what is written");
    }
    writer.finish().expect("memory takes what is written");
    bytes
}

/// A batch of columns, nulls allowed in all of them, whose schema says its version.
pub fn batch(version: &str, columns: Vec<(Field, ArrayRef)>) -> RecordBatch {
    let metadata = HashMap::from([(VERSION_KEY.to_owned(), version.to_owned())]);
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    RecordBatch::try_new(schema, arrays).expect("columns are as their fields say")
}
