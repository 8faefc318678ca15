//! Columns of lists, whatever the widths of their offsets. Owns that lists lie within their items.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use cairn_model::NONE;

use super::{clear, resolve};
use crate::Error;
use crate::meter::Meter;

/// A column of lists: which of the items each row has.
pub(crate) struct Lists {
    /// Position of the first item, and how many there are. Rows may share items.
    pub(crate) ranges: Vec<(u32, u32)>,
    pub(crate) items: ArrayRef,
}

pub(crate) fn lists(array: &ArrayRef, name: &str, meter: &mut Meter<'_>) -> Result<Lists, Error> {
    let resolved = resolve(array, name, meter)?;
    let values = &resolved.values;
    meter.tables.take(values.len().saturating_mul(8))?;
    let (mut ranges, items) = ranges(values, name)?;
    clear(&mut ranges, values, (0, 0));
    let items_len = items.len() as u64;
    let is_outside = |(start, len): &(u32, u32)| u64::from(*start) + u64::from(*len) > items_len;
    if items_len > u64::from(NONE) || ranges.iter().any(is_outside) {
        return Err(Error::contradiction(format!(
            "a list of column {name} has items that are not there"
        )));
    }
    Ok(Lists {
        ranges: resolved.spread(ranges, (0, 0)),
        items,
    })
}

fn ranges(values: &ArrayRef, name: &str) -> Result<(Vec<(u32, u32)>, ArrayRef), Error> {
    // What does not fit is out of range, which the caller finds.
    let pair = |start: i64, len: i64| {
        let fit = |number: i64| u32::try_from(number).unwrap_or(NONE);
        (fit(start), fit(len))
    };
    Ok(match values.data_type() {
        DataType::List(_) => {
            let list = values.as_list::<i32>();
            let ends = list.value_offsets().windows(2);
            let all =
                ends.map(|ends| pair(ends[0].into(), i64::from(ends[1]) - i64::from(ends[0])));
            (all.collect(), ArrayRef::clone(list.values()))
        }
        DataType::LargeList(_) => {
            let list = values.as_list::<i64>();
            let ends = list.value_offsets().windows(2);
            let all = ends.map(|ends| pair(ends[0], ends[1].saturating_sub(ends[0])));
            (all.collect(), ArrayRef::clone(list.values()))
        }
        DataType::ListView(_) => {
            let list = values.as_list_view::<i32>();
            let all = list.offsets().iter().zip(list.sizes().iter());
            let all = all.map(|(start, len)| pair((*start).into(), (*len).into()));
            (all.collect(), ArrayRef::clone(list.values()))
        }
        DataType::LargeListView(_) => {
            let list = values.as_list_view::<i64>();
            let all = list.offsets().iter().zip(list.sizes().iter());
            let all = all.map(|(start, len)| pair(*start, *len));
            (all.collect(), ArrayRef::clone(list.values()))
        }
        other => return Err(Error::wrong_type(name, "lists", other)),
    })
}
