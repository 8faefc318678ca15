//! The flame graph: what a person sees of a merged, named partial.

use cairn_model::NONE;
use cairn_trie::{Group, Partial, Symbols};

/// What keeps two calls of one name under one parent apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyBy {
    /// The function's file.
    pub file: bool,
    /// The address within the binary.
    pub address: bool,
    /// The binary.
    pub mapping: bool,
}

/// A call tree, in pre-order: node 0 is the root, children follow their parent, largest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flame {
    pub symbols: Symbols,
    pub groups: Vec<Group>,
    pub nodes: Vec<Node>,
    /// Value of the calls that trimming cut off.
    pub trimmed: i64,
}

/// One call under one parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    pub parent: u32,
    pub kind: Kind,
    /// Position in the symbols' mappings; [`NONE`] if there is none or the merged calls differ.
    pub mapping: u32,
    /// `0` if the merged calls differ.
    pub address: u64,
    /// `0` if the merged calls differ.
    pub line: i64,
    /// Whether the call was inlined, if the merged calls agree.
    pub inlined: bool,
    /// Value of the stacks that end here.
    pub flat: i64,
    /// Value of the stacks that pass here or end here.
    pub cumulative: i64,
    /// The same of the base, in a comparison; else `0`.
    pub base_flat: i64,
    pub base_cumulative: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Root,
    /// Position in [`Flame::groups`]: a level of labels above the calls.
    Group(u32),
    /// Position in the symbols' functions, of one of those merged.
    Function(u32),
    /// A call without a name; mapping and address say where.
    Unnamed,
    /// Everything of one parent that was trimmed for the sake of the number of nodes.
    Trimmed,
}

/// How much of a flame graph to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trim {
    /// A call survives if it is larger than this part of its parent.
    pub fraction: f64,
    /// The largest so many nodes survive; a parent gets one node more for what it lost.
    pub nodes_max: usize,
}

impl Flame {
    /// Re-keys the calls of `partial`. With groups, calls hang below one node per group.
    pub fn build(partial: &Partial, key_by: KeyBy) -> Self {
        let _ = (partial, key_by, NONE);
        unimplemented!("flame")
    }

    /// `compare` as the values, `base` as the base values. Groups are summed.
    pub fn compare(base: &Partial, compare: &Partial, key_by: KeyBy) -> Self {
        let _ = (base, compare, key_by);
        unimplemented!("flame")
    }

    /// Must come last: many small calls may be one large function.
    pub fn trim(self, trim: &Trim) -> Self {
        let _ = trim;
        unimplemented!("trim")
    }

    /// Positions of the nodes' children, per node.
    pub fn children(&self) -> Vec<Vec<u32>> {
        let mut children = vec![Vec::new(); self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().skip(1) {
            children[node.parent as usize].push(at as u32);
        }
        children
    }
}
