//! The graph of calls against the rows that it is made of.

use std::collections::{BTreeMap, BTreeSet};

use cairn_engine::{Callgraph, Flame, GroupBy, KeyBy, callgraph, dot};
use proptest::prelude::*;

use crate::model::{Made, rows};
use crate::reports::{one, stacks};
use crate::scan::many;

/// Cumulative and flat value per function, value per pair that calls the other.
type Sums = (
    BTreeMap<String, (i64, i64)>,
    BTreeMap<(String, String), (i64, bool)>,
);

/// Only of the functions that are `shown`, if those are given.
fn expected(all: &[Made], shown: Option<&BTreeSet<String>>) -> Sums {
    let (mut calls, mut edges) = Sums::default();
    for row in rows(all).iter().filter(|row| row.sample.is_some()) {
        let stack = row.calls();
        let kept: Vec<(usize, &String)> = stack
            .iter()
            .enumerate()
            .filter(|(_, call)| shown.is_none_or(|shown| shown.contains(*call)))
            .collect();
        for call in kept.iter().map(|(_, call)| *call).collect::<BTreeSet<_>>() {
            let (cumulative, flat) = calls.entry(call.clone()).or_default();
            *cumulative = cumulative.wrapping_add(row.value());
            if stack.last() == Some(call) {
                *flat = flat.wrapping_add(row.value());
            }
        }
        let mut pairs: BTreeMap<(String, String), bool> = BTreeMap::new();
        for pair in kept.windows(2) {
            let ((a, caller), (b, callee)) = (pair[0], pair[1]);
            *pairs.entry((caller.clone(), callee.clone())).or_default() |= b - a > 1;
        }
        for (pair, hidden) in pairs {
            let (value, collapsed) = edges.entry(pair).or_default();
            *value = value.wrapping_add(row.value());
            *collapsed |= hidden;
        }
    }
    (calls, edges)
}

fn got(flame: &Flame, graph: &Callgraph) -> Sums {
    let name = |call: u32| {
        let node = graph.calls[call as usize].node;
        flame.name(&flame.nodes[node as usize]).into_owned()
    };
    let (mut calls, mut edges) = Sums::default();
    for (at, call) in graph.calls.iter().enumerate() {
        let values = (call.cumulative, call.flat);
        assert_eq!(calls.insert(name(at as u32), values), None, "a call twice");
    }
    for edge in &graph.edges {
        let pair = (name(edge.caller), name(edge.callee));
        let values = (edge.value, edge.collapsed);
        assert_eq!(edges.insert(pair, values), None, "an edge twice");
    }
    (calls, edges)
}

/// Stacks whose sum is zero are not there to be seen.
fn without_zeros((mut calls, mut edges): Sums) -> Sums {
    calls.retain(|_, values| *values != (0, 0));
    edges.retain(|_, (value, _)| *value != 0);
    (calls, edges)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn calls_and_edges_count_once_per_stack(all in many()) {
        let flame = Flame::build(&stacks(&all, GroupBy::Nothing), KeyBy::default());
        let graph = callgraph(&flame, usize::MAX);
        prop_assert!(graph.edges.iter().all(|edge| !edge.collapsed));
        prop_assert_eq!(without_zeros(got(&flame, &graph)), without_zeros(expected(&all, None)));
    }

    #[test]
    fn edges_lead_past_calls_that_are_left_out(all in many(), max in 0usize..5) {
        // Stacks that cancel out are not there to be led past.
        let all: Vec<Made> = all.into_iter().map(positive).collect();
        let flame = Flame::build(&stacks(&all, GroupBy::Nothing), KeyBy::default());
        let (whole, graph) = (callgraph(&flame, usize::MAX), callgraph(&flame, max));
        let (shown, left_out) = whole.calls.split_at(max.min(whole.calls.len()));
        prop_assert_eq!(&graph.calls[..], shown);
        let largest = left_out.iter().map(|call| call.cumulative as u64).max();
        prop_assert_eq!(graph.max_error, largest.unwrap_or(0));
        let (calls, edges) = got(&flame, &graph);
        let shown: BTreeSet<String> = calls.keys().cloned().collect();
        prop_assert_eq!((calls, edges), expected(&all, Some(&shown)));
    }

    #[test]
    fn comparisons_keep_both_sides_of_calls_and_edges(a in many(), b in many()) {
        let side = |all: &[Made]| stacks(all, GroupBy::Nothing);
        let flame = Flame::compare(&side(&a), &side(&b), KeyBy::default());
        let mut graph = callgraph(&flame, usize::MAX);
        let b_sums = without_zeros(got(&flame, &graph));
        prop_assert_eq!(b_sums, without_zeros(expected(&b, None)));
        for call in &mut graph.calls {
            (call.flat, call.cumulative) = (call.base_flat, call.base_cumulative);
        }
        for edge in &mut graph.edges {
            edge.value = edge.base_value;
        }
        prop_assert_eq!(without_zeros(got(&flame, &graph)), without_zeros(expected(&a, None)));
    }
}

fn positive(mut made: Made) -> Made {
    for sample in &mut made.samples {
        for value in &mut sample.values {
            // Small enough that no sum overflows.
            *value = value.checked_abs().map_or(0, |value| value % 1000);
        }
    }
    made
}

#[test]
fn graphviz_gets_boxes_arrows_and_escaped_names() {
    // f calls g, into which f is inlined, and an address without a name.
    let partial = stacks(&[one(vec![3, 2, 0]), one(vec![0])], GroupBy::Nothing);
    let flame = Flame::build(&partial, KeyBy::default());
    let text = dot(&flame, &callgraph(&flame, usize::MAX), "nanoseconds");
    assert_eq!(
        text,
        r#"digraph "calls" {
  graph [label="2ns in all" labelloc=t]
  node [shape=box style="rounded,filled"]
  call0 [label="f\n1ns (50.00%)\nof 2ns (100.00%)" fillcolor="0.0 0.30 1.0"]
  call1 [label="app+0x40\n1ns (50.00%)" fillcolor="0.0 0.30 1.0"]
  call2 [label="g\n0ns (0.00%)\nof 1ns (50.00%)" fillcolor="0.0 0.00 1.0"]
  call0 -> call0 [label="1ns" style=solid penwidth=3.00]
  call0 -> call2 [label="1ns" style=solid penwidth=3.00]
  call2 -> call1 [label="1ns" style=solid penwidth=3.00]
}
"#
    );
    let short = dot(&flame, &callgraph(&flame, 2), "count");
    let past_what_is_left_out = r#"call0 -> call1 [label="1" style=dashed penwidth=3.00]"#;
    assert!(short.contains(past_what_is_left_out), "{short}");
}
