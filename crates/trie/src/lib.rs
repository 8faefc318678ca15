//! Stacks as tries: intern, order, merge, roll up. Pure, and measured against its limits.
//!
//! A stack is a node of a trie: the path from the root to the node, outermost call first. Node 0 is
//! the root and every parent comes before its children, so one reverse pass sums a whole trie.
//! Owns no values' meaning: what is summed, and over which rows, is the engine's business.

mod interner;
mod merge;
mod order;
mod partial;
mod prune;
mod symbols;
mod trie;
mod union;

pub use interner::{Interner, LocationMap};
pub use merge::Merger;
pub use partial::{Group, GroupValue, Partial, Value};
pub use symbols::{StringTable, Symbols};
pub use trie::{Trie, TrieBuilder};
