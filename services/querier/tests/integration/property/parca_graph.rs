//! Flame graphs of parts, turned over, grouped and trimmed, and graphs of calls.

use std::collections::BTreeMap;

use cairn_engine::KeyBy;
use cairn_wire::parca::query::v1alpha1::query_request::ReportType;
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::{GroupBy, QueryRequest, QueryResponse};
use futures::future::{BoxFuture, join_all};

use super::expected::{self, Edges, Paths, Table};
use super::parca::{NESTED, Parca};
use super::read;
use super::shape::fields;
use super::stacks::{Stack, total};

/// Part of the total below which a graph of calls leads past functions unless told otherwise.
const CALLS_FRACTION: f64 = 0.005;

impl Parca<'_> {
    /// Of all forms.
    pub(crate) async fn graphs(&self) {
        let all: [BoxFuture<'_, ()>; 5] = [
            Box::pin(self.graph_of_calls()),
            Box::pin(self.nested(NESTED[0])),
            Box::pin(self.nested(NESTED[1])),
            Box::pin(self.trimmed()),
            Box::pin(self.grouped()),
        ];
        join_all(all).await;
    }

    async fn graph_of_calls(&self) {
        let shape = &self.asked.shape;
        let cut = self.cut();
        let request = QueryRequest {
            node_trim_threshold: Some(shape.trim),
            ..shape.request()
        };
        let found = self.merged(ReportType::Callgraph, request).await;
        let said = self.said("CALLGRAPH");
        let whole = total(&cut);
        assert_eq!(found.total, whole, "{said}");
        // What adds up to nothing may be there or not, and is larger than what is below nothing.
        if whole < 0 {
            return;
        }
        let fraction = match shape.trim {
            0.0 => CALLS_FRACTION,
            percent => f64::from(percent) / 100.0,
        };
        let least = (whole as f64 * fraction) as i64;
        let mut calls = expected::table(&cut);
        calls.retain(|_, (cumulative, _)| *cumulative > least);
        let mut edges = expected::edges(&cut, &calls.keys().cloned().collect());
        let (found, mut found_edges) = callgraph(found);
        assert_eq!(found, calls, "{said}");
        if !self.has_no_sign() {
            // Others in between may add up to nothing.
            edges.values_mut().for_each(|edge| edge.1 = false);
            found_edges.values_mut().for_each(|edge| edge.1 = false);
        }
        assert_eq!(found_edges, edges, "{said}");
    }

    /// The stacks that are left, turned over if they are to be.
    fn shown(&self, cut: &[Stack<'_>]) -> Paths {
        match self.asked.shape.inverted {
            true => expected::inverted(cut),
            false => expected::paths(cut),
        }
    }

    fn sums(&self, cut: &[Stack<'_>]) -> (i64, i64) {
        (total(cut), total(&self.all) - total(cut))
    }

    async fn nested(&self, (report, name): (ReportType, &str)) {
        let cut = self.cut();
        let mut values: BTreeMap<Vec<String>, i64> = BTreeMap::new();
        for (path, (cumulative, _)) in self.shown(&cut) {
            values.insert(path, cumulative);
        }
        values.retain(|_, value| *value != 0);
        let found = self.merged(report, self.asked.shape.request()).await;
        let sums = (found.total, found.filtered);
        assert_eq!(sums, self.sums(&cut), "{}", self.said(name));
        assert_eq!(read::nested(found).0, values, "{}", self.said(name));
    }

    async fn trimmed(&self) {
        // What hides others has no sign in Arrow.
        if !self.has_no_sign() {
            return;
        }
        let (shape, cut) = (&self.asked.shape, self.cut());
        let request = QueryRequest {
            node_trim_threshold: Some(shape.trim),
            ..shape.request()
        };
        let found = self.merged(ReportType::FlamegraphArrow, request).await;
        let said = self.said("FLAMEGRAPH_ARROW, trimmed");
        let sums = (found.total, found.filtered);
        assert_eq!(sums, self.sums(&cut), "{said}");
        let found = read::flame(found, KeyBy::default());
        let (shown, trimmed) = shape.trimmed(&self.shown(&cut));
        assert_eq!((found.sums, found.trimmed), (shown, trimmed), "{said}");
    }

    async fn grouped(&self) {
        // Several groups may show the same value.
        if !self.has_no_sign() {
            return;
        }
        let shape = &self.asked.shape;
        let request = QueryRequest {
            group_by: Some(GroupBy {
                fields: fields(&shape.labels, shape.key_by),
            }),
            invert_call_stack: None,
            sandwich_by_function: None,
            ..shape.request()
        };
        let found = self.merged(ReportType::FlamegraphArrow, request).await;
        let left = super::filters::left(&shape.filters, &self.all);
        let expected = expected::grouped(&left, &shape.labels, shape.key_by);
        let found = read::flame(found, shape.key_by).sums;
        let said = self.said("FLAMEGRAPH_ARROW, grouped");
        assert_eq!(found, expected, "{said}");
    }
}

fn callgraph(response: QueryResponse) -> (Table, Edges) {
    let Some(Report::Callgraph(graph)) = response.report else {
        panic!("another report");
    };
    let (mut names, mut calls) = (BTreeMap::new(), Table::new());
    for node in graph.nodes {
        let name = node.meta.and_then(|meta| meta.function).unwrap().name;
        assert_eq!(names.insert(node.id, name.clone()), None, "an id twice");
        let before = calls.insert(name, (node.cumulative, node.flat));
        assert_eq!(before, None, "a function twice");
    }
    let mut edges = Edges::new();
    for edge in graph.edges {
        let pair = (names[&edge.source].clone(), names[&edge.target].clone());
        let before = edges.insert(pair, (edge.cumulative, edge.is_collapsed));
        assert_eq!(before, None, "an edge twice");
    }
    edges.retain(|_, (value, _)| *value != 0);
    (calls, edges)
}
