//! Sections that say what stacks are: `stacks`, `locations`, `mappings`, `functions`, `strings`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder, StructBuilder, UInt32Builder};
use arrow_array::{
    Array, ArrayRef, Int64Array, ListArray, StringArray, StructArray, UInt8Array, UInt32Array,
    UInt64Array,
};
use arrow_schema::{DataType, Field, Fields};
use bytes::Bytes;
use cairn_model::{Addressing, Function, Line, Location, Mapping, NONE, Strings};
use cairn_trie::{Symbols, Trie};
use parquet::file::properties::WriterPropertiesBuilder;

use crate::Error;
use crate::table::{self, Batch, Column, Packing, Table, item};
use crate::tables::Stacks;
use crate::toc::Encoded;

pub(crate) const STACKS: &str = "stacks";
pub(crate) const LOCATIONS: &str = "locations";
pub(crate) const MAPPINGS: &str = "mappings";
pub(crate) const FUNCTIONS: &str = "functions";
pub(crate) const STRINGS: &str = "strings";

/// Rows per array while writing.
const CHUNK_ROWS: usize = 64 << 10;

/// Strings per array while writing: an array holds at most 2 GiB.
const CHUNK_STRINGS: usize = 1 << 10;

pub(crate) fn write(
    stacks: &Stacks,
    properties: &WriterPropertiesBuilder,
) -> Result<[Encoded; 5], Error> {
    let symbols = &stacks.symbols;
    Ok([
        write_stacks(stacks, properties.clone())?,
        write_locations(symbols, properties.clone())?,
        write_mappings(symbols, properties.clone())?,
        write_functions(symbols, properties.clone())?,
        write_strings(symbols, properties.clone())?,
    ])
}

/// Stacks and their symbols as they are stored, compared with their checksums but still encoded.
#[derive(Clone, Debug)]
pub struct PackedStacks {
    /// In the order of [`write`].
    sections: [Bytes; 5],
    pub(crate) stacks: u32,
    nodes: u64,
}

impl PackedStacks {
    /// Sections in the order of [`write`].
    pub(crate) fn new(sections: [Bytes; 5], stacks: u32) -> Result<Self, Error> {
        let nodes = table::rows(STACKS, sections[0].clone())?;
        if u64::from(stacks) > nodes {
            return Err(Error::corrupt(STACKS, "there are more stacks than nodes"));
        }
        Ok(Self {
            sections,
            stacks,
            nodes,
        })
    }

    /// How many nodes the trie has.
    pub fn nodes(&self) -> u64 {
        self.nodes
    }

    /// Decodes them. Takes CPU time, and a dozen times the memory.
    pub fn unpack(&self) -> Result<Stacks, Error> {
        read(self.sections.clone(), self.stacks)
    }
}

fn read(sections: [Bytes; 5], stacks: u32) -> Result<Stacks, Error> {
    let [trie, locations, mappings, functions, strings] = sections;
    let mut symbols = Symbols {
        strings: read_strings(strings)?,
        ..Symbols::default()
    };
    symbols.functions = read_functions(functions, symbols.strings.len())?;
    symbols.mappings = read_mappings(mappings, symbols.strings.len())?;
    read_locations(locations, &mut symbols)?;
    let (trie, nodes) = read_stacks(trie, symbols.locations.len(), stacks)?;
    Ok(Stacks {
        symbols,
        trie,
        nodes,
    })
}

/// What the sections `mappings` and `strings` say of binaries: each build id once, in order.
pub(crate) fn read_build_ids(mappings: Bytes, strings: Bytes) -> Result<Vec<String>, Error> {
    let strings = read_strings(strings)?;
    let mappings = read_mappings(mappings, strings.len())?;
    let ids = mappings.iter().map(|mapping| strings.get(mapping.build_id));
    let ids: BTreeSet<&str> = ids.filter(|id| !id.is_empty()).collect();
    Ok(ids.into_iter().map(str::to_owned).collect())
}

fn write_stacks(stacks: &Stacks, properties: WriterPropertiesBuilder) -> Result<Encoded, Error> {
    let columns = vec![
        Column::new("parent_delta", DataType::UInt32, Packing::Split),
        Column::optional("location", DataType::UInt32, Packing::Split),
        Column::optional("stack", DataType::UInt32, Packing::Split),
    ];
    let mut table = Table::new(STACKS, columns, properties)?;
    let mut stack_of = vec![None; stacks.trie.len()];
    for (stack, node) in (0..).zip(&stacks.nodes) {
        stack_of[*node as usize] = Some(stack);
    }
    let nodes: Vec<u32> = (0..stacks.trie.len() as u32).collect();
    for nodes in nodes.chunks(CHUNK_ROWS) {
        let delta = |node: &u32| match *node {
            Trie::ROOT => 0,
            node => node - stacks.trie.parent(node),
        };
        let frame = |node: &u32| Some(stacks.trie.frame(*node)).filter(|frame| *frame != NONE);
        table.push(vec![
            Arc::new(UInt32Array::from_iter_values(nodes.iter().map(delta))),
            Arc::new(UInt32Array::from_iter(nodes.iter().map(frame))),
            Arc::new(UInt32Array::from_iter(
                nodes.iter().map(|node| stack_of[*node as usize]),
            )),
        ])?;
    }
    table.finish()
}

fn read_stacks(bytes: Bytes, locations: usize, stacks: u32) -> Result<(Trie, Vec<u32>), Error> {
    let mut batches = table::read(STACKS, bytes)?;
    let (mut parents, mut frames, mut found) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(batch) = batches.next()? {
        let deltas: &UInt32Array = batch.column("parent_delta")?;
        let location: &UInt32Array = batch.optional("location")?;
        let stack: &UInt32Array = batch.optional("stack")?;
        for row in 0..batch.len() {
            let node = parents.len() as u32;
            let frame = if location.is_null(row) {
                NONE
            } else {
                location.value(row)
            };
            let parent = node.checked_sub(deltas.value(row));
            let root = node == Trie::ROOT;
            if root != (frame == NONE) || !root && frame as usize >= locations {
                return Err(batch.corrupt(format_args!("node {node} has no location")));
            }
            parents.push(if root { NONE } else { parent.unwrap_or(NONE) });
            frames.push(frame);
            if stack.is_valid(row) {
                found.push((stack.value(row), node));
            }
        }
    }
    found.sort_unstable();
    let dense = (0..).zip(&found).all(|(at, (stack, _))| at == *stack);
    if !dense || found.len() != stacks as usize {
        return Err(Error::corrupt(STACKS, "stacks are not numbered densely"));
    }
    parents.shrink_to_fit();
    frames.shrink_to_fit();
    let trie = Trie::from_parts(parents, frames)
        .ok_or_else(|| Error::corrupt(STACKS, "nodes are no trie"))?;
    let mut nodes = Vec::with_capacity(found.len());
    nodes.extend(found.into_iter().map(|(_, node)| node));
    Ok((trie, nodes))
}

fn line_fields() -> Fields {
    Fields::from(vec![
        Field::new("function", DataType::UInt32, false),
        Field::new("line", DataType::Int64, false),
        Field::new("column", DataType::Int64, false),
    ])
}

fn write_locations(
    symbols: &Symbols,
    properties: WriterPropertiesBuilder,
) -> Result<Encoded, Error> {
    let lines = DataType::List(item(DataType::Struct(line_fields())));
    let columns = vec![
        Column::optional("mapping", DataType::UInt32, Packing::Dictionary),
        Column::new("address", DataType::UInt64, Packing::Split),
        Column::new("lines", lines, Packing::Split),
    ];
    let mut table = Table::new(LOCATIONS, columns, properties)?;
    for locations in symbols.locations.chunks(CHUNK_ROWS) {
        let builders: Vec<Box<dyn arrow_array::builder::ArrayBuilder>> = vec![
            Box::new(UInt32Builder::new()),
            Box::new(Int64Builder::new()),
            Box::new(Int64Builder::new()),
        ];
        let lines = StructBuilder::new(line_fields(), builders);
        let mut lines = ListBuilder::new(lines).with_field(item(DataType::Struct(line_fields())));
        for location in locations {
            let (start, end) = location.lines;
            for line in &symbols.lines[start as usize..end as usize] {
                push_line(lines.values(), line);
            }
            lines.append(true);
        }
        let mapping = |location: &Location| Some(location.mapping).filter(|m| *m != NONE);
        table.push(vec![
            Arc::new(UInt32Array::from_iter(locations.iter().map(mapping))),
            Arc::new(UInt64Array::from_iter_values(
                locations.iter().map(|location| location.address),
            )),
            Arc::new(lines.finish()),
        ])?;
    }
    table.finish()
}

fn push_line(lines: &mut StructBuilder, line: &Line) {
    let Line {
        function,
        line,
        column,
    } = *line;
    const OWN: &str = "the builder was made of these fields";
    let functions: &mut UInt32Builder = lines.field_builder(0).expect(OWN);
    functions.append_value(function);
    for (at, value) in [(1, line), (2, column)] {
        let numbers: &mut Int64Builder = lines.field_builder(at).expect(OWN);
        numbers.append_value(value);
    }
    lines.append(true);
}

fn read_locations(bytes: Bytes, symbols: &mut Symbols) -> Result<(), Error> {
    let mut batches = table::read(LOCATIONS, bytes)?;
    while let Some(batch) = batches.next()? {
        let mapping: &UInt32Array = batch.optional("mapping")?;
        let address: &UInt64Array = batch.column("address")?;
        let lists: &ListArray = batch.column("lines")?;
        let lines: &StructArray = batch.inner(lists.values())?;
        let [function, line, column] = lines.columns() else {
            return Err(batch.corrupt("lines have other fields"));
        };
        let function: &UInt32Array = batch.inner(function)?;
        let line: &Int64Array = batch.inner(line)?;
        let column: &Int64Array = batch.inner(column)?;
        for row in 0..batch.len() {
            let mapping = if mapping.is_null(row) {
                NONE
            } else {
                check(&batch, mapping.value(row), symbols.mappings.len())?
            };
            let start = symbols.lines.len() as u32;
            let span = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
            for at in span {
                symbols.lines.push(Line {
                    function: check(&batch, function.value(at), symbols.functions.len())?,
                    line: line.value(at),
                    column: column.value(at),
                });
            }
            symbols.locations.push(Location {
                mapping,
                address: address.value(row),
                lines: (start, symbols.lines.len() as u32),
            });
        }
    }
    Ok(())
}

fn write_mappings(
    symbols: &Symbols,
    properties: WriterPropertiesBuilder,
) -> Result<Encoded, Error> {
    let columns = vec![
        Column::new("file", DataType::UInt32, Packing::Split),
        Column::new("build_id", DataType::UInt32, Packing::Split),
        Column::new("addressing", DataType::UInt8, Packing::Dictionary),
    ];
    let mut table = Table::new(MAPPINGS, columns, properties)?;
    for mappings in symbols.mappings.chunks(CHUNK_ROWS) {
        let addressing = |mapping: &Mapping| match mapping.addressing {
            Addressing::FileOffset => 0u8,
            Addressing::Virtual => 1,
        };
        table.push(vec![
            numbers(mappings, |mapping| mapping.file),
            numbers(mappings, |mapping| mapping.build_id),
            Arc::new(UInt8Array::from_iter_values(
                mappings.iter().map(addressing),
            )),
        ])?;
    }
    table.finish()
}

fn read_mappings(bytes: Bytes, strings: usize) -> Result<Vec<Mapping>, Error> {
    let mut batches = table::read(MAPPINGS, bytes)?;
    let mut mappings = Vec::new();
    while let Some(batch) = batches.next()? {
        let file: &UInt32Array = batch.column("file")?;
        let build_id: &UInt32Array = batch.column("build_id")?;
        let addressing: &UInt8Array = batch.column("addressing")?;
        for row in 0..batch.len() {
            mappings.push(Mapping {
                file: check(&batch, file.value(row), strings)?,
                build_id: check(&batch, build_id.value(row), strings)?,
                addressing: match addressing.value(row) {
                    0 => Addressing::FileOffset,
                    1 => Addressing::Virtual,
                    other => {
                        return Err(batch.corrupt(format_args!("unknown addressing {other}")));
                    }
                },
            });
        }
    }
    Ok(mappings)
}

fn write_functions(
    symbols: &Symbols,
    properties: WriterPropertiesBuilder,
) -> Result<Encoded, Error> {
    let columns = vec![
        Column::new("name", DataType::UInt32, Packing::Delta),
        Column::new("system_name", DataType::UInt32, Packing::Delta),
        Column::new("file", DataType::UInt32, Packing::Delta),
        Column::new("start_line", DataType::Int64, Packing::Split),
    ];
    let mut table = Table::new(FUNCTIONS, columns, properties)?;
    for functions in symbols.functions.chunks(CHUNK_ROWS) {
        table.push(vec![
            numbers(functions, |function| function.name),
            numbers(functions, |function| function.system_name),
            numbers(functions, |function| function.file),
            Arc::new(Int64Array::from_iter_values(
                functions.iter().map(|function| function.start_line),
            )),
        ])?;
    }
    table.finish()
}

fn read_functions(bytes: Bytes, strings: usize) -> Result<Vec<Function>, Error> {
    let mut batches = table::read(FUNCTIONS, bytes)?;
    let mut functions = Vec::new();
    while let Some(batch) = batches.next()? {
        let name: &UInt32Array = batch.column("name")?;
        let system_name: &UInt32Array = batch.column("system_name")?;
        let file: &UInt32Array = batch.column("file")?;
        let start_line: &Int64Array = batch.column("start_line")?;
        for row in 0..batch.len() {
            functions.push(Function {
                name: check(&batch, name.value(row), strings)?,
                system_name: check(&batch, system_name.value(row), strings)?,
                file: check(&batch, file.value(row), strings)?,
                start_line: start_line.value(row),
            });
        }
    }
    Ok(functions)
}

fn write_strings(symbols: &Symbols, properties: WriterPropertiesBuilder) -> Result<Encoded, Error> {
    let columns = vec![Column::new("text", DataType::Utf8, Packing::Front)];
    let mut table = Table::new(STRINGS, columns, properties)?;
    let texts: Vec<&str> = symbols.strings.iter().collect();
    for texts in texts.chunks(CHUNK_STRINGS) {
        table.push(vec![Arc::new(StringArray::from_iter_values(texts))])?;
    }
    table.finish()
}

fn read_strings(bytes: Bytes) -> Result<Strings, Error> {
    let mut batches = table::read(STRINGS, bytes)?;
    let mut strings = Strings::default();
    let (mut first, mut total) = (true, 0u64);
    while let Some(batch) = batches.next()? {
        let texts: &StringArray = batch.column("text")?;
        for text in texts.iter().flatten() {
            total += text.len() as u64;
            if total > u64::from(u32::MAX) || first && !text.is_empty() {
                return Err(batch.corrupt("the table of strings is none"));
            }
            // String 0 is there from the start.
            if !std::mem::take(&mut first) {
                strings.push(text);
            }
        }
    }
    Ok(strings)
}

fn numbers<T>(rows: &[T], number: impl Fn(&T) -> u32) -> ArrayRef {
    Arc::new(UInt32Array::from_iter_values(rows.iter().map(number)))
}

/// A position in a table of `len` rows.
fn check(batch: &Batch, position: u32, len: usize) -> Result<u32, Error> {
    if (position as usize) < len {
        Ok(position)
    } else {
        Err(batch.corrupt(format_args!("position {position} is beyond its table")))
    }
}
