//! Merges tries by the content of their paths.
//!
//! Partials in canonical order are sorted lists, so several are merged by one walk along all,
//! without a table, a hash or a jump in memory. Partials wait until there are enough for a walk, and
//! what was merged equally often is merged next, so that no large answer is copied for every small
//! one.

use std::hint::select_unpredictable;

use cairn_model::NONE;
use hashbrown::HashMap;

use crate::order::ordered;
use crate::partial::{Group, Partial, Value};
use crate::symbols::Symbols;
use crate::trie::Trie;
use crate::union::union;

/// Runs that are merged in one walk.
const FAN_IN: usize = 8;

/// A merged trie that takes in partials one by one.
#[derive(Debug)]
pub struct Merger {
    /// The only one so far, as it came: often there is no other.
    alone: Option<Partial>,
    /// Less often merged ones last.
    runs: Vec<Run>,
    groups: HashMap<Group, u32, foldhash::fast::RandomState>,
    group_list: Vec<Group>,
    depths: Vec<u32>,
}

impl Default for Merger {
    fn default() -> Self {
        let mut groups = HashMap::default();
        groups.insert(Group::default(), 0);
        Self {
            alone: None,
            runs: Vec::new(),
            groups,
            group_list: vec![Group::default()],
            depths: Vec::new(),
        }
    }
}

impl Merger {
    /// Adds every value of `partial`. Faster if the partial is in canonical order.
    pub fn add(&mut self, partial: Partial) {
        match self.alone.take() {
            Some(alone) => self.push(alone),
            None if self.runs.is_empty() => {
                self.alone = Some(partial);
                return;
            }
            None => {}
        }
        self.push(partial);
    }

    fn push(&mut self, partial: Partial) {
        let groups: Vec<u32> = partial.groups.iter().map(|g| self.group(g)).collect();
        let partial = ordered(partial, &mut self.depths);
        self.runs.push(Run::new(partial, &self.depths, &groups));
        while let [.., first, _, _, _, _, _, _, last] = &self.runs[..]
            && first.level == last.level
        {
            self.merge_last(FAN_IN);
        }
    }

    /// In canonical order.
    pub fn finish(mut self) -> Partial {
        if let Some(alone) = self.alone {
            return ordered(alone, &mut self.depths);
        }
        while self.runs.len() > 1 {
            self.merge_last(FAN_IN.min(self.runs.len()));
        }
        match self.runs.pop() {
            None => Partial::default(),
            Some(run) => run.into_partial(self.group_list),
        }
    }

    fn merge_last(&mut self, count: usize) {
        let runs = self.runs.split_off(self.runs.len() - count);
        self.runs.push(Run::merge(runs));
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
}

/// What was merged so far of some partials, in canonical order.
#[derive(Debug)]
struct Run {
    /// How often it was merged.
    level: u32,
    symbols: Symbols,
    /// Of each node, the root first.
    depths: Vec<u32>,
    frames: Vec<u32>,
    /// Of each node, in group 0; empty before the first merge.
    dense: Vec<i64>,
    /// All other values.
    sparse: Vec<Value>,
}

impl Run {
    /// `groups` says which group here each group of the partial is.
    fn new(partial: Partial, depths: &[u32], groups: &[u32]) -> Self {
        let mut sparse = partial.values;
        for value in &mut sparse {
            value.group = groups[value.group as usize];
        }
        let (mut parents, frames) = partial.trie.into_parts();
        parents.copy_from_slice(depths);
        Self {
            level: 0,
            symbols: partial.symbols,
            depths: parents,
            frames,
            dense: Vec::new(),
            sparse,
        }
    }

    /// Of at most [`FAN_IN`] runs.
    fn merge(mut runs: Vec<Self>) -> Self {
        let sides: Vec<&Symbols> = runs.iter().map(|run| &run.symbols).collect();
        let (symbols, locations) = union(&sides);
        for (run, locations) in runs.iter_mut().zip(&locations) {
            // The root has no location.
            for frame in &mut run.frames[1..] {
                *frame = locations[*frame as usize];
            }
        }
        let list = |run: &'_ mut Self| List {
            depths: std::mem::take(&mut run.depths),
            frames: std::mem::take(&mut run.frames),
        };
        let mut lists: Vec<List> = runs.iter_mut().map(list).collect();
        let List { depths, frames } = merge(&mut lists);
        let mut dense = vec![0i64; depths.len()];
        let mut sparse = Vec::new();
        for (run, list) in runs.iter().zip(&lists) {
            let places = &list.depths;
            for (place, value) in places.iter().zip(&run.dense) {
                let sum = &mut dense[*place as usize];
                *sum = sum.wrapping_add(*value);
            }
            for value in &run.sparse {
                let node = places[value.node as usize];
                if value.group == 0 {
                    let sum = &mut dense[node as usize];
                    *sum = sum.wrapping_add(value.value);
                } else {
                    sparse.push(Value { node, ..*value });
                }
            }
        }
        // Mostly sorted stretches, which a stable sort merges.
        sparse.sort_by_key(|v: &Value| (v.node, v.group));
        sparse.dedup_by(add_up);
        Self {
            level: runs.iter().map(|run| run.level).max().unwrap_or(0) + 1,
            symbols,
            depths,
            frames,
            dense,
            sparse,
        }
    }

    fn into_partial(self, groups: Vec<Group>) -> Partial {
        let mut parents = self.depths;
        let mut path: Vec<u32> = Vec::new();
        for (node, slot) in parents.iter_mut().enumerate() {
            let depth = *slot as usize;
            *slot = depth.checked_sub(1).map_or(NONE, |above| path[above]);
            if depth == path.len() {
                path.push(0);
            }
            path[depth] = node as u32;
        }
        let values = (0..).zip(&self.dense).map(|(node, value)| Value {
            node,
            group: 0,
            value: *value,
        });
        let mut values: Vec<Value> = values.chain(self.sparse).collect();
        values.retain(|value| value.value != 0);
        values.sort_by_key(|value| value.group);
        Partial {
            symbols: self.symbols,
            trie: Trie::from_parts(parents, self.frames).expect("parents come before children"),
            groups,
            values,
        }
    }
}

/// For removing repeats from sorted values: keeps the sum.
fn add_up(next: &mut Value, kept: &mut Value) -> bool {
    let is_same = (next.node, next.group) == (kept.node, kept.group);
    if is_same {
        kept.value = kept.value.wrapping_add(next.value);
    }
    is_same
}

/// Nodes in canonical order, the root first.
#[derive(Debug, Default)]
struct List {
    depths: Vec<u32>,
    frames: Vec<u32>,
}

impl List {
    /// Of two nodes whose ancestors are the same up to the depth of the shallower, the one with the
    /// smaller key comes first: the deeper one still belongs to what has been begun, and among
    /// siblings the location decides. What comes after the last node has the largest key.
    #[inline]
    fn key(&self, node: usize) -> u64 {
        match (self.depths.get(node), self.frames.get(node)) {
            (Some(depth), Some(frame)) => u64::from(u32::MAX - depth) << 32 | u64::from(*frame),
            _ => u64::MAX,
        }
    }
}

/// Merges at most [`FAN_IN`] lists, and replaces the depth of each of their nodes with its place in
/// the merged list.
fn merge(lists: &mut [List]) -> List {
    match lists.len() {
        0..=2 => merge_up_to::<2>(lists),
        3..=4 => merge_up_to::<4>(lists),
        _ => merge_up_to::<FAN_IN>(lists),
    }
}

/// There is no branch that depends on the nodes: nobody could predict it.
fn merge_up_to<const N: usize>(lists: &mut [List]) -> List {
    let nodes = lists.iter().map(|list| list.depths.len()).sum();
    let mut out = List {
        depths: Vec::with_capacity(nodes),
        frames: Vec::with_capacity(nodes),
    };
    out.depths.push(0);
    out.frames.push(NONE);
    let mut at = [1; N];
    let mut keys = [u64::MAX; N];
    for (key, list) in keys.iter_mut().zip(&*lists) {
        *key = list.key(1);
    }
    loop {
        let least = keys.iter().fold(u64::MAX, |least, key| least.min(*key));
        if least == u64::MAX {
            return out;
        }
        let place = out.depths.len() as u32;
        for (list, (at, key)) in lists.iter_mut().zip(at.iter_mut().zip(&mut keys)) {
            let is_taken = *key == least;
            // Overwritten until the node is taken, and its key was read before.
            if let Some(slot) = list.depths.get_mut(*at) {
                *slot = place;
            }
            *at += usize::from(is_taken);
            *key = select_unpredictable(is_taken, list.key(*at), *key);
        }
        out.depths.push(u32::MAX - (least >> 32) as u32);
        out.frames.push(least as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interner::Interner;
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
                prop::collection::vec((prop::collection::vec(0u8..4, 0..6), 0u32..2, -3i64..9), 0..12), 0..20)
        ) {
            let mut merger = Merger::default();
            let mut expected = Model::new();
            for rows in &parts {
                let part = partial(rows);
                for (key, value) in model(&part) {
                    *expected.entry(key).or_default() += value;
                }
                merger.add(part);
            }
            expected.retain(|_, value| *value != 0);
            let merged = merger.finish();
            prop_assert!(merged.symbols.is_ordered() && merged.trie.is_ordered());
            prop_assert_eq!(model(&merged), expected);
            prop_assert_eq!(merged.total(), parts.iter().flatten().map(|row| row.2).sum::<i64>());
        }

        #[test]
        fn what_is_cut_from_an_ordered_partial_is_ordered(
            rows in prop::collection::vec((prop::collection::vec(0u8..6, 0..6), 0u32..1, 1i64..9), 0..40),
            kept in prop::collection::vec(any::<bool>(), 40),
        ) {
            let mut merger = Merger::default();
            merger.add(partial(&rows));
            let whole = merger.finish();
            let mut values = whole.values.clone();
            let mut kept = kept.into_iter();
            values.retain(|_| kept.next().unwrap_or(true));
            let part = Partial { values: values.clone(), ..whole.clone() };
            let cut = Partial::pruned(&whole.symbols, &whole.trie, whole.groups, values);
            prop_assert!(cut.symbols.is_ordered() && cut.trie.is_ordered());
            prop_assert_eq!(model(&cut), model(&part));
        }
    }
}
