//! Arrays of runs and dictionaries. Knows types, not meanings.

use std::sync::Arc;

use arrow_array::builder::BinaryDictionaryBuilder;
use arrow_array::types::{Int32Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, Int64Array, RunArray, StringArray, UInt64Array,
};
use arrow_schema::{DataType, Field};

/// A column that may hold nulls.
pub(super) fn column(name: &str, array: ArrayRef) -> (Field, ArrayRef) {
    (Field::new(name, array.data_type().clone(), true), array)
}

/// Nothing for an empty text.
pub(super) fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

pub(super) fn texts<'a>(rows: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(rows.collect::<DictionaryArray<UInt32Type>>())
}

pub(super) fn bytes<'a>(rows: impl Iterator<Item = Option<&'a [u8]>>) -> ArrayRef {
    let mut builder = BinaryDictionaryBuilder::<UInt32Type>::new();
    rows.for_each(|row| builder.append_option(row));
    Arc::new(builder.finish())
}

/// Runs of equal rows, whose values `make` puts into an array.
fn runs<T: PartialEq>(
    rows: impl Iterator<Item = T>,
    make: impl FnOnce(Vec<T>) -> ArrayRef,
) -> ArrayRef {
    let (mut ends, mut values): (Vec<i32>, Vec<T>) = (Vec::new(), Vec::new());
    for (row, value) in rows.enumerate() {
        let end = i32::try_from(row + 1).expect("there are few rows");
        match (ends.last_mut(), values.last()) {
            (Some(last), Some(same)) if *same == value => *last = end,
            _ => {
                ends.push(end);
                values.push(value);
            }
        }
    }
    let (ends, values) = (Int32Array::from(ends), make(values));
    Arc::new(RunArray::<Int32Type>::try_new(&ends, &values).expect("runs ascend"))
}

pub(super) fn text_runs<'a>(rows: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    runs(rows, |values| Arc::new(StringArray::from(values)))
}

pub(super) fn dictionary_runs<'a>(rows: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    runs(rows, |values| texts(values.into_iter()))
}

pub(super) fn byte_runs<'a>(rows: impl Iterator<Item = Option<&'a [u8]>>) -> ArrayRef {
    runs(rows, |values| bytes(values.into_iter()))
}

pub(super) fn int_runs(rows: impl Iterator<Item = i64>) -> ArrayRef {
    runs(rows, |values| Arc::new(Int64Array::from(values)))
}

pub(super) fn unsigned_runs(rows: impl Iterator<Item = u64>) -> ArrayRef {
    runs(rows, |values| Arc::new(UInt64Array::from(values)))
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).expect("agents send no negative numbers here")
}

/// The item of a list.
pub(super) fn item(data_type: &DataType) -> Arc<Field> {
    Arc::new(Field::new("item", data_type.clone(), true))
}

/// Positions of the distinct ones among some things, and those.
pub(super) fn distinct<'a, T: Eq + std::hash::Hash + ?Sized>(
    things: impl Iterator<Item = &'a T>,
) -> (Vec<u32>, Vec<&'a T>) {
    let mut known = hashbrown::HashMap::<&T, u32, foldhash::fast::RandomState>::default();
    let mut all = Vec::new();
    let one = |thing| {
        *known.entry(thing).or_insert_with(|| {
            all.push(thing);
            all.len() as u32 - 1
        })
    };
    let positions = things.map(one).collect();
    (positions, all)
}
