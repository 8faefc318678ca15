//! The graph of calls: what each function used itself and in all, and who called whom for how much.
//!
//! A value counts once per function and once per pair of functions, however often recursion puts
//! them on one path.

mod dot;

use std::cmp::Reverse;

use cairn_model::NONE;
use hashbrown::HashMap;

use crate::flame::{Flame, Kind, Node, weight};

pub use dot::dot;

/// Functions and the calls between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callgraph {
    /// Largest cumulative value first; equal ones in the order in which the flame graph has them.
    pub calls: Vec<Call>,
    /// Largest value first.
    pub edges: Vec<Edge>,
    /// No function that is left out has more than this, on either side.
    pub max_error: u64,
}

/// One function, whoever called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// A node of the flame graph that stands for the function.
    pub node: u32,
    pub flat: i64,
    pub cumulative: i64,
    pub base_flat: i64,
    pub base_cumulative: i64,
}

/// One function calling another, or itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Positions in [`Callgraph::calls`].
    pub caller: u32,
    pub callee: u32,
    /// Of the stacks in which the one calls the other.
    pub value: i64,
    pub base_value: i64,
    /// Whether some of these calls go through functions that are left out.
    pub collapsed: bool,
}

/// The graph of an untrimmed flame graph, of its `calls_max` largest functions. Edges lead past
/// those that are left out.
pub fn callgraph(flame: &Flame, calls_max: usize) -> Callgraph {
    let (calls, mut of_node) = calls(flame);
    let mut order: Vec<usize> = (0..calls.len()).collect();
    order.sort_by_key(|at| Reverse((calls[*at].cumulative, calls[*at].flat)));
    let left_out = order.split_off(calls_max.min(order.len()));
    let mut places = vec![NONE; calls.len()];
    for (new, old) in order.iter().enumerate() {
        places[*old] = new as u32;
    }
    for call in of_node.iter_mut().filter(|call| **call != NONE) {
        *call = places[*call as usize];
    }
    Callgraph {
        calls: order.iter().map(|at| calls[*at]).collect(),
        edges: edges(flame, &of_node),
        max_error: left_out
            .iter()
            .map(|at| weight_of(&calls[*at]))
            .max()
            .unwrap_or(0),
    }
}

/// What a function has on the side where it has more.
fn weight_of(call: &Call) -> u64 {
    let cumulative = weight([call.cumulative, call.base_cumulative]);
    cumulative.max(weight([call.flat, call.base_flat]))
}

/// All functions in the order in which they appear, and which of them each node stands for.
fn calls(flame: &Flame) -> (Vec<Call>, Vec<u32>) {
    let mut calls: Vec<Call> = Vec::new();
    let mut of_key: HashMap<u32, u32, foldhash::fast::RandomState> = HashMap::default();
    let mut of_node = vec![NONE; flame.nodes.len()];
    let mut path = Path::default();
    for (at, node) in flame.nodes.iter().enumerate() {
        path.leave_to(node.parent);
        if !is_call(node) {
            path.enter(at as u32, NONE);
            continue;
        }
        let call = *of_key.entry(node.key).or_insert_with(|| {
            calls.push(Call {
                node: at as u32,
                flat: 0,
                cumulative: 0,
                base_flat: 0,
                base_cumulative: 0,
            });
            calls.len() as u32 - 1
        });
        of_node[at] = call;
        let sums = &mut calls[call as usize];
        sums.flat = sums.flat.wrapping_add(node.flat);
        sums.base_flat = sums.base_flat.wrapping_add(node.base_flat);
        if path.enter(at as u32, call) {
            sums.cumulative = sums.cumulative.wrapping_add(node.cumulative);
            sums.base_cumulative = sums.base_cumulative.wrapping_add(node.base_cumulative);
        }
    }
    (calls, of_node)
}

/// `of_node` says which call a node stands for, if it is one that is shown.
fn edges(flame: &Flame, of_node: &[u32]) -> Vec<Edge> {
    let mut edges: Vec<Edge> = Vec::new();
    let mut of_pair: HashMap<(u32, u32), u32, foldhash::fast::RandomState> = HashMap::default();
    // The nearest call at or above each node that is shown, and whether others are in between.
    let mut nearest = vec![(NONE, false); flame.nodes.len()];
    let mut path = Path::default();
    for (at, node) in flame.nodes.iter().enumerate() {
        path.leave_to(node.parent);
        let above = match node.parent {
            NONE => (NONE, false),
            parent => nearest[parent as usize],
        };
        let call = of_node[at];
        nearest[at] = match call {
            NONE => (above.0, above.1 || is_call(node)),
            call => (call, false),
        };
        let (caller, hidden) = above;
        if call == NONE || caller == NONE {
            path.enter(at as u32, NONE);
            continue;
        }
        let edge = *of_pair.entry((caller, call)).or_insert_with(|| {
            edges.push(Edge {
                caller,
                callee: call,
                value: 0,
                base_value: 0,
                collapsed: false,
            });
            edges.len() as u32 - 1
        });
        let sums = &mut edges[edge as usize];
        sums.collapsed |= hidden;
        if path.enter(at as u32, edge) {
            sums.value = sums.value.wrapping_add(node.cumulative);
            sums.base_value = sums.base_value.wrapping_add(node.base_cumulative);
        }
    }
    edges.sort_by_key(|edge| (Reverse(edge.value), edge.caller, edge.callee));
    edges
}

/// Whether a node stands for a function or an address, not for the root or for labels.
fn is_call(node: &Node) -> bool {
    matches!(node.kind, Kind::Function(_) | Kind::Unnamed)
}

/// The nodes from the root down to the one at hand, and how often each thing is among them.
#[derive(Debug, Default)]
struct Path {
    open: Vec<(u32, u32)>,
    counts: Vec<u32>,
}

impl Path {
    fn leave_to(&mut self, parent: u32) {
        while let Some((_, thing)) = self.open.pop_if(|(node, _)| *node != parent) {
            if thing != NONE {
                self.counts[thing as usize] -= 1;
            }
        }
    }

    /// Whether the thing is on the path for the first time.
    fn enter(&mut self, node: u32, thing: u32) -> bool {
        self.open.push((node, thing));
        if thing == NONE {
            return false;
        }
        let at = thing as usize;
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.counts[at] == 1
    }
}
