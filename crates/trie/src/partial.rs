//! What one worker has merged of one query.

use std::sync::Arc;

use crate::symbols::Symbols;
use crate::trie::Trie;

/// What a query keeps apart: labels of profiles or of samples, sorted by key. Usually nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group(pub Vec<(Arc<str>, GroupValue)>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupValue {
    Str(Arc<str>),
    Num { value: i64, unit: Arc<str> },
}

/// The sum of the rows of one stack and one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value {
    pub node: u32,
    /// Position in [`Partial::groups`].
    pub group: u32,
    /// Of rows whose innermost frame is `node`: "flat" or "self".
    pub value: i64,
}

/// A trie with values. Group 0 is always the empty group.
#[derive(Clone, Debug, PartialEq)]
pub struct Partial {
    pub symbols: Symbols,
    pub trie: Trie,
    pub groups: Vec<Group>,
    /// At most one per (node, group), in no particular order, none zero.
    pub values: Vec<Value>,
}

impl Default for Partial {
    fn default() -> Self {
        Self {
            symbols: Symbols::default(),
            trie: Trie::default(),
            groups: vec![Group::default()],
            values: Vec::new(),
        }
    }
}

impl Partial {
    /// Sum over all stacks and groups.
    pub fn total(&self) -> i64 {
        self.values
            .iter()
            .fold(0i64, |sum, v| sum.wrapping_add(v.value))
    }

    /// Self value per node, groups summed.
    pub fn self_values(&self) -> Vec<i64> {
        let mut out = vec![0i64; self.trie.len()];
        for Value { node, value, .. } in &self.values {
            out[*node as usize] = out[*node as usize].wrapping_add(*value);
        }
        out
    }
}
