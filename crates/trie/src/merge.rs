//! Merges tries by the content of their paths.
//!
//! A node's place in the merged trie is found by the hash of its path, so all look-ups of a batch
//! are independent and their cache misses overlap; a hit counts only after comparing parent and
//! frame, so two paths that share a hash stay two paths.

use cairn_model::NONE;
use hashbrown::HashMap;

use crate::interner::{Interner, LocationMap};
use crate::partial::{Group, Partial, Value};
use crate::trie::Trie;

/// Nodes whose table slots are loaded together.
const BATCH: usize = 64;

/// A merged trie that takes in partials one by one.
#[derive(Debug)]
pub struct Merger {
    interner: Interner,
    trie: Trie,
    table: Table,
    groups: HashMap<Group, u32, foldhash::fast::RandomState>,
    group_list: Vec<Group>,
    /// Values of group 0, one per node.
    dense: Vec<i64>,
    /// Values of all other groups.
    sparse: HashMap<(u32, u32), i64, foldhash::fast::RandomState>,
}

impl Default for Merger {
    fn default() -> Self {
        let mut groups = HashMap::default();
        groups.insert(Group::default(), 0);
        Self {
            interner: Interner::default(),
            trie: Trie::default(),
            table: Table::with_capacity(1024),
            groups,
            group_list: vec![Group::default()],
            dense: vec![0],
            sparse: HashMap::default(),
        }
    }
}

impl Merger {
    /// Adds every value of `partial`.
    pub fn add(&mut self, partial: &Partial) {
        let nodes = self.add_trie(partial);
        let groups: Vec<u32> = partial
            .groups
            .iter()
            .map(|group| self.group(group))
            .collect();
        for Value { node, group, value } in &partial.values {
            let node = nodes[*node as usize];
            let sum = match groups[*group as usize] {
                0 => &mut self.dense[node as usize],
                group => self.sparse.entry((node, group)).or_default(),
            };
            *sum = sum.wrapping_add(*value);
        }
    }

    /// Nodes merged so far, the root included.
    pub fn nodes(&self) -> usize {
        self.trie.len()
    }

    pub fn finish(self) -> Partial {
        let dense = self.dense.iter().enumerate().map(|(node, value)| Value {
            node: node as u32,
            group: 0,
            value: *value,
        });
        let sparse = self.sparse.iter().map(|((node, group), value)| Value {
            node: *node,
            group: *group,
            value: *value,
        });
        let mut values: Vec<Value> = dense.chain(sparse).filter(|v| v.value != 0).collect();
        values.sort_unstable_by_key(|v| (v.group, v.node));
        Partial {
            symbols: self.interner.into_symbols(),
            trie: self.trie,
            groups: self.group_list,
            values,
        }
    }

    fn group(&mut self, group: &Group) -> u32 {
        if let Some(id) = self.groups.get(group) {
            return *id;
        }
        let id = self.group_list.len() as u32;
        self.groups.insert(group.clone(), id);
        self.group_list.push(group.clone());
        id
    }

    /// Node there -> node here.
    fn add_trie(&mut self, partial: &Partial) -> Vec<u32> {
        let Partial { symbols, trie, .. } = partial;
        let frames = self.map_frames(partial);
        let hashes = trie.path_hashes(&symbols.location_hashes());
        let mut map = vec![NONE; trie.len()];
        map[0] = Trie::ROOT;
        let mut start = 1;
        while start < trie.len() {
            let end = (start + BATCH).min(trie.len());
            self.table.reserve(BATCH);
            let mut firsts = [Slot::default(); BATCH];
            let (parents, of_node) = (&trie.parents()[start..end], &trie.frames()[start..end]);
            for (slot, hash) in firsts.iter_mut().zip(&hashes[start..end]) {
                *slot = self.table.first(*hash);
            }
            for (at, first) in firsts[..end - start].iter().enumerate() {
                let parent = map[parents[at] as usize];
                let frame = frames[of_node[at] as usize];
                map[start + at] = if first.is(parent, frame) {
                    first.node
                } else {
                    self.child(hashes[start + at], parent, frame)
                };
            }
            start = end;
        }
        self.dense.resize(self.trie.len(), 0);
        map
    }

    /// Finds or makes a node.
    fn child(&mut self, hash: u64, parent: u32, frame: u32) -> u32 {
        let new = self.trie.len() as u32;
        let node = self.table.find_or_insert(hash, parent, frame, new);
        if node == new {
            self.trie.push(parent, frame);
        }
        node
    }

    /// Location there -> location here, for the locations that the trie uses.
    fn map_frames(&mut self, partial: &Partial) -> Vec<u32> {
        let mut used = vec![NONE; partial.symbols.locations.len()];
        let mut map = LocationMap::default();
        for frame in &partial.trie.frames()[1..] {
            let slot = &mut used[*frame as usize];
            if *slot == NONE {
                *slot = map.location(&mut self.interner, &partial.symbols, *frame);
            }
        }
        used
    }
}

/// Open addressing, kept at most half full. A slot holds all that a look-up compares, so that a hit
/// costs one cache miss. The tag, half of a path's hash, says where a search starts, so growing
/// needs no hash.
#[derive(Debug)]
struct Table {
    slots: Vec<Slot>,
    len: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    tag: u32,
    parent: u32,
    frame: u32,
    /// Never the root, so its number marks free slots.
    node: u32,
}

impl Slot {
    fn is(&self, parent: u32, frame: u32) -> bool {
        self.parent == parent && self.frame == frame && self.node != Trie::ROOT
    }
}

impl Table {
    fn with_capacity(nodes: usize) -> Self {
        Self {
            slots: vec![Slot::default(); (nodes * 2).next_power_of_two()],
            len: 0,
        }
    }

    fn tag(hash: u64) -> u32 {
        (hash ^ (hash >> 32)) as u32
    }

    /// The slot where the search for `hash` starts.
    fn first(&self, hash: u64) -> Slot {
        self.slots[Self::tag(hash) as usize & (self.slots.len() - 1)]
    }

    /// The node of `frame` below `parent`, `new` if there was none. The caller has made room.
    fn find_or_insert(&mut self, hash: u64, parent: u32, frame: u32, new: u32) -> u32 {
        let tag = Self::tag(hash);
        let mask = self.slots.len() - 1;
        let mut at = tag as usize & mask;
        while self.slots[at].node != Trie::ROOT {
            if self.slots[at].is(parent, frame) {
                return self.slots[at].node;
            }
            at = (at + 1) & mask;
        }
        self.slots[at] = Slot {
            tag,
            parent,
            frame,
            node: new,
        };
        self.len += 1;
        new
    }

    /// Makes room for `more` nodes.
    fn reserve(&mut self, more: usize) {
        if (self.len + more) * 2 <= self.slots.len() {
            return;
        }
        let grown = Self::with_capacity((self.len + more).max(self.slots.len()));
        let old = std::mem::replace(&mut self.slots, grown.slots);
        let mask = self.slots.len() - 1;
        for slot in old.into_iter().filter(|slot| slot.node != Trie::ROOT) {
            let mut at = slot.tag as usize & mask;
            while self.slots[at].node != Trie::ROOT {
                at = (at + 1) & mask;
            }
            self.slots[at] = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trie::TrieBuilder;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Model = BTreeMap<(Vec<String>, u32), i64>;

    fn partial(rows: &[(Vec<u8>, u32, i64)]) -> Partial {
        let mut interner = Interner::default();
        let mut builder = TrieBuilder::default();
        let mut sums: BTreeMap<(u32, u32), i64> = BTreeMap::new();
        for (stack, group, value) in rows {
            let mut node = Trie::ROOT;
            for frame in stack {
                let name = interner.str(&format!("f{frame}"));
                let function = interner.function(cairn_model::Function {
                    name,
                    ..Default::default()
                });
                let line = cairn_model::Line {
                    function,
                    ..Default::default()
                };
                let location = interner.location(NONE, 0, &[line]);
                node = builder.child(node, location);
            }
            *sums.entry((node, *group)).or_default() += value;
        }
        let groups = vec![
            Group::default(),
            Group(vec![("k".into(), crate::GroupValue::Str("v".into()))]),
        ];
        let values = sums.into_iter().filter(|(_, v)| *v != 0);
        let values = values
            .map(|((node, group), value)| Value { node, group, value })
            .collect();
        Partial {
            symbols: interner.into_symbols(),
            trie: builder.into_trie(),
            groups,
            values,
        }
    }

    fn model(partial: &Partial) -> Model {
        let name = |location: u32| {
            let line = partial.symbols.lines(location)[0];
            partial
                .symbols
                .str(partial.symbols.functions[line.function as usize].name)
                .to_owned()
        };
        let key = |v: &Value| (partial.trie.stack(v.node).map(name).collect(), v.group);
        partial.values.iter().map(|v| (key(v), v.value)).collect()
    }

    proptest! {
        #[test]
        fn merging_is_adding_maps_from_stack_to_value(
            parts in prop::collection::vec(
                prop::collection::vec((prop::collection::vec(0u8..4, 0..6), 0u32..2, -3i64..9), 0..30), 0..5)
        ) {
            let mut merger = Merger::default();
            let mut expected = Model::new();
            for rows in &parts {
                let part = partial(rows);
                for (key, value) in model(&part) {
                    *expected.entry(key).or_default() += value;
                }
                merger.add(&part);
            }
            expected.retain(|_, value| *value != 0);
            let merged = merger.finish();
            prop_assert_eq!(model(&merged), expected);
            prop_assert_eq!(merged.total(), parts.iter().flatten().map(|row| row.2).sum::<i64>());
        }
    }
}
