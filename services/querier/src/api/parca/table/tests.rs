use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_schema::DataType;
use cairn_engine::KeyBy;

use super::*;
use crate::testing;

#[test]
fn columns_have_the_names_types_and_order_that_readers_know() {
    let dictionary = |key: DataType| DataType::Dictionary(Box::new(key), Box::new(DataType::Utf8));
    let lists = || DataType::new_list(DataType::Int64, true);
    let expected = [
        ("mapping_file", dictionary(DataType::UInt16)),
        ("mapping_build_id", dictionary(DataType::UInt16)),
        ("location_address", DataType::UInt64),
        ("location_line", DataType::Int64),
        ("function_startline", DataType::Int64),
        ("function_name", dictionary(DataType::UInt32)),
        ("function_system_name", dictionary(DataType::UInt16)),
        ("function_file_name", dictionary(DataType::UInt32)),
        ("cumulative", DataType::Int64),
        ("cumulative_diff", DataType::Int64),
        ("flat", DataType::Int64),
        ("flat_diff", DataType::Int64),
        ("callers", lists()),
        ("callees", lists()),
    ];
    let flame = Flame::build(&testing::ungrouped(), KeyBy::default());
    let record = columns(&flame, &Diff::None).record().expect("encoded");
    let found: Vec<_> = record
        .schema()
        .fields()
        .iter()
        .map(|field| (field.name().clone(), field.data_type().clone()))
        .collect();
    assert_eq!(found, expected.map(|(name, kind)| (name.to_owned(), kind)));
}

#[test]
fn recursion_counts_once() {
    let flame = Flame::build(&testing::ungrouped(), KeyBy::default());
    let record = columns(&flame, &Diff::None).record().expect("encoded");
    let names = record["function_name"].as_dictionary::<UInt32Type>();
    let mut rows: Vec<(String, i64, i64)> = Vec::new();
    for row in 0..record.num_rows() {
        let name = names.key(row).map_or("-".to_owned(), |key| {
            names.values().as_string::<i32>().value(key).to_owned()
        });
        let value = |column: &str| record[column].as_primitive::<Int64Type>().value(row);
        rows.push((name, value("cumulative"), value("flat")));
    }
    rows.sort();
    let expected = [
        ("-", 5, 5),
        ("hash", 30, 30),
        ("main", 165, 0),
        ("walk", 160, 130),
    ];
    assert_eq!(rows, expected.map(|(name, c, f)| (name.to_owned(), c, f)));
}
