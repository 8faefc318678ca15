//! What answers say, read into the forms that they are compared in.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::types::{UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_schema::DataType;
use cairn_block::{Head, Origin};
use cairn_engine::{Answer, GroupBy, KeyBy, Query, Question, Source, scan_head};
use cairn_model::{Labels, Limits, NONE, TimeRange};
use cairn_wire::parca::query::v1alpha1 as wire;
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::querier::v1::Level;

use super::expected::{self, Edges, Lines, Paths, Points, Table};
use crate::model::{self, Sums};

/// Key -> difference; without those that are none.
pub(crate) type Diffs<K> = BTreeMap<K, i64>;

/// A flame graph in Arrow.
pub(crate) struct Flame {
    pub(crate) sums: Paths,
    pub(crate) diffs: Diffs<Vec<String>>,
    pub(crate) trimmed: i64,
}

pub(crate) fn flame(response: wire::QueryResponse, key_by: KeyBy) -> Flame {
    let Some(Report::FlamegraphArrow(graph)) = response.report else {
        panic!("another report");
    };
    let record = record(&graph.record);
    let column = |name: &str| ints(record.column_by_name(name).unwrap());
    let (parents, cumulative, flat) = (column("parent"), column("cumulative"), column("flat"));
    let diffs = column("diff");
    let names = node_names(&record, key_by);
    let mut of_row: Vec<Vec<String>> = Vec::new();
    let (mut sums, mut changes) = (Paths::new(), Diffs::new());
    for row in 0..record.num_rows() {
        let mut path = match parents[row] {
            -1 => Vec::new(),
            parent => of_row[parent as usize].clone(),
        };
        path.extend((row > 0).then(|| names[row].clone()));
        expected::add(&mut sums, path.clone(), (cumulative[row], flat[row]));
        *changes.entry(path.clone()).or_default() += diffs[row];
        of_row.push(path);
    }
    changes.retain(|_, diff| *diff != 0);
    Flame {
        sums: expected::without_zeros(sums),
        diffs: changes,
        trimmed: graph.trimmed,
    }
}

/// Path of names and the times at which they begin, outermost first -> cumulative and flat value.
pub(crate) type Drawn = BTreeMap<Vec<(String, i64)>, (i64, i64)>;

/// How many calls deep a chart is, the root included, and what it shows.
pub(crate) fn chart(response: wire::QueryResponse, key_by: KeyBy) -> (usize, Drawn) {
    let Some(Report::FlamegraphArrow(graph)) = response.report else {
        panic!("another report");
    };
    let record = record(&graph.record);
    let column = |name: &str| ints(record.column_by_name(name).unwrap());
    let (parents, times) = (column("parent"), column("timestamp"));
    let (cumulative, flat) = (column("cumulative"), column("flat"));
    let names = node_names(&record, key_by);
    let mut of_row: Vec<Vec<(String, i64)>> = Vec::new();
    let mut drawn = Drawn::new();
    for row in 0..record.num_rows() {
        let mut path = match parents[row] {
            -1 => Vec::new(),
            parent => of_row[parent as usize].clone(),
        };
        path.extend((row > 0).then(|| (names[row].clone(), times[row])));
        expected::add(&mut drawn, path.clone(), (cumulative[row], flat[row]));
        of_row.push(path);
    }
    let height = graph.height as usize;
    (height, expected::without_zeros(drawn))
}

/// Of a function, an address without a name, or labels.
fn node_names(record: &RecordBatch, key_by: KeyBy) -> Vec<String> {
    let column = |name: &str| texts(record.column_by_name(name).unwrap());
    let (functions, binaries) = (column("function_name"), column("mapping_file"));
    let files = column("function_file_name");
    let addresses = ints(record.column_by_name("location_address").unwrap());
    let schema = record.schema();
    let labels = schema.fields().iter().filter_map(|field| {
        let label = field.name().strip_prefix("labels.")?;
        Some((label.to_owned(), column(field.name())))
    });
    let labels: Vec<(String, Vec<Option<String>>)> = labels.collect();
    let is_label = record.column_by_name("labels_only");
    let name = |row: usize| {
        if is_label.is_some_and(|column| column.as_boolean().value(row)) {
            let pair = |(label, values): &(String, Vec<Option<String>>)| {
                let value = values[row].as_ref()?;
                Some(format!("{label}={value}"))
            };
            return labels.iter().filter_map(pair).collect::<Vec<_>>().join(",");
        }
        match (&functions[row], &binaries[row]) {
            (Some(function), binary) => {
                let file = files[row].as_deref().unwrap_or_default();
                let binary = binary.as_deref().unwrap_or_default();
                keyed(key_by, function, (file, addresses[row] as u64, binary))
            }
            (None, Some(file)) => format!("{file}+{:#x}", addresses[row]),
            // A function of which not even the name is known.
            (None, None) if addresses[row] == 0 => keyed(key_by, "", ("", 0, "")),
            (None, None) => format!("{:#x}", addresses[row]),
        }
    };
    (0..record.num_rows()).map(name).collect()
}

/// A call with what else tells it apart: file, address, binary.
pub(crate) fn keyed(
    key_by: KeyBy,
    name: &str,
    (file, address, binary): (&str, u64, &str),
) -> String {
    let KeyBy {
        file: by_file,
        address: by_address,
        mapping: by_mapping,
    } = key_by;
    let mut out = name.to_owned();
    if by_file {
        out = format!("{out} of {file}");
    }
    if by_address {
        out = format!("{out} at {address:#x}");
    }
    if by_mapping || by_address {
        out = format!("{out} in {binary}");
    }
    out
}

/// Values and differences by path of a flame graph of nested messages, in either form.
#[expect(deprecated, reason = "old clients read the totals from the graph")]
pub(crate) fn nested(
    response: wire::QueryResponse,
) -> (BTreeMap<Vec<String>, i64>, Diffs<Vec<String>>) {
    let total = response.total;
    let Some(Report::Flamegraph(graph)) = response.report else {
        panic!("another report");
    };
    let root = graph.root.clone().unwrap();
    assert_eq!((root.cumulative, graph.total), (total, total));
    let (mut sums, mut diffs) = (BTreeMap::new(), Diffs::new());
    *sums.entry(Vec::new()).or_default() += root.cumulative;
    *diffs.entry(Vec::new()).or_default() += root.diff;
    let mut open: Vec<(Vec<String>, wire::FlamegraphNode)> = Vec::new();
    open.extend(root.children.into_iter().map(|child| (Vec::new(), child)));
    while let Some((mut path, node)) = open.pop() {
        path.push(nested_name(&graph, &node));
        *sums.entry(path.clone()).or_default() += node.cumulative;
        *diffs.entry(path.clone()).or_default() += node.diff;
        let children = node.children.into_iter();
        open.extend(children.map(|child| (path.clone(), child)));
    }
    sums.retain(|_, value| *value != 0);
    diffs.retain(|_, diff| *diff != 0);
    (sums, diffs)
}

fn nested_name(graph: &wire::Flamegraph, node: &wire::FlamegraphNode) -> String {
    let meta = node.meta.as_ref().unwrap();
    let Some(at) = (meta.location_index as usize).checked_sub(1) else {
        return meta.function.as_ref().unwrap().name.clone();
    };
    let location = &graph.locations[at];
    let text = |at: u32| graph.string_table[at as usize].clone();
    if let Some(line) = location.lines.first() {
        let function = &graph.function[line.function_index as usize - 1];
        return text(function.name_string_index);
    }
    let address = location.address;
    match (location.mapping_index as usize).checked_sub(1) {
        None => format!("{address:#x}"),
        Some(at) => {
            let file = text(graph.mapping[at].file_string_index);
            format!("{file}+{address:#x}")
        }
    }
}

/// Functions, and differences of their cumulative values.
pub(crate) fn top_rows(response: wire::QueryResponse) -> (Table, Diffs<String>) {
    let Some(Report::Top(top)) = response.report else {
        panic!("another report");
    };
    let (mut table, mut diffs) = (Table::new(), Diffs::new());
    for node in top.list {
        let name = node.meta.and_then(|meta| meta.function).unwrap().name;
        diffs.insert(name.clone(), node.diff);
        let before = table.insert(name, (node.cumulative, node.flat));
        assert_eq!(before, None, "a function twice");
    }
    diffs.retain(|_, diff| *diff != 0);
    (expected::without_zeros(table), diffs)
}

/// Functions, and differences of both their values.
pub(crate) fn table_rows(response: wire::QueryResponse) -> (Table, Table) {
    let Some(Report::TableArrow(table)) = response.report else {
        panic!("another report");
    };
    let record = record(&table.record);
    let column = |name: &str| ints(record.column_by_name(name).unwrap());
    let (cumulative, flat) = (column("cumulative"), column("flat"));
    let (more, more_flat) = (column("cumulative_diff"), column("flat_diff"));
    let (mut rows, mut diffs) = (Table::new(), Table::new());
    let names = node_names(&record, KeyBy::default());
    for (row, name) in names.into_iter().enumerate() {
        diffs.insert(name.clone(), (more[row], more_flat[row]));
        let before = rows.insert(name, (cumulative[row], flat[row]));
        assert_eq!(before, None, "a function twice");
    }
    (
        expected::without_zeros(rows),
        expected::without_zeros(diffs),
    )
}

/// The lines of a file.
pub(crate) fn source_lines(response: wire::QueryResponse, unit: &str) -> Lines {
    let Some(Report::Source(source)) = response.report else {
        panic!("another report");
    };
    assert_eq!(source.unit, unit);
    let record = record(&source.record);
    let column = |name: &str| ints(record.column_by_name(name).unwrap());
    let files = texts(record.column_by_name("filename").unwrap());
    let (lines, cumulative, flat) = (column("line_number"), column("cumulative"), column("flat"));
    let mut out = Lines::new();
    for (row, file) in files.into_iter().enumerate() {
        let key = (file.unwrap_or_default(), lines[row]);
        let before = out.insert(key, (cumulative[row], flat[row]));
        assert_eq!(before, None, "a line twice");
    }
    expected::without_zeros(out)
}

/// A download of Parca's as the rows that it holds.
pub(crate) fn samples(response: wire::QueryResponse) -> Sums {
    let Some(Report::Pprof(bytes)) = response.report else {
        panic!("another report");
    };
    samples_of(&bytes)
}

/// A file as the rows that it holds.
pub(crate) fn samples_of(bytes: &[u8]) -> Sums {
    let decoded = cairn_pprof::decode(bytes, &Limits::default(), &cairn_pprof::Options::default());
    let origin = Origin {
        name: "download".into(),
        labels: Labels::default(),
        time: 1,
        lsn: 1,
        batch: 0,
    };
    let mut head = Head::default();
    head.append(&decoded.unwrap().profile, &origin).unwrap();
    let query = Query {
        profile_type: None,
        matchers: Vec::new(),
        range: TimeRange::ALL,
        weights: None,
        question: Question::Stacks(GroupBy::SampleLabels),
    };
    let Answer::Stacks(partial) = scan_head(&head, 0, &query, Source::ALONE).answer else {
        panic!("another answer");
    };
    let mut frames = partial.trie.frames().iter().skip(1);
    assert!(frames.all(|frame| *frame != NONE));
    expected::without_empty(model::sums(&partial))
}

pub(crate) fn points(response: wire::QueryRangeResponse) -> Points {
    let mut points = Points::new();
    for series in response.series {
        let labels = series.labelset.unwrap().labels.into_iter();
        let labels = labels.map(|label| (label.name, label.value)).collect();
        let of_time = series.samples.iter().map(|sample| {
            let time = cairn_wire::nanos(sample.timestamp.as_ref().unwrap()).unwrap();
            (time, (sample.value, sample.count, sample.duration))
        });
        let before = points.insert(labels, of_time.collect());
        assert_eq!(before, None, "a series twice");
    }
    points
}

// === Pyroscope's forms ===

/// Sums by path of one side of levels of bars; each bar is `width` numbers, those of the side begin
/// at `at`. No value may be below zero: else it would not be seen whose child a bar is.
pub(crate) fn levels(names: &[String], levels: &[Level], (width, at): (usize, usize)) -> Paths {
    let mut out = Paths::new();
    let mut above: Vec<(i64, i64, Vec<String>)> = Vec::new();
    for (depth, level) in levels.iter().enumerate() {
        let mut here = Vec::new();
        let mut end = 0;
        for bar in level.values.chunks(width) {
            let (start, total) = (end + bar[at], bar[at + 1]);
            end = start + total;
            if total == 0 {
                continue;
            }
            let mut path = Vec::new();
            if depth > 0 {
                let parent = above.iter().find(|(s, e, _)| *s <= start && end <= *e);
                path.clone_from(&parent.expect("every bar lies below another").2);
                path.push(names[bar[width - 1] as usize].clone());
            }
            expected::add(&mut out, path.clone(), (total, bar[at + 2]));
            here.push((start, end, path));
        }
        above = here;
    }
    out
}

/// Sums by path of a tree of bytes.
pub(crate) fn tree(mut bytes: &[u8]) -> Paths {
    let number = |bytes: &mut &[u8]| prost::encoding::decode_varint(bytes).unwrap();
    let mut all = Vec::new();
    let mut open: Vec<(Vec<String>, u64)> = Vec::new();
    while !bytes.is_empty() {
        let length = number(&mut bytes) as usize;
        let name = String::from_utf8(bytes[..length].to_vec()).unwrap();
        bytes = &bytes[length..];
        let (own, children) = (number(&mut bytes).cast_signed(), number(&mut bytes));
        while open.pop_if(|(_, left)| *left == 0).is_some() {}
        let mut path = Vec::new();
        if let Some((above, left)) = open.last_mut() {
            *left -= 1;
            path = [above.as_slice(), &[name]].concat();
        }
        all.push((path.clone(), own));
        open.push((path, children));
    }
    expected::tree(all)
}

/// Boxes and arrows of a graph for Graphviz.
pub(crate) fn dot(text: &str) -> (Table, Edges) {
    let between = |line: &str, from: &str, to: &str| {
        let (_, rest) = line.split_once(from).unwrap();
        rest.split_once(to).unwrap().0.to_owned()
    };
    let value = |text: &str| text.split(' ').next().unwrap().parse::<i64>().unwrap();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let (mut calls, mut edges) = (Table::new(), Edges::new());
    for line in text.lines().filter(|line| line.starts_with("  call")) {
        let label = between(line, "[label=\"", "\" ");
        let id = line.trim_start().split_once(" [").unwrap().0;
        if let Some((caller, callee)) = id.split_once(" -> ") {
            let pair: (String, String) = (names[caller].clone(), names[callee].clone());
            let edge = (value(&label), line.contains("style=dashed"));
            assert_eq!(edges.insert(pair, edge), None, "an edge twice");
            continue;
        }
        let mut parts = label.split("\\n");
        let name = parts.next().unwrap().to_owned();
        let flat = value(parts.next().unwrap());
        let cumulative = parts
            .next()
            .map_or(flat, |part| value(&part["of ".len()..]));
        assert_eq!(
            calls.insert(name.clone(), (cumulative, flat)),
            None,
            "a call twice"
        );
        names.insert(id.to_owned(), name);
    }
    edges.retain(|_, (value, _)| *value != 0);
    (expected::without_zeros(calls), edges)
}

// === Arrow ===

fn record(bytes: &[u8]) -> RecordBatch {
    let mut reader = StreamReader::try_new(bytes, None).unwrap();
    let record = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    record
}

/// Numbers of any width; absent ones are 0.
fn ints(column: &ArrayRef) -> Vec<i64> {
    fn of<T: ArrowPrimitiveType>(column: &ArrayRef) -> Vec<i64>
    where
        i128: From<T::Native>,
    {
        let values = column.as_primitive::<T>().iter();
        let value = |value: T::Native| i64::try_from(i128::from(value)).unwrap();
        values.map(|found| found.map_or(0, value)).collect()
    }
    match column.data_type() {
        DataType::UInt8 => of::<UInt8Type>(column),
        DataType::UInt16 => of::<UInt16Type>(column),
        DataType::UInt32 => of::<UInt32Type>(column),
        DataType::UInt64 => of::<UInt64Type>(column),
        DataType::Int8 => of::<Int8Type>(column),
        DataType::Int16 => of::<Int16Type>(column),
        DataType::Int32 => of::<Int32Type>(column),
        DataType::Int64 => of::<Int64Type>(column),
        other => panic!("{other} is no number"),
    }
}

/// Texts of a dictionary, of bytes or of strings.
fn texts(column: &ArrayRef) -> Vec<Option<String>> {
    let dictionary = column.as_any_dictionary();
    let values = dictionary.values();
    if values.is_empty() {
        return vec![None; column.len()];
    }
    let keys = dictionary.normalized_keys();
    let text = |key: usize| match values.data_type() {
        DataType::Binary => {
            String::from_utf8(values.as_binary::<i32>().value(key).to_vec()).unwrap()
        }
        _ => values.as_string::<i32>().value(key).to_owned(),
    };
    let rows = keys.into_iter().enumerate();
    rows.map(|(row, key)| (!column.is_null(row)).then(|| text(key)))
        .collect()
}
