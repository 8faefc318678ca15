//! The flame graph: what a person sees of a merged, named partial.
//!
//! Calls of one name under one parent become one node, whatever their addresses and lines, unless
//! asked otherwise. Owns no drawing and no wire format.

mod build;
mod chart;
mod grow;
mod keys;
mod trim;

use std::borrow::Cow;

use cairn_model::NONE;
use cairn_trie::{Group, Partial, Symbols};

pub use chart::{NoChart, Pace, SAMPLES_MAX as CHART_SAMPLES_MAX};
pub use trim::Trim;

use self::build::{Builder, Side};
pub(crate) use self::build::{function_name, weight};
use self::grow::Growth;
use crate::generated::shown_binary;

/// What keeps two calls of one name under one parent apart. Calls without a name are always told
/// apart by binary and address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyBy {
    /// The function's file.
    pub file: bool,
    /// The address within the binary.
    pub address: bool,
    /// The binary's file.
    pub mapping: bool,
}

/// A call tree, in pre-order: node 0 is the root, children follow their parent, largest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Flame {
    pub symbols: Symbols,
    pub groups: Vec<Group>,
    pub nodes: Vec<Node>,
    /// Value of the calls that trimming cut off.
    pub trimmed: i64,
    /// No call that trimming cut off has more than this under one parent, on either side.
    pub max_error: u64,
}

/// One call under one parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// [`NONE`] for the root.
    pub parent: u32,
    pub kind: Kind,
    /// Equal for the nodes of one flame graph that stand for the same call under different parents.
    pub key: u32,
    /// Position in the symbols' mappings; [`NONE`] if there is none or the merged calls differ.
    pub mapping: u32,
    /// `0` if the merged calls differ.
    pub address: u64,
    /// `0` if the merged calls differ.
    pub line: i64,
    /// Whether all merged calls were inlined.
    pub inlined: bool,
    /// When it began, in a flame chart; else `0`. Nanoseconds since the Unix epoch.
    pub time: i64,
    /// Value of the stacks that end here.
    pub flat: i64,
    /// Value of the stacks that pass here or end here.
    pub cumulative: i64,
    /// The same of the base, in a comparison; else `0`.
    pub base_flat: i64,
    pub base_cumulative: i64,
}

impl Node {
    /// A root that has nothing yet.
    const BARE: Self = Self {
        parent: NONE,
        kind: Kind::Root,
        key: NONE,
        mapping: NONE,
        address: 0,
        line: 0,
        inlined: false,
        time: 0,
        flat: 0,
        cumulative: 0,
        base_flat: 0,
        base_cumulative: 0,
    };

    /// What passes or ends here, on both sides.
    fn totals(&self) -> [i64; 2] {
        [self.cumulative, self.base_cumulative]
    }
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

impl Flame {
    /// Re-keys the calls of `partial`. With groups, calls hang below one node per group; those of
    /// the empty group hang below the root.
    pub fn build(partial: &Partial, key_by: KeyBy) -> Self {
        let mut builder = Builder::new(key_by, partial.groups.clone());
        let steps = builder.steps(&partial.symbols);
        builder.add_grouped(partial, &steps);
        builder.finish()
    }

    /// Like [`Flame::build`] and then [`Flame::trim`], mostly without building what is cut off.
    pub fn trimmed(partial: &Partial, key_by: KeyBy, trim: &Trim) -> Self {
        let is_grouped = partial.values.iter().any(|value| value.group != 0);
        let sources = [(partial, Side::Value)];
        let growth = (!is_grouped).then(|| Growth::of(&sources, key_by, trim));
        match growth.flatten() {
            None => Self::build(partial, key_by).trim(trim),
            Some(growth) => growth.trimmed(partial.groups.clone(), trim),
        }
    }

    /// Like [`Flame::compare`] and then [`Flame::trim`], mostly without building what is cut off.
    pub fn compare_trimmed(base: &Partial, compare: &Partial, key_by: KeyBy, trim: &Trim) -> Self {
        let sources = [(compare, Side::Value), (base, Side::Base)];
        match Growth::of(&sources, key_by, trim) {
            None => Self::compare(base, compare, key_by).trim(trim),
            Some(growth) => growth.trimmed(vec![Group::default()], trim),
        }
    }

    /// Like [`Flame::build`], innermost call first: callees have their callers as children.
    pub fn inverted(partial: &Partial, key_by: KeyBy) -> Self {
        let mut builder = Builder::new(key_by, partial.groups.clone());
        let steps = builder.steps(&partial.symbols);
        builder.add_inverted(partial, &steps);
        builder.finish()
    }

    /// `compare` as the values, `base` as the base values. Groups are summed.
    pub fn compare(base: &Partial, compare: &Partial, key_by: KeyBy) -> Self {
        let mut builder = Builder::new(key_by, vec![Group::default()]);
        for (partial, side) in [(compare, Side::Value), (base, Side::Base)] {
            let steps = builder.steps(&partial.symbols);
            builder.add_summed(partial, &steps, side);
        }
        builder.finish()
    }

    /// Like [`Flame::compare`], innermost call first.
    pub fn compare_inverted(base: &Partial, compare: &Partial, key_by: KeyBy) -> Self {
        let mut builder = Builder::new(key_by, vec![Group::default()]);
        for (partial, side) in [(compare, Side::Value), (base, Side::Base)] {
            let steps = builder.steps(&partial.symbols);
            builder.add_inverted_summed(partial, &steps, side);
        }
        builder.finish()
    }

    /// Positions of the nodes' children, per node.
    pub fn children(&self) -> Vec<Vec<u32>> {
        let mut children = vec![Vec::new(); self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().skip(1) {
            children[node.parent as usize].push(at as u32);
        }
        children
    }

    /// Steps from the root, per node.
    pub fn depths(&self) -> Vec<u32> {
        let mut depths = vec![0u32; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().skip(1) {
            depths[at] = depths[node.parent as usize] + 1;
        }
        depths
    }

    /// What to call a node: the function, or file and address, or the labels.
    pub fn name(&self, node: &Node) -> Cow<'_, str> {
        name(&self.symbols, &self.groups, node)
    }
}

fn name<'a>(symbols: &'a Symbols, groups: &[Group], node: &Node) -> Cow<'a, str> {
    match node.kind {
        Kind::Root => "total".into(),
        Kind::Trimmed => "(trimmed)".into(),
        Kind::Function(function) => function_name(symbols, function).into(),
        Kind::Group(group) => group_name(&groups[group as usize]).into(),
        Kind::Unnamed => unnamed(symbols, node.mapping, node.address).into(),
    }
}

/// What a call without a name is called.
fn unnamed(symbols: &Symbols, mapping: u32, address: u64) -> String {
    if mapping == NONE {
        return format!("{address:#x}");
    }
    let file = shown_binary(symbols.str(symbols.mappings[mapping as usize].file));
    let file = file.rsplit('/').next().unwrap_or(file);
    format!("{file}+{address:#x}")
}

/// What flame graphs call one of the calls at a location, counted from the outermost.
pub(crate) fn call_name(symbols: &Symbols, location: u32, call: usize) -> Cow<'_, str> {
    match symbols.lines(location) {
        [] => {
            let location = &symbols.locations[location as usize];
            unnamed(symbols, location.mapping, location.address).into()
        }
        lines => function_name(symbols, lines[lines.len() - 1 - call].function).into(),
    }
}

fn group_name(group: &Group) -> String {
    let pair = |(name, value): &(_, cairn_trie::GroupValue)| {
        format!("{name}={}", crate::scan::text(value))
    };
    let pairs: Vec<String> = group.0.iter().map(pair).collect();
    pairs.join(", ")
}
