//! The columns of an answer, and how they are cut into batches. Knows no meaning of any column.

use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, Int64Array, ListArray, PrimitiveArray, RecordBatch, StringArray, UInt8Array,
    UInt32Array, UInt64Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::DecodeError;

/// Columns of positions, by [`U32`].
const U32_NAMES: [&str; 18] = [
    "node_parent",
    "node_frame",
    "value_node",
    "value_group",
    "location_mapping",
    "location_lines",
    "line_function",
    "function_name",
    "function_system_name",
    "function_file",
    "mapping_file",
    "mapping_build_id",
    "mapping_addressing",
    "group_pairs",
    "pair_key",
    "pair_text",
    "pair_is_number",
    "point_group",
];

#[derive(Clone, Copy, Debug)]
pub(super) enum U32 {
    NodeParent,
    NodeFrame,
    ValueNode,
    ValueGroup,
    LocationMapping,
    LocationLines,
    LineFunction,
    FunctionName,
    FunctionSystemName,
    FunctionFile,
    MappingFile,
    MappingBuildId,
    MappingAddressing,
    GroupPairs,
    PairKey,
    PairText,
    PairIsNumber,
    PointGroup,
}

/// Columns of figures, by [`I64`].
const I64_NAMES: [&str; 14] = [
    "stats",
    "value",
    "line_line",
    "line_column",
    "function_start_line",
    "pair_number",
    "point_time",
    "point_value",
    "point_profiles",
    "point_duration",
    "point_first",
    "point_first_time",
    "point_last_time",
    "point_period",
];

#[derive(Clone, Copy, Debug)]
pub(super) enum I64 {
    Stats,
    Value,
    LineLine,
    LineColumn,
    FunctionStartLine,
    PairNumber,
    PointTime,
    PointValue,
    PointProfiles,
    PointDuration,
    PointFirst,
    PointFirstTime,
    PointLastTime,
    PointPeriod,
}

/// Columns of text, by [`Text`].
const TEXT_NAMES: [&str; 2] = ["symbol_string", "label_string"];

#[derive(Clone, Copy, Debug)]
pub(super) enum Text {
    Symbol,
    Label,
}

/// Elements of one list, and bytes of one list of texts: what bounds a batch.
const CHUNK: usize = 16 << 10;
const CHUNK_TEXT_BYTES: usize = 512 << 10;

/// All columns of an answer.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) kind: Option<u8>,
    pub(super) addresses: Vec<u64>,
    u32s: [Vec<u32>; U32_NAMES.len()],
    i64s: [Vec<i64>; I64_NAMES.len()],
    texts: [Vec<String>; TEXT_NAMES.len()],
}

impl Raw {
    pub(super) fn u32(&mut self, column: U32) -> &mut Vec<u32> {
        &mut self.u32s[column as usize]
    }

    pub(super) fn i64(&mut self, column: I64) -> &mut Vec<i64> {
        &mut self.i64s[column as usize]
    }

    pub(super) fn text(&mut self, column: Text) -> &mut Vec<String> {
        &mut self.texts[column as usize]
    }

    pub(super) fn batches(mut self) -> Vec<RecordBatch> {
        let mut out = Vec::new();
        let mut start = 0;
        let mut texts = self
            .texts
            .each_mut()
            .map(|texts| texts.drain(..).peekable());
        loop {
            let mut columns: Vec<ArrayRef> =
                vec![Arc::new(UInt8Array::from(vec![self.kind.unwrap_or(0)]))];
            columns.push(list(UInt64Array::from(chunk(&self.addresses, start))));
            let u32s = self
                .u32s
                .iter()
                .map(|c| list(UInt32Array::from(chunk(c, start))));
            columns.extend(u32s);
            let i64s = self
                .i64s
                .iter()
                .map(|c| list(Int64Array::from(chunk(c, start))));
            columns.extend(i64s);
            for texts in &mut texts {
                let (mut part, mut bytes) = (Vec::new(), 0);
                while part.len() < CHUNK
                    && let Some(text) =
                        texts.next_if(|t| bytes == 0 || bytes + t.len() <= CHUNK_TEXT_BYTES)
                {
                    bytes += text.len();
                    part.push(text);
                }
                columns.push(list(StringArray::from(part)));
            }
            let batch = RecordBatch::try_new(schema(), columns);
            out.push(batch.expect("columns are those of the schema, one row each"));
            start += CHUNK;
            let longest = self.u32s.iter().map(Vec::len);
            let longest = longest
                .chain(self.i64s.iter().map(Vec::len))
                .max()
                .unwrap_or(0);
            let done = start >= longest.max(self.addresses.len());
            if done && texts.iter_mut().all(|texts| texts.peek().is_none()) {
                return out;
            }
        }
    }

    /// Appends a batch that [`bytes`] has checked.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), DecodeError> {
        let kind = batch.column(0).as_primitive::<UInt8Type>().value(0);
        if *self.kind.get_or_insert(kind) != kind {
            return Err(DecodeError::Invalid("batches of different kinds"));
        }
        let lists = &batch.columns()[1..];
        let values = |at: usize| lists[at].as_list::<i32>().value(0);
        self.addresses
            .extend_from_slice(values(0).as_primitive::<UInt64Type>().values());
        for (at, column) in self.u32s.iter_mut().enumerate() {
            column.extend_from_slice(values(1 + at).as_primitive::<UInt32Type>().values());
        }
        let after = 1 + U32_NAMES.len();
        for (at, column) in self.i64s.iter_mut().enumerate() {
            column.extend_from_slice(values(after + at).as_primitive::<Int64Type>().values());
        }
        let after = after + I64_NAMES.len();
        for (at, column) in self.texts.iter_mut().enumerate() {
            let texts = values(after + at);
            let texts = texts.as_string::<i32>();
            column.extend((0..texts.len()).map(|at| texts.value(at).to_owned()));
        }
        Ok(())
    }
}

fn chunk<T: Clone>(column: &[T], start: usize) -> Vec<T> {
    let start = start.min(column.len());
    column[start..column.len().min(start + CHUNK)].to_vec()
}

/// One row: a list of all of `values`.
fn list(values: impl Array + 'static) -> ArrayRef {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), false));
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    Arc::new(ListArray::new(field, offsets, Arc::new(values), None))
}

pub(super) fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let list = |name: &str, of: &DataType| {
            let item = Arc::new(Field::new_list_field(of.clone(), false));
            Field::new(name, DataType::List(item), false)
        };
        let mut fields = vec![Field::new("kind", DataType::UInt8, false)];
        fields.push(list("location_address", &DataType::UInt64));
        fields.extend(U32_NAMES.iter().map(|name| list(name, &DataType::UInt32)));
        fields.extend(I64_NAMES.iter().map(|name| list(name, &DataType::Int64)));
        fields.extend(TEXT_NAMES.iter().map(|name| list(name, &DataType::Utf8)));
        Arc::new(Schema::new(fields))
    });
    SCHEMA.clone()
}

/// How much a batch holds, if it is one of ours.
pub(super) fn bytes(batch: &RecordBatch) -> Result<usize, DecodeError> {
    let invalid = DecodeError::Invalid;
    if batch.num_rows() != 1 {
        return Err(invalid("a batch is not one row"));
    }
    let ours = schema();
    if batch.num_columns() != ours.fields().len() {
        return Err(invalid("columns are missing"));
    }
    let mut bytes = 0usize;
    for (column, field) in batch.columns().iter().zip(ours.fields()) {
        if column.null_count() > 0 {
            return Err(invalid("a column is null"));
        }
        let DataType::List(item) = field.data_type() else {
            if column.data_type() != field.data_type() {
                return Err(invalid("the kind has another type"));
            }
            continue;
        };
        let list = column
            .as_list_opt::<i32>()
            .ok_or(invalid("a column is not a list"))?
            .value(0);
        if list.data_type() != item.data_type() || list.null_count() > 0 {
            return Err(invalid("a column holds something else"));
        }
        bytes = bytes.saturating_add(match list.data_type() {
            DataType::UInt32 => len::<UInt32Type>(&list) * 4,
            DataType::Utf8 => {
                let texts = list.as_string::<i32>();
                let ends = texts.value_offsets();
                let text = ends[ends.len() - 1] - ends[0];
                text as usize + texts.len() * size_of::<String>()
            }
            _ => list.len() * 8,
        });
    }
    Ok(bytes)
}

fn len<T: arrow_array::ArrowPrimitiveType>(array: &ArrayRef) -> usize {
    let array: &PrimitiveArray<T> = array.as_primitive();
    array.len()
}
