use std::fmt::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, UInt8Type};
use arrow_array::{Array, DictionaryArray};
use arrow_ipc::reader::StreamReader;
use arrow_schema::DataType;
use cairn_engine::{KeyBy, Trim};

use super::*;
use crate::testing;

fn read(bytes: &[u8]) -> RecordBatch {
    let mut reader = StreamReader::try_new(bytes, None).expect("an IPC stream");
    let record = reader.next().expect("one record").expect("valid");
    assert!(reader.next().is_none());
    record
}

fn grouped() -> RecordBatch {
    let flame = Flame::build(&testing::partial(), KeyBy::default());
    read(&encode(&flame, &["pod".to_owned()], &Diff::None).expect("encoded"))
}

#[test]
fn columns_have_the_names_types_and_order_that_readers_know() {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Binary));
    let children = DataType::new_list(DataType::UInt32, true);
    let expected = [
        ("labels_only", DataType::Boolean),
        ("location_address", DataType::UInt64),
        ("mapping_file", dictionary.clone()),
        ("mapping_build_id", dictionary.clone()),
        ("location_line", DataType::UInt16),
        ("inlined", DataType::Boolean),
        ("function_startline", DataType::UInt16),
        ("function_name", dictionary.clone()),
        ("function_system_name", dictionary.clone()),
        ("function_file_name", dictionary.clone()),
        ("children", children),
        ("parent", DataType::Int32),
        ("cumulative", DataType::UInt8),
        ("flat", DataType::UInt8),
        ("diff", DataType::Int8),
        ("timestamp", DataType::Int64),
        ("depth", DataType::UInt8),
        ("value_offset", DataType::UInt8),
        ("labels.pod", dictionary),
    ];
    let record = grouped();
    let found: Vec<_> = record
        .schema()
        .fields()
        .iter()
        .map(|field| (field.name().clone(), field.data_type().clone()))
        .collect();
    assert_eq!(found, expected.map(|(name, kind)| (name.to_owned(), kind)));
}

fn bytes_at(record: &RecordBatch, column: &str, row: usize) -> String {
    let column: &DictionaryArray<Int32Type> = record
        .column_by_name(column)
        .expect("there")
        .as_dictionary::<Int32Type>();
    match column.key(row) {
        None => "-".to_owned(),
        Some(key) => {
            String::from_utf8_lossy(column.values().as_binary::<i32>().value(key)).into_owned()
        }
    }
}

fn shown(record: &RecordBatch) -> String {
    let small = |column: &str, row: usize| {
        let column = record.column_by_name(column).expect("there");
        u64::from(column.as_primitive::<UInt8Type>().value(row))
    };
    let mut out = String::new();
    for row in 0..record.num_rows() {
        let parent = record["parent"].as_primitive::<Int32Type>().value(row);
        let children = record["children"].as_list::<i32>();
        let children = match children.is_null(row) {
            true => "-".to_owned(),
            false => format!(
                "{:?}",
                children
                    .value(row)
                    .as_primitive::<arrow_array::types::UInt32Type>()
                    .values()
            ),
        };
        let pod = match record.column_by_name("labels.pod") {
            Some(_) => bytes_at(record, "labels.pod", row),
            None => "-".to_owned(),
        };
        writeln!(
            out,
            "{row}: {}{} depth {} parent {parent} children {children} cumulative {} flat {} at {} pod {pod} file {}",
            bytes_at(record, "function_name", row),
            if record["labels_only"].as_boolean().value(row) { " (labels)" } else { "" },
            small("depth", row),
            small("cumulative", row),
            small("flat", row),
            small("value_offset", row),
            bytes_at(record, "mapping_file", row),
        )
        .expect("writing to a string succeeds");
    }
    out
}

#[test]
fn rows_come_level_by_level_from_the_root() {
    insta::assert_snapshot!(shown(&grouped()));
    let flame = Flame::build(&testing::ungrouped(), KeyBy::default());
    let record = read(&encode(&flame, &[], &Diff::None).expect("encoded"));
    insta::assert_snapshot!("without_groups", shown(&record));
}

#[test]
fn trimming_is_relative_to_the_parent() {
    let flame = Flame::build(&testing::ungrouped(), KeyBy::default());
    let trim = Trim {
        fraction: 0.1,
        nodes_max: usize::MAX,
    };
    let flame = flame.trim(&trim);
    // Of 165 below main, 5 are less than a tenth; so nothing else is.
    assert_eq!(flame.trimmed, 5);
    let record = read(&encode(&flame, &[], &Diff::None).expect("encoded"));
    assert!(!shown(&record).contains("lib.so"));
}

#[test]
fn an_empty_graph_is_a_root_alone() {
    let flame = Flame::build(&cairn_trie::Partial::default(), KeyBy::default());
    let record = read(&encode(&flame, &[], &Diff::None).expect("encoded"));
    assert_eq!(record.num_rows(), 1);
}

#[test]
fn a_comparison_has_signed_differences() {
    let flame = Flame::compare(
        &testing::ungrouped(),
        &testing::unmapped(),
        KeyBy::default(),
    );
    let record = read(&encode(&flame, &[], &Diff::between(1, 1, true)).expect("encoded"));
    assert_eq!(record["diff"].data_type(), &DataType::Int16);
    let root = record["diff"]
        .as_primitive::<arrow_array::types::Int16Type>()
        .value(0);
    assert_eq!(root, 7 - 165);
}
