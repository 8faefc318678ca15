//! Cutting a flame graph down to what can be seen.
//!
//! Comes last, once, on the whole: many small calls of many sources may be one large function.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use cairn_model::NONE;

use super::build::{Children, weight};
use super::{Flame, Kind, Node};

/// How much of a flame graph to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trim {
    /// A call survives if it is larger than this part of its parent; `0` keeps all.
    pub fraction: f64,
    /// The largest so many nodes survive, the root always; a parent gets one node more for what it lost.
    pub nodes_max: usize,
}

impl Trim {
    /// Whether all of so many nodes stay.
    pub(super) fn keeps(&self, nodes: usize) -> bool {
        self.nodes_max >= nodes && self.fraction <= 0.0
    }
}

impl Flame {
    /// Cuts small calls off. Every surviving node keeps its cumulative value.
    pub fn trim(mut self, trim: &Trim) -> Self {
        if trim.keeps(self.nodes.len()) {
            return self;
        }
        let mut fates = vec![Fate::Cut; self.nodes.len()];
        let children = Children::of(&self.nodes);
        let heaviest = heaviest(&self.nodes);
        let mut kept = 0;
        // Of equal ones, whose parent was kept first.
        let mut heap = BinaryHeap::from([(u64::MAX, Reverse(0u32), 0u32)]);
        let mut pushed = 0;
        while let Some((_, _, at)) = heap.pop() {
            if kept >= trim.nodes_max.max(1) {
                fates[at as usize] = Fate::Summed;
                continue;
            }
            fates[at as usize] = Fate::Kept;
            kept += 1;
            for child in children.of_node(at) {
                let node = &self.nodes[*child as usize];
                if survives(
                    node.totals(),
                    self.nodes[at as usize].totals(),
                    trim.fraction,
                ) {
                    pushed += 1;
                    heap.push((weight(node.totals()), Reverse(pushed), *child));
                } else {
                    self.trimmed = self.trimmed.wrapping_add(node.cumulative);
                    self.max_error = self.max_error.max(heaviest[*child as usize]);
                }
            }
        }
        self.cut(&fates, &heaviest);
        self
    }

    fn cut(&mut self, fates: &[Fate], heaviest: &[u64]) {
        let mut lost: Vec<Option<Node>> = vec![None; self.nodes.len()];
        let summed = self.nodes.iter().zip(fates).zip(heaviest);
        for ((node, _), heaviest) in summed.filter(|((_, fate), _)| **fate == Fate::Summed) {
            self.trimmed = self.trimmed.wrapping_add(node.cumulative);
            self.max_error = self.max_error.max(*heaviest);
            let sum = lost[node.parent as usize].get_or_insert(TRIMMED);
            sum.cumulative = sum.cumulative.wrapping_add(node.cumulative);
            sum.base_cumulative = sum.base_cumulative.wrapping_add(node.base_cumulative);
        }
        let mut out: Vec<Node> = Vec::new();
        // Kept nodes from the root down to the last one written: there and here.
        let mut open: Vec<(u32, u32)> = Vec::new();
        let mut close = |open: &mut Vec<(u32, u32)>, out: &mut Vec<Node>, parent: u32| {
            while let Some((there, here)) = open.pop_if(|(there, _)| *there != parent) {
                out.extend(lost[there as usize].take().map(|sum| Node {
                    parent: here,
                    flat: sum.cumulative,
                    base_flat: sum.base_cumulative,
                    ..sum
                }));
            }
        };
        for (at, node) in self.nodes.iter().enumerate() {
            if fates[at] != Fate::Kept {
                continue;
            }
            close(&mut open, &mut out, node.parent);
            let parent = open.last().map_or(NONE, |(_, here)| *here);
            open.push((at as u32, out.len() as u32));
            out.push(Node { parent, ..*node });
        }
        close(&mut open, &mut out, NONE);
        self.nodes = out;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    /// Too small beside its parent, or below a node that is not kept.
    Cut,
    /// One too many: it becomes part of its parent's trimmed node.
    Summed,
}

pub(super) const TRIMMED: Node = Node {
    kind: Kind::Trimmed,
    ..Node::BARE
};

/// What the heaviest of each node and all below it shows: more than the node does, where values below
/// zero take something away from it.
fn heaviest(nodes: &[Node]) -> Vec<u64> {
    let mut heaviest: Vec<u64> = nodes.iter().map(|node| weight(node.totals())).collect();
    for at in (1..nodes.len()).rev() {
        let parent = nodes[at].parent as usize;
        heaviest[parent] = heaviest[parent].max(heaviest[at]);
    }
    heaviest
}

/// Truncates towards zero, as clients' other back end does.
pub(super) fn survives(totals: [i64; 2], parent: [i64; 2], fraction: f64) -> bool {
    let larger = |(value, of): (i64, i64)| value > (of as f64 * fraction) as i64;
    // Also true for what is not a number.
    fraction.is_nan() || fraction <= 0.0 || totals.into_iter().zip(parent).any(larger)
}
