//! From stacks of addresses to a tree of calls.

use std::cmp::Reverse;

use cairn_model::NONE;
use cairn_trie::{Group, LocationMap, Partial, Symbols, Trie, TrieBuilder, Value};

use super::keys::{Keys, Step};
use super::{Flame, KeyBy, Node};

/// Which of a node's values a partial counts for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Value,
    Base,
}

/// The calls of every location of one partial, outermost first.
#[derive(Debug)]
pub(super) struct Steps {
    ends: Vec<u32>,
    list: Vec<Step>,
}

impl Steps {
    fn of(&self, location: u32) -> &[Step] {
        let start = match location {
            0 => 0,
            location => self.ends[location as usize - 1],
        };
        &self.list[start as usize..self.ends[location as usize] as usize]
    }
}

/// A flame graph that grows, its nodes in any order but parents first.
pub(super) struct Builder {
    groups: Vec<Group>,
    keys: Keys,
    tree: TrieBuilder,
    nodes: Vec<Node>,
}

impl Builder {
    pub(super) fn new(key_by: KeyBy, groups: Vec<Group>) -> Self {
        Self {
            groups,
            keys: Keys::new(key_by),
            tree: TrieBuilder::default(),
            nodes: vec![Node::BARE],
        }
    }

    pub(super) fn steps(&mut self, symbols: &Symbols) -> Steps {
        let mut map = LocationMap::default();
        let locations = symbols.locations.len();
        let mut steps = Steps {
            ends: Vec::with_capacity(locations),
            list: Vec::with_capacity(locations),
        };
        for location in 0..locations as u32 {
            let of = (symbols, location);
            self.keys.push_steps(&mut map, of, &mut steps.list);
            steps.ends.push(steps.list.len() as u32);
        }
        steps
    }

    /// Adds all values to the stacks below the nodes of their groups.
    pub(super) fn add_grouped(&mut self, partial: &Partial, steps: &Steps) {
        let mut order: Vec<&Value> = partial.values.iter().collect();
        if !order.is_sorted_by_key(|value| value.group) {
            order.sort_by_key(|value| value.group);
        }
        let mut known = Known::new(partial.trie.len());
        for values in order.chunk_by(|a, b| a.group == b.group) {
            known.restart(self.base(values[0].group));
            for value in values {
                let node = known.node(self, partial, steps, value.node);
                self.count(node, value.value, Side::Value);
            }
        }
    }

    pub(super) fn add_summed(&mut self, partial: &Partial, steps: &Steps, side: Side) {
        let mut known = Known::new(partial.trie.len());
        known.restart(Trie::ROOT);
        for value in &partial.values {
            let node = known.node(self, partial, steps, value.node);
            self.count(node, value.value, side);
        }
    }

    pub(super) fn add_inverted(&mut self, partial: &Partial, steps: &Steps) {
        for value in &partial.values {
            let base = self.base(value.group);
            let at = self.upwards(base, partial, steps, value.node);
            self.count(at, value.value, Side::Value);
        }
    }

    pub(super) fn add_inverted_summed(&mut self, partial: &Partial, steps: &Steps, side: Side) {
        for value in &partial.values {
            let at = self.upwards(Trie::ROOT, partial, steps, value.node);
            self.count(at, value.value, side);
        }
    }

    /// The node of a stack that begins with its innermost call, below `at`.
    fn upwards(&mut self, mut at: u32, partial: &Partial, steps: &Steps, node: u32) -> u32 {
        for location in partial.trie.stack(node) {
            for step in steps.of(location).iter().rev() {
                at = self.child(at, step);
            }
        }
        at
    }

    /// The node that a group's stacks hang below.
    fn base(&mut self, group: u32) -> u32 {
        if self.groups[group as usize].0.is_empty() {
            return Trie::ROOT;
        }
        let step = self.keys.group(group);
        self.child(Trie::ROOT, &step)
    }

    fn child(&mut self, parent: u32, step: &Step) -> u32 {
        let child = self.tree.child(parent, step.key);
        match self.nodes.get_mut(child as usize) {
            None => self.nodes.push(step.node(parent)),
            Some(node) => step.also(node),
        }
        child
    }

    fn count(&mut self, node: u32, value: i64, side: Side) {
        let node = &mut self.nodes[node as usize];
        let sum = match side {
            Side::Value => &mut node.flat,
            Side::Base => &mut node.base_flat,
        };
        *sum = sum.wrapping_add(value);
    }

    pub(super) fn finish(self) -> Flame {
        let Self {
            groups,
            keys,
            mut nodes,
            ..
        } = self;
        for node in &mut nodes {
            (node.cumulative, node.base_cumulative) = (node.flat, node.base_flat);
        }
        for at in (1..nodes.len()).rev() {
            let node = nodes[at];
            let parent = &mut nodes[node.parent as usize];
            parent.cumulative = parent.cumulative.wrapping_add(node.cumulative);
            parent.base_cumulative = parent.base_cumulative.wrapping_add(node.base_cumulative);
        }
        let mut flame = Flame {
            symbols: keys.into_symbols(),
            groups,
            nodes,
            trimmed: 0,
            max_error: 0,
        };
        flame.nodes = pre_order(&flame);
        flame
    }
}

/// Which node of the flame graph a node of the partial's trie became, below one base.
struct Known {
    nodes: Vec<u32>,
    touched: Vec<u32>,
    path: Vec<u32>,
}

impl Known {
    fn new(nodes: usize) -> Self {
        Self {
            nodes: vec![NONE; nodes],
            touched: Vec::new(),
            path: Vec::new(),
        }
    }

    fn restart(&mut self, base: u32) {
        for node in self.touched.drain(..) {
            self.nodes[node as usize] = NONE;
        }
        self.nodes[0] = base;
    }

    fn node(&mut self, builder: &mut Builder, partial: &Partial, steps: &Steps, of: u32) -> u32 {
        let mut up = of;
        while self.nodes[up as usize] == NONE {
            self.path.push(up);
            up = partial.trie.parent(up);
        }
        let mut at = self.nodes[up as usize];
        while let Some(down) = self.path.pop() {
            for step in steps.of(partial.trie.frame(down)) {
                at = builder.child(at, step);
            }
            self.nodes[down as usize] = at;
            self.touched.push(down);
        }
        at
    }
}

pub(crate) fn function_name(symbols: &Symbols, function: u32) -> &str {
    let function = &symbols.functions[function as usize];
    match symbols.str(function.name) {
        "" => symbols.str(function.system_name),
        name => name,
    }
}

/// How much a node shows that has so much on both sides.
pub(crate) fn weight([value, base]: [i64; 2]) -> u64 {
    value.unsigned_abs().max(base.unsigned_abs())
}

/// The nodes with children behind parents, largest first. Equal ones go by name, so that the order
/// does not depend on the order of merging.
fn pre_order(flame: &Flame) -> Vec<Node> {
    let nodes = &flame.nodes;
    let ranks = ranks(flame);
    let mut children = Children::of(nodes);
    let mut out = Vec::with_capacity(nodes.len());
    let mut open = vec![(0u32, NONE)];
    while let Some((at, parent)) = open.pop() {
        let new = out.len() as u32;
        out.push(Node {
            parent,
            ..nodes[at as usize]
        });
        let of_node = children.of_node_mut(at);
        // The last one pushed comes first.
        of_node.sort_unstable_by_key(|child| {
            let node = &nodes[*child as usize];
            (weight(node.totals()), Reverse(ranks[node.key as usize]))
        });
        open.extend(of_node.iter().map(|child| (*child, new)));
    }
    out
}

/// Place of every key among all, by name; nodes are many more than keys.
fn ranks(flame: &Flame) -> Vec<u32> {
    let keys = flame.nodes[1..].iter().map(|node| node.key as usize + 1);
    let mut ranks = vec![0u32; keys.max().unwrap_or(0)];
    let mut firsts = vec![NONE; ranks.len()];
    for (at, node) in flame.nodes.iter().enumerate().skip(1) {
        firsts[node.key as usize] = firsts[node.key as usize].min(at as u32);
    }
    firsts.retain(|at| *at != NONE);
    let mut named: Vec<_> = firsts
        .iter()
        .map(|at| &flame.nodes[*at as usize])
        .map(|node| (flame.name(node), node.address, node.key))
        .collect();
    named.sort_unstable();
    for (rank, (_, _, key)) in named.iter().enumerate() {
        ranks[*key as usize] = rank as u32;
    }
    ranks
}

/// Children of all nodes, in two arrays.
pub(super) struct Children {
    starts: Vec<u32>,
    list: Vec<u32>,
}

impl Children {
    pub(super) fn of(nodes: &[Node]) -> Self {
        let mut starts = vec![0u32; nodes.len() + 1];
        for node in &nodes[1..] {
            starts[node.parent as usize + 1] += 1;
        }
        for at in 0..nodes.len() {
            starts[at + 1] += starts[at];
        }
        let mut next = starts.clone();
        let mut list = vec![0u32; nodes.len() - 1];
        for (at, node) in nodes.iter().enumerate().skip(1) {
            let slot = &mut next[node.parent as usize];
            list[*slot as usize] = at as u32;
            *slot += 1;
        }
        Self { starts, list }
    }

    fn range(&self, node: u32) -> std::ops::Range<usize> {
        self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize
    }

    pub(super) fn of_node(&self, node: u32) -> &[u32] {
        &self.list[self.range(node)]
    }

    fn of_node_mut(&mut self, node: u32) -> &mut [u32] {
        let range = self.range(node);
        &mut self.list[range]
    }
}
