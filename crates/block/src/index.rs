//! Sections that say which rows there are: `types`, `profiles`, `labelsets`, `label_index`,
//! `rowattrs`, `links`.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, UInt32Builder};
use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeBinaryArray, Int64Array, ListArray, StringArray, UInt32Array,
    UInt64Array,
};
use arrow_schema::DataType;
use bytes::Bytes;
use cairn_model::{Link, NONE, ProfileType};
use parquet::file::properties::{EnabledStatistics, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::Error;
use crate::labels;
use crate::origins::Origins;
use crate::repeats::Batches;
use crate::table::{self, Batch, Column, Packing, Table, item};
use crate::tables::{Index, Links, ProfileRow, RowRange};
use crate::toc::{Encoded, Toc};

pub(crate) const TYPES: &str = "types";
pub(crate) const PROFILES: &str = "profiles";
pub(crate) const LINKS: &str = "links";

const BATCH_HASH: &str = "batch_hash";
const LOG: &str = "log";
const LINKED_PROFILES: &str = "profiles";

const CHUNK_ROWS: usize = 64 << 10;

/// More bytes of sample labels lie apart from the rest of the index, which is read at once with the
/// end of a block.
const ATTRS_BYTES: usize = 64 << 10;

/// All sections of the index: those that lie apart, and those that every query needs. Sections of
/// sample labels and links only if there are any.
pub(crate) fn write(
    (index, links): (&Index, &Links),
    origins: &Origins,
    properties: &WriterPropertiesBuilder,
) -> Result<(Vec<Encoded>, Vec<Encoded>), Error> {
    let mut apart = Vec::new();
    let mut sections = vec![
        write_types(
            &index.types,
            table::index_properties(properties, index.types.len()),
        )?,
        write_profiles(&index.profiles, origins, properties.clone())?,
    ];
    sections.extend(labels::write(&index.label_sets, properties)?);
    if index.attr_sets.len() > 1 {
        let attrs = labels::write_attrs(&index.attr_sets, properties.clone())?;
        match attrs.bytes.len() > ATTRS_BYTES {
            true => apart.push(attrs),
            false => sections.push(attrs),
        }
    }
    if links.list.len() > 1 {
        apart.push(write_links(links, properties.clone())?);
    }
    Ok((apart, sections))
}

/// The index sections as they lie in a block; the last one may be missing.
pub(crate) struct Sections {
    pub(crate) types: Bytes,
    pub(crate) profiles: Bytes,
    pub(crate) label_sets: Bytes,
    pub(crate) label_index: Bytes,
    pub(crate) attrs: Option<Bytes>,
}

pub(crate) fn read(sections: Sections, toc: &Toc, origins: &Origins) -> Result<Index, Error> {
    let (label_sets, postings) = labels::read(sections.label_sets, sections.label_index)?;
    let mut index = Index {
        types: read_types(sections.types)?,
        label_sets,
        postings,
        profiles: Vec::new(),
        attr_sets: labels::read_attrs(sections.attrs, toc.attr_sets)?,
    };
    index.profiles = read_profiles(sections.profiles, &index, (toc.rows, origins))?;
    let order = |row: &ProfileRow| (row.profile_type, row.label_set);
    if !index.profiles.is_sorted_by_key(order) {
        index.postings = None;
    }
    Ok(index)
}

fn write_types(
    types: &[ProfileType],
    properties: WriterPropertiesBuilder,
) -> Result<Encoded, Error> {
    let text = |name| Column::new(name, DataType::Utf8, Packing::Dictionary);
    let columns = vec![
        text("name"),
        text("sample_type"),
        text("sample_unit"),
        text("period_type"),
        text("period_unit"),
        Column::new("delta", DataType::Boolean, Packing::Plain),
    ];
    let mut table = Table::new(TYPES, columns, properties)?;
    for types in types.chunks(CHUNK_ROWS) {
        let texts = |text: fn(&ProfileType) -> &String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(types.iter().map(text)))
        };
        let delta: Vec<bool> = types.iter().map(|t| t.delta).collect();
        table.push(vec![
            texts(|t| &t.name),
            texts(|t| &t.sample_type),
            texts(|t| &t.sample_unit),
            texts(|t| &t.period_type),
            texts(|t| &t.period_unit),
            Arc::new(BooleanArray::from(delta)),
        ])?;
    }
    table.finish()
}

fn read_types(bytes: Bytes) -> Result<Vec<ProfileType>, Error> {
    let mut batches = table::read(TYPES, bytes)?;
    let mut types = Vec::new();
    while let Some(batch) = batches.next()? {
        let name: &StringArray = batch.column("name")?;
        let sample_type: &StringArray = batch.column("sample_type")?;
        let sample_unit: &StringArray = batch.column("sample_unit")?;
        let period_type: &StringArray = batch.column("period_type")?;
        let period_unit: &StringArray = batch.column("period_unit")?;
        let delta: &BooleanArray = batch.column("delta")?;
        for row in 0..batch.len() {
            types.push(ProfileType {
                name: name.value(row).to_owned(),
                sample_type: sample_type.value(row).to_owned(),
                sample_unit: sample_unit.value(row).to_owned(),
                period_type: period_type.value(row).to_owned(),
                period_unit: period_unit.value(row).to_owned(),
                delta: delta.value(row),
            });
        }
    }
    Ok(types)
}

fn write_profiles(
    profiles: &[ProfileRow],
    origins: &Origins,
    properties: WriterPropertiesBuilder,
) -> Result<Encoded, Error> {
    use DataType::{FixedSizeBinary, Int64, UInt32, UInt64};
    let mut columns = vec![
        Column::new("profile_type", UInt32, Packing::Delta).uncompressed(),
        Column::new("label_set", UInt32, Packing::Delta).uncompressed(),
        Column::new("time", Int64, Packing::Delta).uncompressed(),
        Column::new("duration", Int64, Packing::Dictionary).uncompressed(),
        Column::new("period", Int64, Packing::Dictionary).uncompressed(),
        Column::new("scale", Int64, Packing::Dictionary).uncompressed(),
        Column::new("total_value", Int64, Packing::Split),
        Column::new("first_row", UInt64, Packing::Delta).uncompressed(),
        Column::new("rows", UInt32, Packing::Split),
        Column::new("lsn", UInt64, Packing::Delta),
        Column::new(BATCH_HASH, FixedSizeBinary(16), Packing::Dictionary),
    ];
    let only_log = origins.only_log();
    let has_logs = profiles.iter().any(|profile| profile.log != only_log);
    if has_logs {
        columns.push(Column::new(LOG, UInt32, Packing::Dictionary));
    }
    let mut table = Table::new(PROFILES, columns, properties)?;
    for profiles in profiles.chunks(CHUNK_ROWS) {
        let small = |value: fn(&ProfileRow) -> u32| -> ArrayRef {
            Arc::new(UInt32Array::from_iter_values(profiles.iter().map(value)))
        };
        let signed = |value: fn(&ProfileRow) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(profiles.iter().map(value)))
        };
        let large = |value: fn(&ProfileRow) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(profiles.iter().map(value)))
        };
        let mut columns = vec![
            small(|p| p.profile_type),
            small(|p| p.label_set),
            signed(|p| p.time),
            signed(|p| p.duration),
            signed(|p| p.period),
            signed(|p| p.scale),
            signed(|p| p.total),
            large(|p| p.rows.start),
            small(|p| p.rows.len),
            large(|p| p.lsn),
            fixed(16, profiles.iter().map(|p| p.batch.to_be_bytes())),
        ];
        if has_logs {
            columns.push(small(|p| p.log));
        }
        table.push(columns)?;
    }
    table.finish()
}

fn read_profiles(
    bytes: Bytes,
    index: &Index,
    (rows, origins): (u64, &Origins),
) -> Result<Vec<ProfileRow>, Error> {
    let (logs, only_log) = (origins.logs().len(), origins.only_log());
    let mut batches = table::read(PROFILES, bytes)?;
    let mut profiles = Vec::new();
    let mut next = 0u64;
    while let Some(batch) = batches.next()? {
        let profile_type: &UInt32Array = batch.column("profile_type")?;
        let label_set: &UInt32Array = batch.column("label_set")?;
        let time: &Int64Array = batch.column("time")?;
        let duration: &Int64Array = batch.column("duration")?;
        let period: &Int64Array = batch.column("period")?;
        let scale: &Int64Array = batch.column("scale")?;
        let total: &Int64Array = batch.column("total_value")?;
        let first: &UInt64Array = batch.column("first_row")?;
        let len: &UInt32Array = batch.column("rows")?;
        let lsn: &UInt64Array = batch.column("lsn")?;
        let batch_hash: &FixedSizeBinaryArray = batch.column(BATCH_HASH)?;
        let log: Option<&UInt32Array> = match batch.has(LOG) {
            true => Some(batch.column(LOG)?),
            false => None,
        };
        profiles.reserve(batch.len());
        for row in 0..batch.len() {
            let profile = ProfileRow {
                label_set: label_set.value(row),
                profile_type: profile_type.value(row),
                time: time.value(row),
                duration: duration.value(row),
                period: period.value(row),
                scale: scale.value(row),
                total: total.value(row),
                rows: RowRange {
                    start: first.value(row),
                    len: len.value(row),
                },
                log: log.map_or(only_log, |log| log.value(row)),
                lsn: lsn.value(row),
                batch: u128::from_be_bytes(fixed_value(&batch, batch_hash, row)?),
            };
            let known = (profile.label_set as usize) < index.label_sets.len()
                && (profile.profile_type as usize) < index.types.len()
                && ((profile.log as usize) < logs || profile.log == NONE);
            if !known || profile.rows.start != next {
                return Err(batch.corrupt("profiles don't fit to what they refer to"));
            }
            next += u64::from(profile.rows.len);
            profiles.push(profile);
        }
    }
    if next != rows {
        return Err(Error::corrupt(PROFILES, "some rows have no profile"));
    }
    Ok(profiles)
}

/// Whether a profile came in one of these batches.
pub(crate) fn hold_any(profiles: Bytes, batches: &Batches) -> Result<bool, Error> {
    let mut rows = table::read_column(PROFILES, profiles, BATCH_HASH)?;
    while let Some(batch) = rows.next()? {
        let hashes: &FixedSizeBinaryArray = batch.column(BATCH_HASH)?;
        for row in 0..batch.len() {
            let hash = u128::from_be_bytes(fixed_value(&batch, hashes, row)?);
            if batches.contains(&hash) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn write_links(links: &Links, properties: WriterPropertiesBuilder) -> Result<Encoded, Error> {
    let trace = ColumnPath::from("trace_id");
    let properties = properties.set_column_statistics_enabled(trace, EnabledStatistics::Page);
    let columns = vec![
        Column::new("trace_id", DataType::FixedSizeBinary(16), Packing::Plain),
        Column::new("span_id", DataType::FixedSizeBinary(8), Packing::Plain),
        positions(LINKED_PROFILES),
    ];
    let mut table = Table::new(LINKS, columns, properties)?;
    for (at, list) in links.list.chunks(CHUNK_ROWS).enumerate() {
        let rows = at * CHUNK_ROWS..at * CHUNK_ROWS + list.len();
        table.push(vec![
            fixed(16, list.iter().map(|link| link.trace_id)),
            fixed(8, list.iter().map(|link| link.span_id)),
            position_lists(rows.map(|link| links.profiles(link))),
        ])?;
    }
    table.finish()
}

/// `count` links of `profiles` profiles. Blocks of earlier versions don't say which.
pub(crate) fn read_links(bytes: Bytes, count: u64, profiles: u64) -> Result<Links, Error> {
    let mut batches = table::read(LINKS, bytes)?;
    let mut links = Links::new(Vec::new());
    while let Some(batch) = batches.next()? {
        let trace_id: &FixedSizeBinaryArray = batch.column("trace_id")?;
        let span_id: &FixedSizeBinaryArray = batch.column("span_id")?;
        for row in 0..batch.len() {
            links.list.push(Link {
                trace_id: fixed_value(&batch, trace_id, row)?,
                span_id: fixed_value(&batch, span_id, row)?,
            });
        }
        if batch.has(LINKED_PROFILES) {
            let lists: &ListArray = batch.column(LINKED_PROFILES)?;
            for list in read_positions(&batch, lists)? {
                if list.iter().any(|profile| u64::from(*profile) >= profiles) {
                    return Err(batch.corrupt("a link is of a profile that is not there"));
                }
                links.push_profiles(list);
            }
        }
    }
    if links.list.first() != Some(&Link::default()) {
        return Err(Error::corrupt(
            LINKS,
            "the first link is not the absent one",
        ));
    }
    if links.list.len() as u64 != count {
        return Err(Error::corrupt(
            LINKS,
            "there are more or fewer than counted",
        ));
    }
    Ok(links)
}

fn fixed<const N: usize>(width: i32, values: impl Iterator<Item = [u8; N]>) -> ArrayRef {
    let bytes: Vec<u8> = values.flatten().collect();
    Arc::new(FixedSizeBinaryArray::new(width, bytes.into(), None))
}

fn fixed_value<const N: usize>(
    batch: &Batch,
    array: &FixedSizeBinaryArray,
    row: usize,
) -> Result<[u8; N], Error> {
    let value = array.value(row).try_into();
    value.map_err(|_| batch.corrupt("an id has the wrong length"))
}

/// A column of lists of positions.
pub(crate) fn positions(name: &str) -> Column {
    let list = DataType::List(item(DataType::UInt32));
    Column::new(name, list, Packing::Delta)
}

pub(crate) fn position_lists<'a>(lists: impl Iterator<Item = &'a [u32]>) -> ArrayRef {
    let builder = ListBuilder::new(UInt32Builder::new());
    let mut builder = builder.with_field(item(DataType::UInt32));
    for list in lists {
        builder.values().append_slice(list);
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// The lists of a column, row by row.
pub(crate) fn read_positions<'a>(
    batch: &Batch,
    lists: &'a ListArray,
) -> Result<impl Iterator<Item = &'a [u32]>, Error> {
    let values: &UInt32Array = batch.inner(lists.values())?;
    let values: &[u32] = values.values();
    let spans = lists.value_offsets().windows(2);
    Ok(spans.map(move |ends| &values[ends[0] as usize..ends[1] as usize]))
}
