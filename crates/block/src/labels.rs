//! Sections of labels, long and inverted: `labelsets`, `label_index`, `rowattrs`.
//!
//! A label key that nobody used before costs a row, never a column.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array, Int64Array, ListArray, StringArray};
use arrow_schema::DataType;
use bytes::Bytes;
use cairn_model::Labels;
use cairn_trie::{Group, GroupValue};
use parquet::file::properties::{EnabledStatistics, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::Error;
use crate::index::{position_lists, positions, read_positions};
use crate::table::{self, Batch, Column, Packing, Table};
use crate::tables::{AttrSet, Postings};
use crate::toc::Encoded;

pub(crate) const LABEL_SETS: &str = "labelsets";
pub(crate) const LABEL_INDEX: &str = "label_index";
pub(crate) const ATTRS: &str = "rowattrs";

/// Rows per array while writing: an array of the longest values stays below 2 GiB.
const CHUNK_ROWS: usize = 1 << 10;

pub(crate) fn write(
    label_sets: &[Labels],
    properties: &WriterPropertiesBuilder,
) -> Result<[Encoded; 2], Error> {
    let mut index: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    for (set, labels) in (0..).zip(label_sets) {
        for pair in labels.iter() {
            index.entry(pair).or_default().push(set);
        }
    }
    let mut pairs = vec![Vec::new(); label_sets.len()];
    for (pair, sets) in (0..).zip(index.values()) {
        for set in sets {
            pairs[*set as usize].push(pair);
        }
    }
    let columns = vec![positions("pairs")];
    let properties_of = |rows| table::index_properties(properties, rows);
    let mut table = Table::new(LABEL_SETS, columns, properties_of(pairs.len()))?;
    for pairs in pairs.chunks(CHUNK_ROWS) {
        let pairs = pairs.iter().map(Vec::as_slice);
        table.push(vec![position_lists(pairs)])?;
    }
    let rows: Vec<(&str, &str, &[u32])> = index
        .iter()
        .map(|((key, value), sets)| (*key, *value, sets.as_slice()))
        .collect();
    Ok([
        table.finish()?,
        write_index(&rows, properties_of(rows.len()))?,
    ])
}

/// Sorted by key and value, with statistics per page, so that one label is one page.
fn write_index(
    rows: &[(&str, &str, &[u32])],
    mut properties: WriterPropertiesBuilder,
) -> Result<Encoded, Error> {
    for column in ["key", "value"] {
        let column = ColumnPath::from(column);
        properties = properties.set_column_statistics_enabled(column, EnabledStatistics::Page);
    }
    let columns = vec![
        Column::new("key", DataType::Utf8, Packing::Dictionary),
        Column::new("value", DataType::Utf8, Packing::Front),
        positions("label_sets"),
    ];
    let mut table = Table::new(LABEL_INDEX, columns, properties)?;
    for rows in rows.chunks(CHUNK_ROWS) {
        table.push(vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
            position_lists(rows.iter().map(|row| row.2)),
        ])?;
    }
    table.finish()
}

/// Label sets, and which of them have a label.
pub(crate) fn read(
    label_sets: Bytes,
    label_index: Bytes,
) -> Result<(Vec<Labels>, Option<Postings>), Error> {
    let mut pairs: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    let mut batches = table::read(LABEL_INDEX, label_index)?;
    while let Some(batch) = batches.next()? {
        let keys: &StringArray = batch.column("key")?;
        let values: &StringArray = batch.column("value")?;
        for (key, value) in keys.iter().flatten().zip(values.iter().flatten()) {
            let key = shared(pairs.last().map(|pair| &pair.0), key);
            pairs.push((key, value.into()));
        }
    }
    let mut sets = Vec::new();
    let (mut all, mut ends) = (Vec::new(), Vec::new());
    let mut batches = table::read(LABEL_SETS, label_sets)?;
    while let Some(batch) = batches.next()? {
        let column: &ListArray = batch.column("pairs")?;
        for list in read_positions(&batch, column)? {
            let found: Option<Vec<_>> = list
                .iter()
                .map(|pair| pairs.get(*pair as usize).cloned())
                .collect();
            let found = found.ok_or_else(|| batch.corrupt("a label is not in the index"))?;
            sets.push(Labels::from_shared(found).map_err(|error| batch.corrupt(error))?);
            all.extend_from_slice(list);
            ends.push(all.len());
        }
    }
    let postings = Postings::new(pairs, &all, &ends);
    Ok((sets, postings))
}

pub(crate) fn write_attrs(
    sets: &[AttrSet],
    properties: WriterPropertiesBuilder,
) -> Result<Encoded, Error> {
    let mut index: BTreeMap<&(Arc<str>, GroupValue), Vec<u32>> = BTreeMap::new();
    for (set, Group(pairs)) in (0..).zip(sets) {
        for pair in pairs {
            index.entry(pair).or_default().push(set);
        }
    }
    let columns = vec![
        Column::new("key", DataType::Utf8, Packing::Dictionary),
        Column::optional("text", DataType::Utf8, Packing::Front),
        Column::optional("number", DataType::Int64, Packing::Delta),
        Column::optional("unit", DataType::Utf8, Packing::Dictionary),
        positions("sets"),
    ];
    let mut table = Table::new(ATTRS, columns, properties)?;
    let rows: Vec<_> = index.into_iter().collect();
    for rows in rows.chunks(CHUNK_ROWS) {
        let keys = rows.iter().map(|((key, _), _)| &**key);
        let texts = rows.iter().map(|((_, value), _)| match value {
            GroupValue::Str(text) => Some(&**text),
            GroupValue::Num { .. } => None,
        });
        let numbers = rows.iter().map(|((_, value), _)| match value {
            GroupValue::Str(_) => None,
            GroupValue::Num { value, .. } => Some(*value),
        });
        let units = rows.iter().map(|((_, value), _)| match value {
            GroupValue::Str(_) => None,
            GroupValue::Num { unit, .. } => Some(&**unit),
        });
        table.push(vec![
            Arc::new(StringArray::from_iter_values(keys)),
            Arc::new(StringArray::from_iter(texts)),
            Arc::new(Int64Array::from_iter(numbers)),
            Arc::new(StringArray::from_iter(units)),
            position_lists(rows.iter().map(|(_, sets)| sets.as_slice())),
        ])?;
    }
    table.finish()
}

/// `count` sets, the empty one included.
pub(crate) fn read_attrs(bytes: Option<Bytes>, count: u32) -> Result<Vec<AttrSet>, Error> {
    let Some(bytes) = bytes else {
        return match count {
            1 => Ok(vec![Group::default()]),
            _ => Err(Error::corrupt(ATTRS, "it is missing")),
        };
    };
    let mut pairs: Vec<(Arc<str>, GroupValue)> = Vec::new();
    let mut entries: Vec<(u32, u32)> = Vec::new();
    let mut batches = table::read(ATTRS, bytes)?;
    while let Some(batch) = batches.next()? {
        let keys: &StringArray = batch.column("key")?;
        let lists: &ListArray = batch.column("sets")?;
        for (row, list) in read_positions(&batch, lists)?.enumerate() {
            let key = shared(pairs.last().map(|pair| &pair.0), keys.value(row));
            let pair = (key, attr_value(&batch, row)?);
            if pairs.last().is_some_and(|last| *last >= pair) {
                return Err(batch.corrupt("attributes are not sorted"));
            }
            let at = pairs.len() as u32;
            entries.extend(list.iter().map(|set| (*set, at)));
            pairs.push(pair);
        }
    }
    // Every set but the first has a pair, so a claimed count can't outgrow what was read.
    if count as usize > entries.len() + 1 {
        return Err(Error::corrupt(ATTRS, "sets of attributes are missing"));
    }
    let mut sets = vec![Group::default(); count as usize];
    for (set, pair) in entries {
        let set = sets.get_mut(set as usize);
        let set = set.ok_or_else(|| Error::corrupt(ATTRS, "there are more sets than counted"))?;
        set.0.push(pairs[pair as usize].clone());
    }
    Ok(sets)
}

fn attr_value(batch: &Batch, row: usize) -> Result<GroupValue, Error> {
    let text: &StringArray = batch.optional("text")?;
    let number: &Int64Array = batch.optional("number")?;
    let unit: &StringArray = batch.optional("unit")?;
    match (text.is_valid(row), number.is_valid(row), unit.is_valid(row)) {
        (true, false, false) => Ok(GroupValue::Str(text.value(row).into())),
        (false, true, true) => Ok(GroupValue::Num {
            value: number.value(row),
            unit: unit.value(row).into(),
        }),
        _ => Err(batch.corrupt("an attribute has not one value")),
    }
}

/// Sorted keys come in runs, which share one allocation.
fn shared(last: Option<&Arc<str>>, key: &str) -> Arc<str> {
    match last {
        Some(last) if **last == *key => Arc::clone(last),
        _ => key.into(),
    }
}
