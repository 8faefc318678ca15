//! Version 2: samples that hold their stacks.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::types::UInt32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, FixedSizeBinaryArray, Int64Array, ListViewArray, RecordBatch,
    StringViewArray, StructArray, TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow_buffer::NullBuffer;

use super::arrays::{
    column, dictionary_runs, distinct, int_runs, item, some, text_runs, texts, unsigned,
    unsigned_runs,
};
use super::{Call, Frame, Sample};

/// The buffer of a one-way write.
pub fn v2(samples: &[Sample]) -> Vec<u8> {
    super::stream(&[v2_batch(samples)])
}

/// Its only batch.
pub fn v2_batch(samples: &[Sample]) -> RecordBatch {
    let text = |name, get: fn(&Sample) -> &str| {
        column(
            name,
            text_runs(samples.iter().map(|sample| some(get(sample)))),
        )
    };
    let ids = FixedSizeBinaryArray::try_from_iter(samples.iter().map(|sample| sample.stack_id));
    let ids = ids.unwrap_or_else(|_| FixedSizeBinaryArray::new_null(16, 0));
    let (mut id_field, ids) = column("stacktrace_id", Arc::new(ids));
    let extension = ("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned());
    id_field = id_field.with_metadata(std::collections::HashMap::from([extension]));
    let values = samples.iter().map(|sample| sample.value);
    let times = samples.iter().map(|sample| sample.time);
    let times = TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC");
    let durations = samples.iter().map(|sample| unsigned(sample.duration));
    super::batch(
        "v2",
        vec![
            column("labels", labels(samples)),
            column("stacktrace", stacks(samples)),
            (id_field, ids),
            column("value", Arc::new(Int64Array::from_iter_values(values))),
            text("producer", |sample| &sample.producer),
            text("sample_type", |sample| &sample.sample_type),
            text("sample_unit", |sample| &sample.sample_unit),
            text("period_type", |sample| &sample.period_type),
            text("period_unit", |sample| &sample.period_unit),
            text("temporality", |sample| &sample.temporality),
            column(
                "period",
                int_runs(samples.iter().map(|sample| sample.period)),
            ),
            column("duration", unsigned_runs(durations)),
            column("timestamp", Arc::new(times)),
        ],
    )
}

/// The values that samples have for a label.
pub(super) fn label<'a>(
    samples: &'a [Sample],
    name: &'a str,
) -> impl Iterator<Item = Option<&'a str>> {
    samples.iter().map(move |sample| {
        let found = sample.labels.iter().find(|label| label.0 == name);
        found.map(|label| label.1.as_str())
    })
}

pub(super) fn label_names(samples: &[Sample]) -> BTreeSet<&str> {
    let labels = samples.iter().flat_map(|sample| &sample.labels);
    labels.map(|label| label.0.as_str()).collect()
}

fn labels(samples: &[Sample]) -> ArrayRef {
    let one = |name| column(name, dictionary_runs(label(samples, name)));
    let columns: Vec<_> = label_names(samples).into_iter().map(one).collect();
    if columns.is_empty() {
        return Arc::new(StructArray::new_empty_fields(samples.len(), None));
    }
    structs(columns)
}

fn structs(columns: Vec<(arrow_schema::Field, ArrayRef)>) -> ArrayRef {
    let columns = columns
        .into_iter()
        .map(|(field, array)| (Arc::new(field), array));
    Arc::new(StructArray::from(columns.collect::<Vec<_>>()))
}

/// Lists of which those of `which` share the place.
fn lists(which: &[u32], lengths: &[usize], items: ArrayRef, nulls: Option<NullBuffer>) -> ArrayRef {
    let number = |number: usize| i32::try_from(number).expect("there are few frames");
    let mut start = 0;
    let ranges: Vec<(i32, i32)> = lengths
        .iter()
        .map(|length| {
            start += length;
            (number(start - length), number(*length))
        })
        .collect();
    let ranges = which.iter().map(|at| ranges[*at as usize]);
    let (offsets, sizes): (Vec<i32>, Vec<i32>) = ranges.unzip();
    let field = item(items.data_type());
    let lists = ListViewArray::try_new(field, offsets.into(), sizes.into(), items, nulls);
    Arc::new(lists.expect("ranges lie within the items"))
}

fn dictionary(keys: Vec<u32>, values: ArrayRef) -> ArrayRef {
    let dictionary = DictionaryArray::<UInt32Type>::try_new(UInt32Array::from(keys), values);
    Arc::new(dictionary.expect("keys are positions of values"))
}

fn stacks(samples: &[Sample]) -> ArrayRef {
    let (which, stacks) = distinct(samples.iter().map(|sample| &*sample.stack));
    let (keys, frames) = distinct(stacks.iter().flat_map(|stack| stack.iter()));
    let lengths: Vec<usize> = stacks.iter().map(|stack| stack.len()).collect();
    lists(&which, &lengths, dictionary(keys, locations(&frames)), None)
}

fn locations(frames: &[&Frame]) -> ArrayRef {
    let text = |name, get: fn(&Frame) -> &str| {
        column(name, texts(frames.iter().map(|frame| some(get(frame)))))
    };
    let addresses = frames.iter().map(|frame| frame.address);
    structs(vec![
        column(
            "address",
            Arc::new(UInt64Array::from_iter_values(addresses)),
        ),
        text("frame_type", |frame| &frame.frame_type),
        text("mapping_file", |frame| &frame.file),
        text("mapping_build_id", |frame| &frame.build_id),
        column("lines", lines(frames)),
    ])
}

fn lines(frames: &[&Frame]) -> ArrayRef {
    let calls: Vec<&Call> = frames.iter().flat_map(|frame| &frame.calls).collect();
    let number = |get: fn(&Call) -> i64| -> ArrayRef {
        let numbers = calls.iter().map(|call| unsigned(get(call)));
        Arc::new(UInt64Array::from_iter_values(numbers))
    };
    // One function per call would do; agents write each once.
    let described: Vec<Call> = calls
        .iter()
        .map(|call| Call {
            line: 0,
            column: 0,
            ..Call::clone(call)
        })
        .collect();
    let (keys, functions) = distinct(described.iter());
    let items = structs(vec![
        column("line", number(|call| call.line)),
        column("column", number(|call| call.column)),
        column("function", dictionary(keys, self::functions(&functions))),
    ]);
    let which: Vec<u32> = (0..frames.len() as u32).collect();
    let lengths: Vec<usize> = frames.iter().map(|frame| frame.calls.len()).collect();
    let nulls = frames.iter().map(|frame| !frame.calls.is_empty()).collect();
    lists(&which, &lengths, items, Some(nulls))
}

fn functions(functions: &[&Call]) -> ArrayRef {
    let names = functions.iter().map(|call| some(&call.system_name));
    let files = functions.iter().map(|call| some(&call.file));
    let starts = functions.iter().map(|call| unsigned(call.start_line));
    structs(vec![
        column("system_name", Arc::new(names.collect::<StringViewArray>())),
        column("filename", texts(files)),
        column(
            "start_line",
            Arc::new(UInt64Array::from_iter_values(starts)),
        ),
    ])
}
