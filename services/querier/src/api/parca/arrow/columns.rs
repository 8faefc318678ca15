//! Columns whose types depend on what is in them.

use std::sync::Arc;

use arrow_array::builder::{BinaryDictionaryBuilder, StringDictionaryBuilder};
use arrow_array::types::{ArrowDictionaryKeyType, Int32Type, UInt16Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, Int8Array, Int16Array, Int32Array, Int64Array, UInt8Array, UInt16Array,
    UInt32Array, UInt64Array,
};
use arrow_schema::Field;

/// A record under construction.
#[derive(Debug, Default)]
pub(in crate::api::parca) struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    pub(in crate::api::parca) fn push(&mut self, name: &str, array: ArrayRef) {
        self.fields
            .push(Field::new(name, array.data_type().clone(), true));
        self.arrays.push(array);
    }

    pub(super) fn into_parts(self) -> (Vec<Field>, Vec<ArrayRef>) {
        (self.fields, self.arrays)
    }
}

/// The smallest unsigned type that fits; what is negative becomes 0.
pub(super) fn unsigned(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let values: Vec<Option<u64>> = values
        .map(|value| value.map(|value| u64::try_from(value).unwrap_or(0)))
        .collect();
    let max = values.iter().flatten().copied().max().unwrap_or(0);
    if u8::try_from(max).is_ok() {
        Arc::new(
            values
                .iter()
                .map(|v| v.map(|v| v as u8))
                .collect::<UInt8Array>(),
        )
    } else if u16::try_from(max).is_ok() {
        Arc::new(
            values
                .iter()
                .map(|v| v.map(|v| v as u16))
                .collect::<UInt16Array>(),
        )
    } else if u32::try_from(max).is_ok() {
        Arc::new(
            values
                .iter()
                .map(|v| v.map(|v| v as u32))
                .collect::<UInt32Array>(),
        )
    } else {
        Arc::new(values.into_iter().collect::<UInt64Array>())
    }
}

/// The smallest signed type that fits both the smallest and the largest value.
pub(super) fn signed(values: impl Iterator<Item = i64>) -> ArrayRef {
    let values: Vec<i64> = values.collect();
    let fits = |min: i64, max: i64| values.iter().all(|v| (min..=max).contains(v));
    if fits(i8::MIN.into(), i8::MAX.into()) {
        Arc::new(Int8Array::from_iter_values(values.iter().map(|v| *v as i8)))
    } else if fits(i16::MIN.into(), i16::MAX.into()) {
        Arc::new(Int16Array::from_iter_values(
            values.iter().map(|v| *v as i16),
        ))
    } else if fits(i32::MIN.into(), i32::MAX.into()) {
        Arc::new(Int32Array::from_iter_values(
            values.iter().map(|v| *v as i32),
        ))
    } else {
        Arc::new(Int64Array::from_iter_values(values))
    }
}

/// A dictionary of bytes; empty texts are absent ones.
pub(super) fn binary<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut builder = BinaryDictionaryBuilder::<Int32Type>::new();
    for text in texts {
        match text {
            Some(text) if !text.is_empty() => builder.append_value(text.as_bytes()),
            _ => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

/// A dictionary of texts under 16-bit keys, or under 32-bit ones if there are more texts than that.
pub(in crate::api::parca) fn narrow<'a>(texts: &[Option<&'a str>]) -> ArrayRef {
    let mut distinct: Vec<&'a str> = texts.iter().copied().flatten().collect();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() <= usize::from(u16::MAX) {
        dictionary::<UInt16Type>(texts)
    } else {
        wide(texts)
    }
}

/// A dictionary of texts under 32-bit keys.
pub(in crate::api::parca) fn wide(texts: &[Option<&str>]) -> ArrayRef {
    dictionary::<UInt32Type>(texts)
}

/// A dictionary of texts under signed 32-bit keys.
pub(in crate::api::parca) fn plain(texts: &[Option<&str>]) -> ArrayRef {
    dictionary::<Int32Type>(texts)
}

fn dictionary<K: ArrowDictionaryKeyType>(texts: &[Option<&str>]) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<K>::new();
    for text in texts {
        builder.append_option(text.filter(|text| !text.is_empty()));
    }
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::DataType;

    #[test]
    fn widths_are_the_smallest_that_fit() {
        let unsigned = |values: &[i64]| {
            unsigned(values.iter().map(|v| Some(*v)))
                .data_type()
                .clone()
        };
        assert_eq!(unsigned(&[]), DataType::UInt8);
        assert_eq!(unsigned(&[-5, 255]), DataType::UInt8);
        assert_eq!(unsigned(&[256]), DataType::UInt16);
        assert_eq!(unsigned(&[65_536]), DataType::UInt32);
        assert_eq!(unsigned(&[1 << 32]), DataType::UInt64);
        let signed = |values: &[i64]| signed(values.iter().copied()).data_type().clone();
        assert_eq!(signed(&[-128, 127]), DataType::Int8);
        assert_eq!(signed(&[-129]), DataType::Int16);
        assert_eq!(signed(&[40_000]), DataType::Int32);
        assert_eq!(signed(&[-3_000_000_000]), DataType::Int64);
    }

    #[test]
    fn more_texts_than_fit_16_bits_widen_the_keys() {
        let texts: Vec<String> = (0..65_536).map(|n| n.to_string()).collect();
        let all: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
        let keys = |array: ArrayRef| match array.data_type() {
            DataType::Dictionary(key, _) => (**key).clone(),
            other => other.clone(),
        };
        assert_eq!(keys(narrow(&all)), DataType::UInt32);
        assert_eq!(keys(narrow(&all[..100])), DataType::UInt16);
    }
}
