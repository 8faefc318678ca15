//! From stacks of addresses to a tree of calls.

use std::cmp::Reverse;

use cairn_model::{Function, NONE, StrId};
use cairn_trie::{Group, Interner, LocationMap, Partial, Symbols, Trie, TrieBuilder, Value};
use hashbrown::HashMap;

use super::{Flame, KeyBy, Kind, Node};

/// Which of a node's values a partial counts for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Value,
    Base,
}

/// What makes two calls one node. Parts that do not matter are [`NONE`] or `0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Group(u32),
    Function {
        name: StrId,
        file: StrId,
        mapping: u32,
        mapping_file: StrId,
        address: u64,
    },
    Unnamed {
        mapping: u32,
        address: u64,
    },
}

/// One call of a location.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    kind: Kind,
    key: u32,
    mapping: u32,
    address: u64,
    line: i64,
    inlined: bool,
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
    key_by: KeyBy,
    groups: Vec<Group>,
    interner: Interner,
    keys: HashMap<Key, u32, foldhash::fast::RandomState>,
    tree: TrieBuilder,
    nodes: Vec<Node>,
}

impl Builder {
    pub(super) fn new(key_by: KeyBy, groups: Vec<Group>) -> Self {
        Self {
            key_by,
            groups,
            interner: Interner::default(),
            keys: HashMap::default(),
            tree: TrieBuilder::default(),
            nodes: vec![node(NONE, &step(Kind::Root, NONE))],
        }
    }

    pub(super) fn steps(&mut self, symbols: &Symbols) -> Steps {
        let mut map = LocationMap::default();
        let mut steps = Steps {
            ends: Vec::with_capacity(symbols.locations.len()),
            list: Vec::with_capacity(symbols.locations.len()),
        };
        for (id, location) in symbols.locations.iter().enumerate() {
            let mapping = match location.mapping {
                NONE => NONE,
                mapping => map.mapping_of(&mut self.interner, symbols, mapping),
            };
            let lines = symbols.lines(id as u32);
            if lines.is_empty() {
                let address = location.address;
                let key = self.key(Key::Unnamed { mapping, address });
                steps.list.push(Step {
                    mapping,
                    address,
                    ..step(Kind::Unnamed, key)
                });
            }
            for (at, line) in lines.iter().enumerate().rev() {
                let function = map.function_of(&mut self.interner, symbols, line.function);
                let key = self.function_key(function, mapping, location.address);
                steps.list.push(Step {
                    kind: Kind::Function(function),
                    key,
                    mapping,
                    address: location.address,
                    line: line.line,
                    inlined: at + 1 < lines.len(),
                });
            }
            steps.ends.push(steps.list.len() as u32);
        }
        steps
    }

    fn function_key(&mut self, function: u32, mapping: u32, address: u64) -> u32 {
        let symbols = self.interner.symbols();
        let Function {
            name,
            system_name,
            file,
            ..
        } = symbols.functions[function as usize];
        let KeyBy {
            file: by_file,
            address: by_address,
            mapping: by_mapping,
        } = self.key_by;
        let mapping_file = match mapping {
            NONE => NONE,
            mapping => symbols.mappings[mapping as usize].file,
        };
        self.key(Key::Function {
            name: if name == 0 { system_name } else { name },
            file: if by_file { file } else { NONE },
            mapping: if by_address { mapping } else { NONE },
            mapping_file: if by_mapping { mapping_file } else { NONE },
            address: if by_address { address } else { 0 },
        })
    }

    fn key(&mut self, key: Key) -> u32 {
        let next = self.keys.len() as u32;
        *self.keys.entry(key).or_insert(next)
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
        let key = self.key(Key::Group(group));
        self.child(Trie::ROOT, &step(Kind::Group(group), key))
    }

    fn child(&mut self, parent: u32, step: &Step) -> u32 {
        let child = self.tree.child(parent, step.key);
        match self.nodes.get_mut(child as usize) {
            None => self.nodes.push(node(parent, step)),
            Some(node) => {
                if node.mapping != step.mapping {
                    node.mapping = NONE;
                }
                if node.address != step.address {
                    node.address = 0;
                }
                if node.line != step.line {
                    node.line = 0;
                }
                node.inlined &= step.inlined;
            }
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
            interner,
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
            symbols: interner.into_symbols(),
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

fn step(kind: Kind, key: u32) -> Step {
    Step {
        kind,
        key,
        mapping: NONE,
        address: 0,
        line: 0,
        inlined: false,
    }
}

fn node(parent: u32, step: &Step) -> Node {
    Node {
        parent,
        kind: step.kind,
        key: step.key,
        mapping: step.mapping,
        address: step.address,
        line: step.line,
        inlined: step.inlined,
        ..Node::BARE
    }
}

pub(crate) fn function_name(symbols: &Symbols, function: u32) -> &str {
    let function = &symbols.functions[function as usize];
    match symbols.str(function.name) {
        "" => symbols.str(function.system_name),
        name => name,
    }
}

/// How much a node shows.
pub(super) fn weight(node: &Node) -> u64 {
    node.cumulative
        .unsigned_abs()
        .max(node.base_cumulative.unsigned_abs())
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
            (weight(node), Reverse(ranks[node.key as usize]))
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
