//! The CALLGRAPH report: functions as boxes, calls as arrows between them.

use cairn_engine::Flame;
use cairn_wire::parca::query::v1alpha1::{Callgraph, CallgraphEdge, CallgraphNode};

use super::place::Place;
use crate::notes::Notes;

/// Functions below this part of the total are led past unless the request says otherwise: a graph
/// of thousands of boxes shows nothing.
const FRACTION: f64 = 0.005;

/// Keeps the functions that are larger than `fraction` of the total; `0` stands for the default.
#[expect(deprecated, reason = "old clients read the total from the graph")]
pub(super) fn report(flame: &Flame, fraction: f64, notes: &Notes) -> Callgraph {
    let total = flame.nodes.first().map_or(0, |root| root.cumulative);
    let fraction = if fraction > 0.0 { fraction } else { FRACTION };
    let least = (total as f64 * fraction) as i64;
    let mut graph = cairn_engine::callgraph(flame, usize::MAX);
    let kept = graph.calls.iter().filter(|call| call.cumulative > least);
    let kept = kept.count();
    if kept < graph.calls.len() {
        graph = cairn_engine::callgraph(flame, kept);
    }
    notes.error(graph.max_error);
    let id = |call: u32| call.to_string();
    let nodes = graph.calls.iter().enumerate().map(|(at, call)| {
        let node = &flame.nodes[call.node as usize];
        CallgraphNode {
            id: id(at as u32),
            meta: Some(Place::of(flame, node).into()),
            cumulative: call.cumulative,
            flat: call.flat,
        }
    });
    let edges = graph.edges.iter().map(|edge| CallgraphEdge {
        id: format!("{} -> {}", edge.caller, edge.callee),
        source: id(edge.caller),
        target: id(edge.callee),
        cumulative: edge.value,
        is_collapsed: edge.collapsed,
    });
    Callgraph {
        nodes: nodes.collect(),
        edges: edges.collect(),
        cumulative: total,
    }
}
