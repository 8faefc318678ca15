//! Comparisons in every report: values are those of side b, differences are on one scale.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use cairn_wire::parca::query::v1alpha1::query_request::ReportType;
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::{Flamegraph, FlamegraphNode, TopNodeMeta};

use crate::fixture::{Fixture, SECOND, START, Sent, head};
use crate::reports::{arrow_rows, ask, diff, ints, pprof, record};

const LATER: i64 = START + 3600 * SECOND;

/// A small minute and, an hour later, one of twice as much.
async fn filled() -> Fixture {
    let fixture = Fixture::start().await;
    let small = Sent {
        samples: &[("main;work", "", 10), ("main;idle", "", 10)],
        ..Sent::default()
    };
    let large = Sent {
        at: LATER,
        samples: &[("main;work", "", 30), ("main;new", "", 10)],
        ..Sent::default()
    };
    fixture.add(&head(&[small])).await;
    fixture.add(&head(&[large])).await;
    fixture
}

/// Name -> cumulative value and difference.
type Rows = BTreeMap<String, (i64, i64)>;

fn rows(rows: &[(&str, i64, i64)]) -> Rows {
    let row = |(name, value, diff): &(&str, i64, i64)| ((*name).to_owned(), (*value, *diff));
    rows.iter().map(row).collect()
}

/// The three kinds of comparison: from small to large relative and absolute, from large to small.
fn cases() -> [((i64, i64, bool), Rows); 3] {
    let grown = [("work", 30, 10), ("idle", 0, -20), ("new", 10, 10)];
    let absolute = [("work", 30, 20), ("idle", 0, -10), ("new", 10, 10)];
    let shrunk = [("work", 10, -10), ("idle", 10, 20), ("new", 0, -10)];
    let with_main = |of: &[(&str, i64, i64)], value, diff| {
        let mut all = rows(of);
        all.insert("main".to_owned(), (value, diff));
        all
    };
    [
        ((START, LATER, false), with_main(&grown, 40, 0)),
        ((START, LATER, true), with_main(&absolute, 40, 20)),
        ((LATER, START, false), with_main(&shrunk, 20, 0)),
    ]
}

fn function(meta: Option<TopNodeMeta>) -> String {
    meta.unwrap().function.unwrap().name
}

/// Names of the dictionary that tables use.
fn names(record: &RecordBatch) -> Vec<String> {
    let array = record.column_by_name("function_name").unwrap();
    let array = array.as_dictionary::<UInt32Type>();
    let values = array.values().as_string::<i32>();
    let keys = array.keys_iter();
    keys.map(|key| values.value(key.unwrap()).to_owned())
        .collect()
}

/// Every node below the root, and the root's own values.
fn nested(graph: Flamegraph) -> (Rows, (i64, i64)) {
    let name = |node: &FlamegraphNode| {
        let meta = node.meta.as_ref().unwrap();
        if let Some(function) = &meta.function {
            return function.name.clone();
        }
        let location = &graph.locations[meta.location_index as usize - 1];
        let line = &location.lines[meta.line_index as usize];
        let function = &graph.function[line.function_index as usize - 1];
        graph.string_table[function.name_string_index as usize].clone()
    };
    let root = graph.root.as_ref().unwrap();
    let mut rows = Rows::new();
    let mut open: Vec<&FlamegraphNode> = root.children.iter().collect();
    while let Some(node) = open.pop() {
        open.extend(&node.children);
        rows.insert(name(node), (node.cumulative, node.diff));
    }
    (rows, (root.cumulative, root.diff))
}

#[tokio::test]
async fn every_report_has_the_values_of_b_and_differences_on_one_scale() {
    let fixture = filled().await;
    for ((a, b, absolute), expected) in cases() {
        let request = |report| diff(a, b, absolute, report);
        let total = expected["main"].0;

        let answer = ask(&fixture, request(ReportType::FlamegraphArrow)).await;
        assert_eq!((answer.total, answer.filtered), (total, 0));
        let mut got = Rows::new();
        for (name, value, diff) in arrow_rows(answer) {
            let name = if name.is_empty() { "root" } else { &name };
            got.insert(name.to_owned(), (value, diff));
        }
        assert_eq!(got.remove("root"), Some(expected["main"]));
        assert_eq!(got, expected);

        let answer = ask(&fixture, request(ReportType::Top)).await;
        let Some(Report::Top(top)) = answer.report else {
            panic!("another report");
        };
        let list = top.list.into_iter();
        let got: Rows = list
            .map(|node| (function(node.meta), (node.cumulative, node.diff)))
            .collect();
        assert_eq!(got, expected);

        let answer = ask(&fixture, request(ReportType::TableArrow)).await;
        let Some(Report::TableArrow(table)) = answer.report else {
            panic!("another report");
        };
        let table = record(&table.record);
        let values = ints(&table, "cumulative").into_iter();
        let values = values.zip(ints(&table, "cumulative_diff"));
        let got: Rows = names(&table).into_iter().zip(values).collect();
        assert_eq!(got, expected);
        let flat: Vec<i64> = ints(&table, "flat_diff");
        assert_eq!(flat.iter().sum::<i64>(), expected["main"].1);

        for report in [
            #[expect(deprecated, reason = "old clients ask for it")]
            ReportType::FlamegraphUnspecified,
            ReportType::FlamegraphTable,
        ] {
            let answer = ask(&fixture, request(report)).await;
            let Some(Report::Flamegraph(graph)) = answer.report else {
                panic!("another report");
            };
            assert_eq!(nested(graph), (expected.clone(), expected["main"]));
        }

        let profile = pprof(ask(&fixture, request(ReportType::Pprof)).await);
        let sum: i64 = profile.samples.values.iter().sum();
        assert_eq!(sum, expected["main"].1);
        assert!(profile.samples.values.iter().any(|value| *value < 0));
        let mut texts = profile.tables.strings.iter();
        assert!(texts.any(|text| text == "pprof::base"));
    }
    fixture.stop().await;
}

#[tokio::test]
async fn filters_leave_the_scale_of_a_comparison_alone() {
    let fixture = filled().await;
    let mut request = diff(START, LATER, false, ReportType::FlamegraphArrow);
    request.sandwich_by_function = Some("work".to_owned());
    let rows = arrow_rows(ask(&fixture, request).await);
    // Half of the small minute, three quarters of the large one: as if 20 had been 30 of 40.
    assert!(rows.contains(&("work".to_owned(), 30, 10)), "{rows:?}");
    fixture.stop().await;
}

#[tokio::test]
async fn call_graphs_of_comparisons_show_side_b() {
    let fixture = filled().await;
    let request = diff(START, LATER, false, ReportType::Callgraph);
    let Some(Report::Callgraph(graph)) = ask(&fixture, request).await.report else {
        panic!("another report");
    };
    let name = |id: &str| {
        let node = graph.nodes.iter().find(|node| node.id == id).unwrap();
        let meta = node.meta.as_ref().unwrap();
        meta.function.as_ref().unwrap().name.clone()
    };
    let mut nodes: Vec<_> = graph
        .nodes
        .iter()
        .map(|node| (name(&node.id), node.cumulative, node.flat))
        .collect();
    nodes.sort();
    let expected = [("main", 40, 0), ("new", 10, 10), ("work", 30, 30)];
    assert_eq!(nodes, expected.map(|(n, c, f)| (n.to_owned(), c, f)));
    let edges: Vec<_> = graph
        .edges
        .iter()
        .map(|edge| (name(&edge.source), name(&edge.target), edge.cumulative))
        .collect();
    let expected = [("main", "work", 30), ("main", "new", 10)];
    assert_eq!(
        edges,
        expected.map(|(a, b, value)| (a.to_owned(), b.to_owned(), value))
    );
    fixture.stop().await;
}

#[tokio::test]
async fn inverted_comparisons_begin_with_the_innermost_call() {
    let fixture = filled().await;
    let mut request = diff(START, LATER, true, ReportType::FlamegraphArrow);
    request.invert_call_stack = Some(true);
    let rows = arrow_rows(ask(&fixture, request).await);
    // `main` once below each of the innermost calls.
    let mains: Vec<_> = rows.iter().filter(|row| row.0 == "main").collect();
    assert_eq!(mains.len(), 3);
    assert_eq!(mains.iter().map(|row| row.2).sum::<i64>(), 20);
    assert!(rows.contains(&("idle".to_owned(), 0, -10)));
    fixture.stop().await;
}

#[tokio::test]
async fn reports_of_one_side_do_not_read_the_other() {
    let fixture = filled().await;
    // A block that can't be read lies on side a only.
    let lost = Sent {
        at: START + SECOND,
        ..Sent::default()
    };
    fixture.record(&head(&[lost])).await;
    let request = diff(START, LATER, false, ReportType::ProfileMetadata);
    let answer = ask(&fixture, request).await;
    assert_eq!(answer.total, 40);
    let Some(Report::ProfileMetadata(metadata)) = answer.report else {
        panic!("another report");
    };
    assert_eq!(metadata.labels, ["pod", "service_name"]);
    fixture.stop().await;
}
