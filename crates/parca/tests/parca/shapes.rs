//! The same columns in other types and other orders: each must be read as agents' own are.

use std::sync::Arc;

use arrow_array::builder::{BinaryDictionaryBuilder, StringDictionaryBuilder};
use arrow_array::types::{
    ArrowDictionaryKeyType, Int8Type, Int16Type, Int64Type, UInt8Type, UInt16Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, DictionaryArray, DurationMicrosecondArray,
    FixedSizeBinaryArray, Int16Array, Int32Array, Int64Array, LargeBinaryArray, LargeListArray,
    LargeListViewArray, LargeStringArray, ListArray, PrimitiveArray, RecordBatch, RunArray,
    StringArray, StringViewArray, StructArray, TimestampMillisecondArray, TimestampSecondArray,
    UInt8Array, UInt16Array, UInt64Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field};
use cairn_parca::Decoded;
use cairn_parca::write::{self, batch};

use crate::{decode, kind, labels, named, native, rows, sample};

/// Two pods in turn, of which the last sample has none.
const PODS: [Option<&str>; 5] = [Some("a"), Some("b"), Some("a"), Some("b"), None];

fn base() -> RecordBatch {
    let stack = [named("python", "f", 3), native("app", 16)];
    let mut samples: Vec<_> = PODS
        .iter()
        .enumerate()
        .map(|(at, pod)| {
            sample(
                pod.unwrap_or("none"),
                &stack[at % 2..],
                1 << at,
                3_000_000_000,
            )
        })
        .collect();
    samples[4].labels.pop();
    write::v2_batch(&samples)
}

fn columns(batch: &RecordBatch) -> Vec<(Field, ArrayRef)> {
    let schema = batch.schema();
    let fields = schema.fields().iter().map(|field| field.as_ref().clone());
    fields.zip(batch.columns().iter().cloned()).collect()
}

/// The record with some columns in place of those of the same name.
fn with(changed: Vec<(&str, ArrayRef)>) -> Decoded {
    let mut all = columns(&base());
    for (name, array) in changed {
        all.retain(|(field, _)| field.name() != name);
        all.push((Field::new(name, array.data_type().clone(), true), array));
    }
    decode(&write::stream(&[batch("v2", all)])).unwrap()
}

/// All that a record says, one line each.
fn text(decoded: &Decoded) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for described in &decoded.profiles {
        all.push(format!("{} {}", kind(described), labels(described)));
        all.extend(rows(&described.profile));
    }
    all
}

fn plain() -> Vec<String> {
    text(&with(Vec::new()))
}

#[test]
fn the_record_is_as_expected() {
    let kind = "parca_agent:samples:count:cpu:nanoseconds period 52 time 3000000000 duration 1000";
    let (leaf, root) = ("[python]()0x3 f/f:f.src:1:3:2", "app(id of app)0x10");
    assert_eq!(
        plain(),
        [
            format!("{kind} node=n1,pod=a"),
            format!("{leaf} < {root} = 5 []"),
            format!("{kind} node=n1,pod=b"),
            format!("{root} = 10 []"),
            format!("{kind} node=n1"),
            format!("{leaf} < {root} = 16 []"),
        ]
    );
}

fn keyed<K: ArrowDictionaryKeyType>() -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<K>::new();
    PODS.iter().for_each(|pod| builder.append_option(*pod));
    Arc::new(builder.finish())
}

fn run(ends: ArrayRef, values: &ArrayRef) -> ArrayRef {
    match ends.data_type() {
        DataType::Int16 => {
            let ends = ends.as_any().downcast_ref::<Int16Array>().unwrap();
            Arc::new(RunArray::<Int16Type>::try_new(ends, values).unwrap())
        }
        _ => {
            let ends = ends.as_any().downcast_ref::<Int64Array>().unwrap();
            Arc::new(RunArray::<Int64Type>::try_new(ends, values).unwrap())
        }
    }
}

#[test]
fn texts_come_in_any_type() {
    let bytes = || PODS.iter().map(|pod| pod.map(str::as_bytes));
    let fives: ArrayRef = Arc::new(Int16Array::from(vec![1, 2, 3, 4, 5]));
    let long_fives: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]));
    let mut binary = BinaryDictionaryBuilder::<UInt16Type>::new();
    bytes().for_each(|pod| binary.append_option(pod));
    // A dictionary of runs: rows 0, 2 are in the first run, 1, 3 in the second.
    let inner = run(Arc::new(Int16Array::from(vec![2, 4])), &texts(&["a", "b"]));
    let keys = UInt8Array::from(vec![Some(0), Some(2), Some(1), Some(3), None]);
    let of_runs = DictionaryArray::<UInt8Type>::try_new(keys, inner).unwrap();
    // A dictionary directly in a dictionary has no place in a stream's schema; runs of runs do.
    let twice = run(
        Arc::clone(&fives),
        &run(Arc::clone(&fives), &keyed::<UInt8Type>()),
    );
    let kinds: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(PODS.to_vec())),
        Arc::new(LargeStringArray::from(PODS.to_vec())),
        Arc::new(StringViewArray::from(PODS.to_vec())),
        Arc::new(bytes().collect::<BinaryArray>()),
        Arc::new(bytes().collect::<LargeBinaryArray>()),
        Arc::new(bytes().collect::<BinaryViewArray>()),
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes(), 1).unwrap()),
        keyed::<Int8Type>(),
        keyed::<Int16Type>(),
        keyed::<Int64Type>(),
        keyed::<UInt8Type>(),
        keyed::<UInt16Type>(),
        keyed::<UInt64Type>(),
        run(Arc::clone(&fives), &keyed::<UInt8Type>()),
        run(
            long_fives,
            &(Arc::new(StringViewArray::from(PODS.to_vec())) as ArrayRef),
        ),
        Arc::new(binary.finish()),
        Arc::new(of_runs),
        twice,
    ];
    let node: ArrayRef = Arc::new(StringArray::from(vec!["n1"; 5]));
    for array in kinds {
        let found = array.data_type().clone();
        let labels = [("node", Arc::clone(&node)), ("pod", array)];
        let pairs = labels.map(|(name, array)| {
            (
                Arc::new(Field::new(name, array.data_type().clone(), true)),
                array,
            )
        });
        let in_struct: ArrayRef = Arc::new(StructArray::from(pairs.to_vec()));
        assert_eq!(text(&with(vec![("labels", in_struct)])), plain(), "{found}");
        let mut all = columns(&base());
        all.retain(|(field, _)| field.name() != "labels");
        all.extend(pairs.map(|(field, array)| {
            let name = format!("labels.{}", field.name());
            (Field::new(name, array.data_type().clone(), true), array)
        }));
        let flat = decode(&write::stream(&[batch("v2", all)])).unwrap();
        assert_eq!(text(&flat), plain(), "{found} as a column");
    }
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn numbers_come_in_any_width() {
    let values: Vec<ArrayRef> = vec![
        Arc::new(UInt8Array::from(vec![1, 2, 4, 8, 16])),
        Arc::new(Int16Array::from(vec![1, 2, 4, 8, 16])),
        Arc::new(UInt16Array::from(vec![1, 2, 4, 8, 16])),
        Arc::new(Int32Array::from(vec![1, 2, 4, 8, 16])),
        Arc::new(UInt64Array::from(vec![1, 2, 4, 8, 16])),
        run(
            Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5])),
            &(Arc::new(Int64Array::from(vec![1, 2, 4, 8, 16])) as ArrayRef),
        ),
    ];
    for array in values {
        let found = array.data_type().clone();
        assert_eq!(text(&with(vec![("value", array)])), plain(), "{found}");
    }
    let times: Vec<ArrayRef> = vec![
        Arc::new(TimestampSecondArray::from(vec![3; 5])),
        Arc::new(TimestampMillisecondArray::from(vec![3_000; 5]).with_timezone("UTC")),
        Arc::new(Int64Array::from(vec![3_000_000_000; 5])),
    ];
    for array in times {
        let found = array.data_type().clone();
        assert_eq!(text(&with(vec![("timestamp", array)])), plain(), "{found}");
    }
    let duration: ArrayRef = Arc::new(DurationMicrosecondArray::from(vec![1; 5]));
    assert_eq!(text(&with(vec![("duration", duration)])), plain());
    let mut all = columns(&base());
    all.retain(|(field, _)| field.name() != "timestamp");
    let far: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX; 5]));
    all.push((Field::new("timestamp", far.data_type().clone(), true), far));
    let error = decode(&write::stream(&[batch("v2", all)]))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "invalid record: a number of column timestamp has more than 63 bits"
    );
}

#[test]
fn lists_come_in_any_type() {
    let address = |at: u64| -> (Arc<Field>, ArrayRef) {
        let addresses = PrimitiveArray::<UInt64Type>::from(vec![at, at + 1, at + 2]);
        (
            Arc::new(Field::new("address", DataType::UInt64, false)),
            Arc::new(addresses),
        )
    };
    let items: ArrayRef = Arc::new(StructArray::from(vec![address(1)]));
    let item = Arc::new(Field::new("item", items.data_type().clone(), true));
    let offsets = || OffsetBuffer::<i32>::from_lengths([1, 2, 0, 0, 0]);
    let long = || OffsetBuffer::<i64>::from_lengths([1, 2, 0, 0, 0]);
    let list = |nulls| ListArray::try_new(Arc::clone(&item), offsets(), items.clone(), nulls);
    let large = LargeListArray::try_new(Arc::clone(&item), long(), items.clone(), None);
    let view = LargeListViewArray::try_new(
        Arc::clone(&item),
        vec![0, 1, 0, 3, 2].into(),
        vec![1, 2, 0, 0, 0].into(),
        items.clone(),
        None,
    );
    let nulls = vec![true, true, true, false, false].into();
    let same: ArrayRef = Arc::new(StringArray::from(vec!["n"; 5]));
    let kinds: Vec<ArrayRef> = vec![
        Arc::new(list(None).unwrap()),
        Arc::new(list(Some(nulls)).unwrap()),
        Arc::new(large.unwrap()),
        Arc::new(view.unwrap()),
    ];
    for array in kinds {
        let found = array.data_type().clone();
        let labels = StructArray::from(vec![(
            Arc::new(Field::new("node", DataType::Utf8, true)),
            Arc::clone(&same),
        )]);
        let decoded = with(vec![("stacktrace", array), ("labels", Arc::new(labels))]);
        assert_eq!(decoded.profiles.len(), 1, "{found}");
        assert_eq!(
            rows(&decoded.profiles[0].profile),
            ["0x1 = 1 []", "0x2 < 0x3 = 2 []", " = 28 []"],
            "{found}"
        );
    }
}

#[test]
fn columns_come_in_any_order_and_some_may_be_missing() {
    let mut all = columns(&base());
    all.reverse();
    let reversed = decode(&write::stream(&[batch("v2", all)])).unwrap();
    assert_eq!(text(&reversed), plain());
    let mut all = columns(&base());
    all.retain(|(field, _)| ["stacktrace", "value"].contains(&field.name().as_str()));
    let bare = decode(&write::stream(&[batch("v1", all)])).unwrap();
    assert_eq!(
        text(&bare),
        [
            "parca_agent::::: period 0 time 0 duration 0 ".replace(":::::", "::::"),
            "[python]()0x3 f/f:f.src:1:3:2 < app(id of app)0x10 = 21 []".to_owned(),
            "app(id of app)0x10 = 10 []".to_owned(),
        ]
    );
}

#[test]
fn unknown_columns_are_ignored_and_counted() {
    let floats: ArrayRef = Arc::new(arrow_array::Float64Array::from(vec![0.5; 5]));
    let keyed = keyed::<UInt8Type>();
    let decoded = with(vec![
        ("cpu", floats),
        ("locations", Arc::clone(&keyed)),
        ("x", keyed),
    ]);
    assert_eq!(decoded.ignored_columns, 3);
    assert_eq!(text(&decoded), plain());
    assert_eq!(with(Vec::new()).ignored_columns, 0);
}

#[test]
fn batches_and_streams_follow_each_other() {
    let base = base();
    // Dictionaries are replaced between batches.
    let two = write::stream(&[base.clone(), base.clone()]);
    let concatenated = write::stream(std::slice::from_ref(&base)).repeat(2);
    let doubled: Vec<String> = plain()
        .iter()
        .map(|line| line.replace(" = 5 ", " = 10 !").replace(" = 16 ", " = 32 "))
        .map(|line| line.replace(" = 10 []", " = 20 []").replace("10 !", "10 "))
        .collect();
    for buffer in [two, concatenated] {
        let decoded = decode(&buffer).unwrap();
        assert_eq!(decoded.rows, 10);
        assert_eq!(text(&decoded), doubled);
    }
}

#[test]
fn nulls_are_counted_or_stand_for_nothing() {
    let values: ArrayRef = Arc::new(Int64Array::from(vec![
        Some(1),
        None,
        Some(4),
        Some(8),
        None,
    ]));
    let times = vec![Some(9), None, Some(7), None, None];
    let times: ArrayRef = Arc::new(Int64Array::from(times));
    let decoded = with(vec![("value", values), ("timestamp", times)]);
    assert_eq!(decoded.missing_values, 2);
    let times: Vec<i64> = decoded.profiles.iter().map(|p| p.profile.time).collect();
    assert_eq!(times, [7, 0, 0]);
    assert!(rows(&decoded.profiles[0].profile)[0].ends_with(" = 5 [1@9 4@7]"));
    assert!(rows(&decoded.profiles[1].profile)[0].ends_with(" = 8 []"));
}

#[test]
fn texts_that_are_not_utf8_are_repaired_and_counted() {
    let names: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"p\xff"; 5]));
    let decoded = with(vec![("producer", names)]);
    assert_eq!(decoded.replaced_strings, 5);
    assert_eq!(decoded.profiles[0].name.as_deref(), Some("p\u{fffd}"));
}
