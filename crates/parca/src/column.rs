//! One column as plain rows, however it is packed: runs, dictionaries and each inside the other
//! are resolved once, whatever the widths of their numbers.
//!
//! Knows types, not meanings; errors name the column.

mod lists;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, RunArray, StructArray};
use arrow_schema::{DataType, TimeUnit};
use cairn_model::NONE;

pub(crate) use lists::{Lists, lists};

use crate::Error;
use crate::meter::Meter;

/// The values of a column, and which of them each row has.
pub(crate) struct Resolved {
    /// Position in `values` per row or [`NONE`]; absent if row `i` has value `i`.
    rows: Option<Vec<u32>>,
    values: ArrayRef,
}

impl Resolved {
    /// Spreads what was made of the values over the rows.
    pub(crate) fn spread<T: Copy>(&self, values: Vec<T>, absent: T) -> Vec<T> {
        let Some(rows) = &self.rows else {
            return values;
        };
        let one = |row: &u32| values.get(*row as usize).copied().unwrap_or(absent);
        rows.iter().map(one).collect()
    }

    /// The values as structs.
    pub(crate) fn structs(&self, name: &str) -> Result<&StructArray, Error> {
        let values = self.values.as_struct_opt();
        values.ok_or_else(|| Error::wrong_type(name, "structs", self.values.data_type()))
    }
}

/// Takes runs and dictionaries off a column.
pub(crate) fn resolve(
    array: &ArrayRef,
    name: &str,
    meter: &mut Meter<'_>,
) -> Result<Resolved, Error> {
    match array.data_type() {
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let inner = resolve(dictionary.values(), name, meter)?;
            meter.tables.take(array.len().saturating_mul(4))?;
            let keys = dictionary.keys();
            let mut rows = numbers(keys, |key| key as u32, |key| key as u32)
                .ok_or_else(|| Error::wrong_type(name, "whole numbers", keys.data_type()))?;
            clear(&mut rows, keys, NONE);
            Ok(inner.under(rows))
        }
        DataType::RunEndEncoded(ends, _) => match ends.data_type() {
            DataType::Int16 => unrolled(array.as_run::<Int16Type>(), name, meter),
            DataType::Int32 => unrolled(array.as_run::<Int32Type>(), name, meter),
            _ => unrolled(array.as_run::<Int64Type>(), name, meter),
        },
        _ => Ok(Resolved {
            rows: None,
            values: ArrayRef::clone(array),
        }),
    }
}

impl Resolved {
    /// What the rows are of a column that holds positions in this one.
    fn under(self, positions: Vec<u32>) -> Self {
        let rows = match &self.rows {
            None => positions,
            Some(rows) => {
                let one = |at: u32| rows.get(at as usize).copied().unwrap_or(NONE);
                positions.into_iter().map(one).collect()
            }
        };
        Self {
            rows: Some(rows),
            values: self.values,
        }
    }
}

fn unrolled<R: RunEndIndexType>(
    runs: &RunArray<R>,
    name: &str,
    meter: &mut Meter<'_>,
) -> Result<Resolved, Error> {
    use arrow_buffer::ArrowNativeType;
    let inner = resolve(runs.values(), name, meter)?;
    let (offset, length) = (runs.offset(), runs.len());
    meter.tables.take(length.saturating_mul(4))?;
    let mut rows = Vec::with_capacity(length);
    for (run, end) in runs.run_ends().values().iter().enumerate() {
        let end = end.as_usize().saturating_sub(offset).min(length);
        if end > rows.len() {
            rows.resize(end, run as u32);
        }
    }
    if rows.len() != length {
        return Err(Error::contradiction(format!(
            "the runs of column {name} end before its rows do"
        )));
    }
    Ok(inner.under(rows))
}

/// Gives every row what `visit` makes of its bytes; [`NONE`] if it has none.
pub(crate) fn bytes<'a>(
    array: &ArrayRef,
    name: &str,
    meter: &mut Meter<'a>,
    mut visit: impl FnMut(&[u8], &mut Meter<'a>) -> Result<u32, Error>,
) -> Result<Vec<u32>, Error> {
    let resolved = resolve(array, name, meter)?;
    let values = &resolved.values;
    meter.tables.take(values.len().saturating_mul(4))?;
    let mut found = Vec::with_capacity(values.len());
    let mut one = |bytes: Option<&[u8]>| -> Result<(), Error> {
        found.push(match bytes {
            None => NONE,
            Some(bytes) => {
                // One text may be referred to by any number of views.
                meter.read.take(bytes.len())?;
                visit(bytes, meter)?
            }
        });
        Ok(())
    };
    match values.data_type() {
        DataType::Binary => values.as_binary::<i32>().iter().try_for_each(&mut one)?,
        DataType::LargeBinary => values.as_binary::<i64>().iter().try_for_each(&mut one)?,
        DataType::BinaryView => values.as_binary_view().iter().try_for_each(&mut one)?,
        DataType::FixedSizeBinary(_) => {
            values
                .as_fixed_size_binary()
                .iter()
                .try_for_each(&mut one)?;
        }
        DataType::Null => found.resize(values.len(), NONE),
        other => return Err(Error::wrong_type(name, "texts", other)),
    }
    Ok(resolved.spread(found, NONE))
}

/// Whole numbers and times, `absent` where there is none. Times are in nanoseconds.
pub(crate) fn integers(
    array: &ArrayRef,
    name: &str,
    absent: i64,
    meter: &mut Meter<'_>,
) -> Result<Vec<i64>, Error> {
    let resolved = resolve(array, name, meter)?;
    let values = &resolved.values;
    meter.tables.take(values.len().saturating_mul(8))?;
    let mut is_over = false;
    let scale = scale(values.data_type());
    let mut found = {
        let is_over = std::cell::Cell::new(false);
        let scaled = |number: i64| {
            number.checked_mul(scale).unwrap_or_else(|| {
                is_over.set(true);
                0
            })
        };
        let unsigned = |number: u64| {
            i64::try_from(number).unwrap_or_else(|_| {
                is_over.set(true);
                0
            })
        };
        let found = numbers(values, scaled, unsigned);
        (found, is_over.get())
    };
    is_over |= found.1;
    let mut found = match found.0.take() {
        Some(found) => found,
        None if *values.data_type() == DataType::Null => vec![absent; values.len()],
        None => return Err(Error::wrong_type(name, "whole numbers", values.data_type())),
    };
    clear(&mut found, values, absent);
    if is_over {
        return Err(Error::contradiction(format!(
            "a number of column {name} has more than 63 bits"
        )));
    }
    Ok(resolved.spread(found, absent))
}

/// Addresses, `0` where there is none.
pub(crate) fn addresses(
    array: &ArrayRef,
    name: &str,
    meter: &mut Meter<'_>,
) -> Result<Vec<u64>, Error> {
    let resolved = resolve(array, name, meter)?;
    let values = &resolved.values;
    meter.tables.take(values.len().saturating_mul(8))?;
    let found = numbers(values, i64::cast_unsigned, |address| address);
    let mut found =
        found.ok_or_else(|| Error::wrong_type(name, "addresses", values.data_type()))?;
    clear(&mut found, values, 0);
    Ok(resolved.spread(found, 0))
}

/// Which rows say no.
pub(crate) fn refusals(array: &ArrayRef, name: &str) -> Result<Vec<bool>, Error> {
    let booleans = array.as_boolean_opt();
    let booleans =
        booleans.ok_or_else(|| Error::wrong_type(name, "yes or no", array.data_type()))?;
    Ok(booleans.iter().map(|is| is == Some(false)).collect())
}

/// Nanoseconds in what a column counts.
fn scale(data_type: &DataType) -> i64 {
    match data_type {
        DataType::Timestamp(unit, _) | DataType::Duration(unit) => match unit {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Nanosecond => 1,
        },
        _ => 1,
    }
}

/// Puts `absent` wherever the array has a null.
fn clear<T: Copy>(found: &mut [T], array: &dyn Array, absent: T) {
    if let Some(nulls) = array.nulls() {
        for (value, is_there) in found.iter_mut().zip(nulls.iter()) {
            if !is_there {
                *value = absent;
            }
        }
    }
}

/// All numbers of an array of any width; nothing if it holds no whole numbers.
fn numbers<T>(
    array: &dyn Array,
    signed: impl Fn(i64) -> T,
    unsigned: impl Fn(u64) -> T,
) -> Option<Vec<T>> {
    macro_rules! all {
        ($kind:ty, $convert:expr, $wide:ty) => {
            array
                .as_primitive::<$kind>()
                .values()
                .iter()
                .map(|number| $convert(<$wide>::from(*number)))
                .collect()
        };
    }
    use TimeUnit::*;
    Some(match array.data_type() {
        DataType::Int8 => all!(Int8Type, signed, i64),
        DataType::Int16 => all!(Int16Type, signed, i64),
        DataType::Int32 => all!(Int32Type, signed, i64),
        DataType::Int64 => all!(Int64Type, signed, i64),
        DataType::UInt8 => all!(UInt8Type, unsigned, u64),
        DataType::UInt16 => all!(UInt16Type, unsigned, u64),
        DataType::UInt32 => all!(UInt32Type, unsigned, u64),
        DataType::UInt64 => all!(UInt64Type, unsigned, u64),
        DataType::Timestamp(Second, _) => all!(TimestampSecondType, signed, i64),
        DataType::Timestamp(Millisecond, _) => all!(TimestampMillisecondType, signed, i64),
        DataType::Timestamp(Microsecond, _) => all!(TimestampMicrosecondType, signed, i64),
        DataType::Timestamp(Nanosecond, _) => all!(TimestampNanosecondType, signed, i64),
        DataType::Duration(Second) => all!(DurationSecondType, signed, i64),
        DataType::Duration(Millisecond) => all!(DurationMillisecondType, signed, i64),
        DataType::Duration(Microsecond) => all!(DurationMicrosecondType, signed, i64),
        DataType::Duration(Nanosecond) => all!(DurationNanosecondType, signed, i64),
        _ => return None,
    })
}
