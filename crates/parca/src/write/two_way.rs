//! Version 1: samples that name their stacks, and stacks with their names.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Int64Array, ListArray, RecordBatch, StructArray,
    UInt64Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::Field;

use super::arrays::{byte_runs, bytes, column, int_runs, item, some, unsigned, unsigned_runs};
use super::one_way::{label, label_names};
use super::{Call, Frame, Sample};
use crate::StackId;
use crate::layout::LABEL_PREFIX;

/// The first record of a two-way write.
pub fn v1_samples(samples: &[Sample]) -> Vec<u8> {
    super::stream(&[v1_samples_batch(samples)])
}

/// Its only batch.
pub fn v1_samples_batch(samples: &[Sample]) -> RecordBatch {
    let text = |name, get: fn(&Sample) -> &str| {
        let rows = samples
            .iter()
            .map(|sample| some(get(sample)).map(str::as_bytes));
        column(name, byte_runs(rows))
    };
    let number = |name, get: fn(&Sample) -> i64| column(name, int_runs(samples.iter().map(get)));
    let mut columns: Vec<(Field, ArrayRef)> = label_names(samples)
        .into_iter()
        .map(|name| {
            let rows = label(samples, name).map(|value| value.map(str::as_bytes));
            column(&format!("{LABEL_PREFIX}{name}"), byte_runs(rows))
        })
        .collect();
    let ids = samples
        .iter()
        .map(|sample| Some(sample.stack_id.as_slice()));
    let values = samples.iter().map(|sample| sample.value);
    columns.extend([
        column("stacktrace_id", byte_runs(ids)),
        column("value", Arc::new(Int64Array::from_iter_values(values))),
        text("producer", |sample| &sample.producer),
        text("sample_type", |sample| &sample.sample_type),
        text("sample_unit", |sample| &sample.sample_unit),
        text("period_type", |sample| &sample.period_type),
        text("period_unit", |sample| &sample.period_unit),
        text("temporality", |sample| &sample.temporality),
        number("period", |sample| sample.period),
        number("duration", |sample| sample.duration),
        number("timestamp", |sample| sample.time),
    ]);
    super::batch("v1", columns)
}

/// The second record of a two-way write.
pub fn v1_stacks(stacks: &[(StackId, Arc<[Frame]>)]) -> Vec<u8> {
    super::stream(&[v1_stacks_batch(stacks)])
}

/// Its only batch.
pub fn v1_stacks_batch(stacks: &[(StackId, Arc<[Frame]>)]) -> RecordBatch {
    let ids = BinaryArray::from_iter_values(stacks.iter().map(|(id, _)| id));
    let complete = BooleanArray::from(vec![true; stacks.len()]);
    let frames: Vec<&Frame> = stacks.iter().flat_map(|(_, stack)| stack.iter()).collect();
    let lengths = stacks.iter().map(|(_, stack)| stack.len());
    super::batch(
        "v1",
        vec![
            column("stacktrace_id", Arc::new(ids)),
            column("is_complete", Arc::new(complete)),
            column("locations", list(lengths, locations(&frames))),
        ],
    )
}

fn list(lengths: impl Iterator<Item = usize>, items: ArrayRef) -> ArrayRef {
    let field = item(items.data_type());
    let offsets = OffsetBuffer::from_lengths(lengths);
    let list = ListArray::try_new(field, offsets, items, None);
    Arc::new(list.expect("offsets lie within the items"))
}

fn structs(columns: Vec<(Field, ArrayRef)>) -> ArrayRef {
    let columns = columns
        .into_iter()
        .map(|(field, array)| (Arc::new(field), array));
    Arc::new(StructArray::from(columns.collect::<Vec<_>>()))
}

fn locations(frames: &[&Frame]) -> ArrayRef {
    let text = |name, get: fn(&Frame) -> &str| {
        let rows = frames
            .iter()
            .map(|frame| some(get(frame)).map(str::as_bytes));
        column(name, byte_runs(rows))
    };
    let number = |name, get: fn(&Frame) -> u64| {
        column(name, unsigned_runs(frames.iter().map(|frame| get(frame))))
    };
    let addresses = frames.iter().map(|frame| frame.address);
    structs(vec![
        column(
            "address",
            Arc::new(UInt64Array::from_iter_values(addresses)),
        ),
        text("frame_type", |frame| &frame.frame_type),
        number("mapping_start", |frame| frame.mapping_start),
        number("mapping_limit", |frame| match frame.mapping_start {
            0 => 0,
            _ => u64::MAX,
        }),
        number("mapping_offset", |frame| frame.mapping_offset),
        text("mapping_file", |frame| &frame.file),
        text("mapping_build_id", |frame| &frame.build_id),
        column("lines", lines(frames)),
    ])
}

fn lines(frames: &[&Frame]) -> ArrayRef {
    let calls: Vec<&Call> = frames.iter().flat_map(|frame| &frame.calls).collect();
    let number = |get: fn(&Call) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            calls.iter().map(|call| get(call)),
        ))
    };
    let text = |get: fn(&Call) -> &str| -> ArrayRef {
        bytes(calls.iter().map(|call| some(get(call)).map(str::as_bytes)))
    };
    let files = calls.iter().map(|call| some(&call.file).map(str::as_bytes));
    let columns = calls.iter().map(|call| unsigned(call.column));
    let items = structs(vec![
        column("line", number(|call| call.line)),
        column("column", Arc::new(UInt64Array::from_iter_values(columns))),
        column("function_name", text(|call| &call.name)),
        column("function_system_name", text(|call| &call.system_name)),
        column("function_filename", byte_runs(files)),
        column("function_start_line", number(|call| call.start_line)),
    ]);
    list(frames.iter().map(|frame| frame.calls.len()), items)
}
