//! The table of functions: what each used itself, and in all it called.

use crate::callgraph::{Call, callgraph};
use crate::flame::Flame;

/// One function, whoever called it. A recursive function's value counts once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopRow {
    /// A node of the flame graph that stands for the function.
    pub node: u32,
    pub flat: i64,
    pub cumulative: i64,
    pub base_flat: i64,
    pub base_cumulative: i64,
    /// Rows of the functions that call this one, ascending.
    pub callers: Vec<u32>,
    /// Rows of the functions that this one calls, ascending.
    pub callees: Vec<u32>,
}

/// The functions of an untrimmed flame graph, largest cumulative value first.
pub fn top(flame: &Flame) -> Vec<TopRow> {
    let graph = callgraph(flame, usize::MAX);
    let mut rows: Vec<TopRow> = graph.calls.iter().map(row).collect();
    for edge in &graph.edges {
        rows[edge.caller as usize].callees.push(edge.callee);
        rows[edge.callee as usize].callers.push(edge.caller);
    }
    for row in &mut rows {
        row.callers.sort_unstable();
        row.callees.sort_unstable();
    }
    rows
}

fn row(call: &Call) -> TopRow {
    let Call {
        node,
        flat,
        cumulative,
        base_flat,
        base_cumulative,
    } = *call;
    TopRow {
        node,
        flat,
        cumulative,
        base_flat,
        base_cumulative,
        callers: Vec::new(),
        callees: Vec::new(),
    }
}
