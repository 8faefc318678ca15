//! What is refused, and how it is named.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, FixedSizeListArray, Float64Array, Int32Array, Int64Array,
    LargeListViewArray, ListViewArray, RecordBatch, RunArray, StringArray, StringViewArray,
    StructArray, UInt64Array,
};
use arrow_buffer::ScalarBuffer;
use arrow_schema::{DataType, Field};
use cairn_model::{Code, Limits};
use cairn_parca::write::{self, batch};

use crate::mutations::check;
use crate::{decode, native, sample};

fn column(name: &str, array: impl Array + 'static) -> (Field, ArrayRef) {
    (
        Field::new(name, array.data_type().clone(), true),
        Arc::new(array),
    )
}

fn refusal(batch: RecordBatch) -> String {
    let error = decode(&write::stream(&[batch])).unwrap_err();
    assert_eq!(error.code(), Code::Invalid);
    error.to_string()
}

fn values(values: &[i64]) -> (Field, ArrayRef) {
    column("value", Int64Array::from(values.to_vec()))
}

/// A column of stacks whose locations have only addresses.
fn stacks(ranges: &[(i32, i32)], addresses: Vec<u64>) -> (Field, ArrayRef) {
    let (offsets, sizes): (Vec<i32>, Vec<i32>) = ranges.iter().copied().unzip();
    let (field, addresses) = column("address", UInt64Array::from(addresses));
    let items = StructArray::from(vec![(Arc::new(field), addresses)]);
    let item = Arc::new(Field::new("item", items.data_type().clone(), true));
    let lists =
        ListViewArray::try_new(item, offsets.into(), sizes.into(), Arc::new(items), None).unwrap();
    column("stacktrace", lists)
}

#[test]
fn wrong_types_are_named() {
    let one_stack = || stacks(&[(0, 1)], vec![1]);
    let cases = [
        (
            vec![column("value", Float64Array::from(vec![1.0])), one_stack()],
            "column value holds Float64 instead of whole numbers",
        ),
        (
            vec![
                values(&[1]),
                one_stack(),
                column("producer", Int64Array::from(vec![1])),
            ],
            "column producer holds Int64 instead of texts",
        ),
        (
            vec![
                values(&[1]),
                column("stacktrace", StringArray::from(vec!["main"])),
            ],
            "column stacktrace holds Binary instead of lists",
        ),
        (
            vec![
                values(&[1]),
                one_stack(),
                column("labels", Int64Array::from(vec![1])),
            ],
            "column labels holds Int64 instead of structs",
        ),
        (
            vec![
                values(&[1]),
                column("stacktrace_id", StringArray::from(vec!["short"])),
            ],
            "a stacktrace_id has 5 bytes instead of 16",
        ),
    ];
    for (columns, wanted) in cases {
        assert_eq!(
            refusal(batch("v2", columns)),
            format!("invalid record: {wanted}")
        );
    }
}

#[test]
fn missing_columns_are_named() {
    let stack = || stacks(&[(0, 1)], vec![1]);
    let ids = || column("stacktrace_id", BinaryArray::from_vec(vec![&[1; 16]]));
    let refusals = [
        (vec![stack()], "value or locations"),
        (vec![values(&[1])], "stacktrace or stacktrace_id"),
        (vec![ids()], "value or locations"),
    ];
    for (columns, wanted) in refusals {
        let wanted = format!("invalid record: there is no column {wanted}");
        assert_eq!(refusal(batch("v2", columns)), wanted);
    }
}

#[test]
fn unknown_versions_are_named() {
    let columns = || vec![values(&[1]), stacks(&[(0, 1)], vec![1])];
    assert_eq!(
        refusal(batch("v3", columns())),
        "invalid record: parca_write_schema_version is v3, but v1 and v2 are known"
    );
    let long = "v".repeat(1_000);
    assert!(refusal(batch(&long, columns())).len() < 150);
    let silent = batch("v2", columns());
    let schema = arrow_schema::Schema::new(silent.schema().fields().clone());
    let silent = RecordBatch::try_new(Arc::new(schema), silent.columns().to_vec()).unwrap();
    assert_eq!(
        refusal(silent),
        "invalid record: its schema has no parca_write_schema_version"
    );
}

#[test]
fn columns_that_come_twice_are_named() {
    let twice = batch(
        "v2",
        vec![values(&[1]), values(&[2]), stacks(&[(0, 1)], vec![1])],
    );
    assert_eq!(
        refusal(twice),
        "invalid record: column value is there twice"
    );
    let label = |value| (Arc::new(Field::new("a", DataType::Utf8, true)), value);
    let texts = || Arc::new(StringArray::from(vec!["x"])) as ArrayRef;
    let labels = StructArray::from(vec![label(texts())]);
    let twice = batch(
        "v2",
        vec![
            values(&[1]),
            stacks(&[(0, 1)], vec![1]),
            column("labels", labels),
            column("labels.a", StringArray::from(vec!["y"])),
        ],
    );
    assert_eq!(
        refusal(twice),
        "invalid record: label or column a is there twice"
    );
}

#[test]
fn what_is_no_stream_is_refused() {
    let whole = write::v2(&[sample("p", &[native("app", 1)], 1, 1)]);
    let texts = [
        (&[][..], "there is no schema"),
        (b"hi", "the last message is cut off"),
        (
            b"hello, world, this is no Arrow",
            "the last message is cut off",
        ),
        (&[0; 8], "there is no schema"),
        (&whole[..100], "the last message is cut off"),
    ];
    for (bytes, wanted) in texts {
        let error = decode(bytes).unwrap_err().to_string();
        assert_eq!(error, format!("failed to parse record: {wanted}"));
    }
    let error = decode(&whole[..whole.len() - 100]).unwrap_err().to_string();
    assert!(error.contains("a message says it has "), "{error}");
    let mut no_end = whole.clone();
    no_end.truncate(whole.len() - 8);
    assert_eq!(decode(&no_end), decode(&whole), "a stream may just stop");
}

#[test]
fn every_cut_is_refused_or_at_a_message() {
    let whole = write::v2(&[sample("p", &[native("app", 1)], 1, 1)]);
    let ok = (0..whole.len()).filter(|end| decode(&whole[..*end]).is_ok());
    // Ends of messages: only those after which there is a schema parse.
    for end in ok {
        let decoded = decode(&whole[..end]).unwrap();
        assert!(decoded.rows <= 1, "cut at {end}");
    }
}

#[test]
fn sizes_are_refused_before_anything_is_inflated() {
    let zeros = vec![sample("p", &[], 0, 1); 40_000];
    let buffer = write::v2(&zeros);
    assert!(buffer.len() < 30_000, "{}", buffer.len());
    let limits = Limits {
        profile_bytes_max: 600_000,
        ..Limits::default()
    };
    let error = cairn_parca::decode(&buffer, &limits).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid record: its bytes after inflating: more than profile_bytes_max=600000"
    );
}

/// Overlapping lists: few bytes, many frames.
#[test]
fn lists_that_share_items_are_bounded() {
    let frames = 20_000;
    let ranges: Vec<(i32, i32)> = (0..frames / 2).map(|start| (start, frames / 2)).collect();
    let columns = vec![
        values(&vec![1; ranges.len()]),
        stacks(&ranges, (0..frames as u64).collect()),
    ];
    let buffer = write::stream(&[batch("v2", columns)]);
    assert!(buffer.len() < 300_000, "{}", buffer.len());
    let error = decode(&buffer).unwrap_err().to_string();
    assert_eq!(
        error,
        "invalid record: the bytes of its tables: more than profile_bytes_max=268435456"
    );
}

/// Views of one long text: few bytes, much to look at.
#[test]
fn texts_that_share_bytes_are_bounded() {
    let rows = 20_000;
    let text = "x".repeat(500_000);
    let mut views = StringViewArray::from(vec![text.as_str()]);
    let (view, buffers, _) = views.into_parts();
    let all: ScalarBuffer<u128> = vec![view[0]; rows].into();
    views = StringViewArray::try_new(all, buffers, None).unwrap();
    let columns = vec![
        values(&vec![1; rows]),
        stacks(&vec![(0, 1); rows], vec![1]),
        column("producer", views),
    ];
    let error = decode(&write::stream(&[batch("v2", columns)]))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "invalid record: the bytes that it refers to: more than profile_bytes_max=268435456"
    );
}

/// Runs of any length: few bytes, many rows.
#[test]
fn runs_of_many_rows_are_bounded() {
    let rows = i32::MAX;
    let run = |value: i64| {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![value]));
        RunArray::<Int32Type>::try_new(&Int32Array::from(vec![rows]), &values).unwrap()
    };
    let ids: ArrayRef = Arc::new(BinaryArray::from_vec(vec![&[1; 16]]));
    let ids = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![rows]), &ids).unwrap();
    let columns = vec![column("value", run(1)), column("stacktrace_id", ids)];
    let error = decode(&write::stream(&[batch("v1", columns)]))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "invalid record: the bytes that it refers to: more than profile_bytes_max=268435456"
    );
}

#[test]
fn lists_outside_of_their_items_are_refused() {
    let (field, good) = stacks(&[(0, 1), (1, 1)], vec![1, 2]);
    let columns = vec![values(&[1, 2]), (field, good)];
    let buffer = write::stream_with(&[batch("v2", columns)], None);
    // Offsets 0 and 1 as they stand in the message.
    let offsets = [0, 0, 0, 0, 1, 0, 0, 0];
    let found: Vec<usize> = (0..buffer.len() - 8)
        .filter(|at| buffer[*at..*at + 8] == offsets)
        .collect();
    assert!(!found.is_empty());
    let mut refused = 0;
    for at in found {
        let mut bad = buffer.clone();
        bad[at + 4] = 9;
        refused += usize::from(decode(&bad).is_err());
    }
    assert!(refused > 0);
}

#[test]
fn deep_types_are_refused() {
    let mut array: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    for _ in 0..20 {
        let field = Arc::new(Field::new("item", array.data_type().clone(), true));
        array = Arc::new(FixedSizeListArray::new(field, 1, array, None));
    }
    let field = Field::new("deep", array.data_type().clone(), true);
    let columns = vec![values(&[1]), stacks(&[(0, 1)], vec![1]), (field, array)];
    assert_eq!(
        refusal(batch("v2", columns)),
        "invalid record: its types nest more than 16 deep"
    );
}

#[test]
fn large_offsets_do_not_wrap() {
    let (field, addresses) = column("address", UInt64Array::from(vec![1, 2]));
    let items = StructArray::from(vec![(Arc::new(field), addresses)]);
    let item = Arc::new(Field::new("item", items.data_type().clone(), true));
    let offsets: ScalarBuffer<i64> = vec![1].into();
    let lists =
        LargeListViewArray::try_new(item, offsets, vec![1].into(), Arc::new(items), None).unwrap();
    let columns = vec![values(&[1]), column("stacktrace", lists)];
    let buffer = write::stream_with(&[batch("v2", columns)], None);
    for word in (0..buffer.len() - 8).step_by(4) {
        let mut bad = buffer.clone();
        bad[word..word + 8].copy_from_slice(&(1_i64 << 32 | 1).to_le_bytes());
        check(&bad);
        bad[word..word + 8].copy_from_slice(&i64::MAX.to_le_bytes());
        check(&bad);
    }
}
