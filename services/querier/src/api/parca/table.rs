//! The TABLE_ARROW report: one row per function.

use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::{ArrayRef, Int64Array, UInt64Array};
use arrow_schema::ArrowError;
use cairn_engine::{Flame, Kind, Node, TopRow};
use cairn_model::{Function, Mapping, NONE};

use super::arrow::{Columns, narrow, stream, wide};
use super::diff::Diff;

/// The record as an IPC stream.
pub(super) fn encode(flame: &Flame, diff: &Diff) -> Result<Vec<u8>, ArrowError> {
    stream(&columns(flame, diff).record()?)
}

fn columns(flame: &Flame, diff: &Diff) -> Columns {
    let rows = cairn_engine::top(flame);
    let nodes: Vec<&Node> = rows
        .iter()
        .map(|row| &flame.nodes[row.node as usize])
        .collect();
    let mut columns = Columns::default();
    location_columns(&mut columns, flame, &nodes);
    function_columns(&mut columns, flame, &nodes);
    value_columns(&mut columns, &rows, diff);
    columns
}

fn location_columns(columns: &mut Columns, flame: &Flame, nodes: &[&Node]) {
    let symbols = &flame.symbols;
    let texts = |of: fn(&Mapping) -> u32| -> Vec<Option<&str>> {
        let mapping =
            |node: &&Node| (node.mapping != NONE).then(|| &symbols.mappings[node.mapping as usize]);
        nodes
            .iter()
            .map(|node| mapping(node).map(|mapping| symbols.str(of(mapping))))
            .collect()
    };
    columns.push("mapping_file", narrow(&texts(|mapping| mapping.file)));
    columns.push(
        "mapping_build_id",
        narrow(&texts(|mapping| mapping.build_id)),
    );
    let addresses = nodes.iter().map(|node| node.address);
    columns.push(
        "location_address",
        Arc::new(UInt64Array::from_iter_values(addresses)),
    );
    columns.push("location_line", ints(nodes.iter().map(|node| node.line)));
}

fn function_columns(columns: &mut Columns, flame: &Flame, nodes: &[&Node]) {
    let symbols = &flame.symbols;
    let function = |node: &Node| -> Option<Function> {
        match node.kind {
            Kind::Function(function) => Some(symbols.functions[function as usize]),
            Kind::Root | Kind::Group(_) | Kind::Unnamed | Kind::Trimmed => None,
        }
    };
    let start_line = |node: &&Node| function(node).map_or(0, |function| function.start_line);
    columns.push("function_startline", ints(nodes.iter().map(start_line)));
    let names: Vec<_> = nodes
        .iter()
        .map(|node| function(node).map(|_| flame.name(node)))
        .collect();
    let names: Vec<Option<&str>> = names.iter().map(|name| name.as_deref()).collect();
    columns.push("function_name", wide(&names));
    let texts = |of: fn(&Function) -> u32| -> Vec<Option<&str>> {
        let text = |node: &&Node| Some(symbols.str(of(&function(node)?)));
        nodes.iter().map(text).collect()
    };
    columns.push(
        "function_system_name",
        narrow(&texts(|function| function.system_name)),
    );
    columns.push("function_file_name", wide(&texts(|function| function.file)));
}

fn value_columns(columns: &mut Columns, rows: &[TopRow], diff: &Diff) {
    columns.push("cumulative", ints(rows.iter().map(|row| row.cumulative)));
    let diffs = rows
        .iter()
        .map(|row| diff.of(row.cumulative, row.base_cumulative));
    columns.push("cumulative_diff", ints(diffs));
    columns.push("flat", ints(rows.iter().map(|row| row.flat)));
    let diffs = rows.iter().map(|row| diff.of(row.flat, row.base_flat));
    columns.push("flat_diff", ints(diffs));
    columns.push(
        "callers",
        lists(rows.iter().map(|row| row.callers.as_slice())),
    );
    columns.push(
        "callees",
        lists(rows.iter().map(|row| row.callees.as_slice())),
    );
}

fn ints(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn lists<'a>(rows: impl Iterator<Item = &'a [u32]>) -> ArrayRef {
    let mut builder = ListBuilder::new(Int64Builder::new());
    for row in rows {
        for at in row {
            builder.values().append_value(i64::from(*at));
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests;
