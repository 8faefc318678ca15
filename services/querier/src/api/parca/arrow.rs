//! The FLAMEGRAPH_ARROW report: one record, columns and types as Parca's page and Grafana read them.
//!
//! Readers depend on dictionaries of *binary*, on unsigned values of the smallest width that fits,
//! and on row 0 being the root. Rows come level by level.

mod columns;

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, UInt32Builder};
use arrow_array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, UInt64Array};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, Field, Schema};
use cairn_engine::{Flame, Kind, Node};
use cairn_model::{Function, NONE};
use cairn_trie::GroupValue;

pub(super) use columns::{Columns, narrow, plain, wide};
use columns::{binary, signed, unsigned};

use super::diff::Diff;

/// The record as an IPC stream. `labels` are those that the report is grouped by.
pub(super) fn encode(flame: &Flame, labels: &[String], diff: &Diff) -> Result<Vec<u8>, ArrowError> {
    stream(&record(flame, labels, diff)?)
}

/// One record as a compressed IPC stream.
pub(super) fn stream(record: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let options =
        IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &record.schema(), options)?;
    writer.write(record)?;
    writer.into_inner()
}

fn record(flame: &Flame, labels: &[String], diff: &Diff) -> Result<RecordBatch, ArrowError> {
    let rows = Rows::new(flame);
    let mut columns = Columns::default();
    rows.location_columns(&mut columns);
    rows.function_columns(&mut columns);
    rows.value_columns(&mut columns, diff);
    rows.label_columns(&mut columns, labels);
    columns.record()
}

/// The nodes in the order of the rows.
struct Rows<'a> {
    flame: &'a Flame,
    nodes: Vec<&'a Node>,
    /// Row of each node.
    of_node: Vec<u32>,
    children: Vec<Vec<u32>>,
}

impl<'a> Rows<'a> {
    fn new(flame: &'a Flame) -> Self {
        let children = flame.children();
        let mut order: Vec<u32> = Vec::with_capacity(flame.nodes.len());
        order.extend((!flame.nodes.is_empty()).then_some(0));
        let mut next = 0;
        while let Some(node) = order.get(next) {
            order.extend(&children[*node as usize]);
            next += 1;
        }
        let mut of_node = vec![0u32; flame.nodes.len()];
        for (row, node) in order.iter().enumerate() {
            of_node[*node as usize] = row as u32;
        }
        let row = |node: &u32| of_node[*node as usize];
        let children = order
            .iter()
            .map(|node| children[*node as usize].iter().map(row).collect());
        Self {
            flame,
            nodes: order
                .iter()
                .map(|node| &flame.nodes[*node as usize])
                .collect(),
            children: children.collect(),
            of_node,
        }
    }

    fn parent(&self, node: &Node) -> Option<usize> {
        (node.parent != NONE).then(|| self.of_node[node.parent as usize] as usize)
    }

    /// Whether a row stands for a call, not for the root or for labels.
    fn is_call(node: &Node) -> bool {
        !matches!(node.kind, Kind::Root | Kind::Group(_))
    }

    fn function(&self, node: &Node) -> Option<Function> {
        match node.kind {
            Kind::Function(function) => Some(self.flame.symbols.functions[function as usize]),
            Kind::Root | Kind::Group(_) | Kind::Unnamed | Kind::Trimmed => None,
        }
    }

    fn location_columns(&self, columns: &mut Columns) {
        let symbols = &self.flame.symbols;
        let labels_only: BooleanArray = self
            .nodes
            .iter()
            .map(|node| Some(matches!(node.kind, Kind::Group(_))))
            .collect();
        columns.push("labels_only", Arc::new(labels_only));
        let addresses: UInt64Array = self
            .nodes
            .iter()
            .map(|node| Self::is_call(node).then_some(node.address))
            .collect();
        columns.push("location_address", Arc::new(addresses));
        let mapping =
            |node: &Node| (node.mapping != NONE).then(|| symbols.mappings[node.mapping as usize]);
        let file = |node: &&Node| Some(symbols.str(mapping(node)?.file));
        columns.push("mapping_file", binary(self.nodes.iter().map(file)));
        let build_id = |node: &&Node| Some(symbols.str(mapping(node)?.build_id));
        columns.push("mapping_build_id", binary(self.nodes.iter().map(build_id)));
    }

    fn function_columns(&self, columns: &mut Columns) {
        let symbols = &self.flame.symbols;
        let lines = self
            .nodes
            .iter()
            .map(|node| self.function(node).map(|_| node.line));
        columns.push("location_line", unsigned(lines));
        let inlined: BooleanArray = self
            .nodes
            .iter()
            .map(|node| Self::is_call(node).then_some(node.inlined))
            .collect();
        columns.push("inlined", Arc::new(inlined));
        let start_lines = self
            .nodes
            .iter()
            .map(|node| self.function(node).map(|function| function.start_line));
        columns.push("function_startline", unsigned(start_lines));
        let names: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                let named = matches!(node.kind, Kind::Function(_) | Kind::Trimmed);
                named.then(|| self.flame.name(node))
            })
            .collect();
        columns.push(
            "function_name",
            binary(names.iter().map(|name| name.as_deref())),
        );
        let text =
            |node: &Node, of: fn(&Function) -> u32| Some(symbols.str(of(&self.function(node)?)));
        let system_names = self.nodes.iter().map(|node| text(node, |f| f.system_name));
        columns.push("function_system_name", binary(system_names));
        let files = self.nodes.iter().map(|node| text(node, |f| f.file));
        columns.push("function_file_name", binary(files));
    }

    fn value_columns(&self, columns: &mut Columns, diff: &Diff) {
        let mut children = ListBuilder::new(UInt32Builder::new());
        for of_row in &self.children {
            children.values().append_slice(of_row);
            children.append(!of_row.is_empty());
        }
        columns.push("children", Arc::new(children.finish()));
        let parents = self.nodes.iter().map(|node| {
            self.parent(node)
                .map_or(-1, |row| i32::try_from(row).unwrap_or(i32::MAX))
        });
        columns.push("parent", Arc::new(Int32Array::from_iter_values(parents)));
        let cumulative = |node: &&Node| Some(node.cumulative);
        columns.push("cumulative", unsigned(self.nodes.iter().map(cumulative)));
        columns.push(
            "flat",
            unsigned(self.nodes.iter().map(|node| Some(node.flat))),
        );
        let diffs = self.nodes.iter();
        let diffs = diffs.map(|node| diff.of(node.cumulative, node.base_cumulative));
        columns.push("diff", signed(diffs));
        let times = Int64Array::from_iter_values(self.nodes.iter().map(|node| node.time));
        columns.push("timestamp", Arc::new(times));
        let (depths, offsets) = self.places();
        columns.push("depth", unsigned(depths.into_iter().map(Some)));
        columns.push("value_offset", unsigned(offsets.into_iter().map(Some)));
    }

    /// Depth of each row, and where it begins on the scale of values.
    fn places(&self) -> (Vec<i64>, Vec<i64>) {
        let mut depths = vec![0i64; self.nodes.len()];
        let mut offsets = vec![0i64; self.nodes.len()];
        for row in 0..self.nodes.len() {
            let mut offset = offsets[row];
            for child in &self.children[row] {
                let child = *child as usize;
                depths[child] = depths[row] + 1;
                offsets[child] = offset;
                offset = offset.saturating_add(self.nodes[child].cumulative.max(0));
            }
        }
        (depths, offsets)
    }

    /// A row below a group carries the group's labels.
    fn label_columns(&self, columns: &mut Columns, labels: &[String]) {
        let mut groups: Vec<Option<u32>> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            groups.push(match node.kind {
                Kind::Group(group) => Some(group),
                _ => self.parent(node).and_then(|row| groups[row]),
            });
        }
        for label in labels {
            let texts: Vec<Option<String>> = self
                .flame
                .groups
                .iter()
                .map(|group| {
                    let pair = group.0.iter().find(|(name, _)| **name == **label);
                    pair.map(|(_, value)| text(value))
                })
                .collect();
            let values = groups
                .iter()
                .map(|group| texts[(*group)? as usize].as_deref());
            columns.push(&format!("labels.{label}"), binary(values));
        }
    }
}

fn text(value: &GroupValue) -> String {
    match value {
        GroupValue::Str(text) => text.to_string(),
        GroupValue::Num { value, .. } => value.to_string(),
    }
}

impl Columns {
    pub(super) fn record(self) -> Result<RecordBatch, ArrowError> {
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = self.into_parts();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
    }
}

#[cfg(test)]
mod tests;
