//! The canonical order of tables and tries: equal content stands in the same order everywhere, so
//! merging is walking along two sorted lists.
//!
//! Strings are in byte order, rows of the other tables in the order of their fields, no two alike;
//! nodes are in pre-order, the children of each in the order of their locations.

use cairn_model::{Addressing, Function, Line, Location, Mapping, NONE};

use crate::partial::{Partial, Value};
use crate::symbols::{Symbols, moved_function, moved_line, moved_mapping};
use crate::trie::{Trie, TrieBuilder};

pub(crate) fn function_key(row: &Function) -> (u32, u32, u32, i64) {
    (row.name, row.system_name, row.file, row.start_line)
}

pub(crate) fn mapping_key(row: &Mapping) -> (u32, u32, Addressing) {
    (row.file, row.build_id, row.addressing)
}

pub(crate) type LineKey = (u32, i64, i64);

pub(crate) fn line_key(row: &Line) -> LineKey {
    (row.function, row.line, row.column)
}

/// Puts tables and nodes into canonical order, unless they are. Leaves the depth of each node in
/// `depths`.
pub(crate) fn ordered(partial: Partial, depths: &mut Vec<u32>) -> Partial {
    if partial.trie.depths(depths) && partial.symbols.is_ordered() {
        return partial;
    }
    let (symbols, locations) = partial.symbols.ordered();
    let (trie, nodes) = partial.trie.ordered(&locations);
    let values = partial.values.iter().map(|value| Value {
        node: nodes[value.node as usize],
        ..*value
    });
    trie.depths(depths);
    Partial {
        values: values.collect(),
        symbols,
        trie,
        groups: partial.groups,
    }
}

impl Symbols {
    /// Whether the tables are in canonical order.
    pub fn is_ordered(&self) -> bool {
        let location = |row: &Location| {
            let (start, end) = row.lines;
            let lines = &self.lines[start as usize..end as usize];
            (row.mapping, row.address, lines)
        };
        self.strings.iter().is_sorted_by(|a, b| a < b)
            && ascends(&self.functions, function_key)
            && ascends(&self.mappings, mapping_key)
            && self.locations.is_sorted_by(|a, b| {
                let ((a_mapping, a_address, a), (b_mapping, b_address, b)) =
                    (location(a), location(b));
                (a_mapping, a_address)
                    .cmp(&(b_mapping, b_address))
                    .then_with(|| a.iter().map(line_key).cmp(b.iter().map(line_key)))
                    .is_lt()
            })
    }

    /// The same content in canonical order, and where each location is there.
    pub fn ordered(&self) -> (Self, Vec<u32>) {
        let texts: Vec<&str> = self.strings.iter().collect();
        let mut symbols = Self::default();
        let (distinct, strings) = ranks(&texts);
        for at in distinct.into_iter().skip(1) {
            symbols.strings.push(texts[at as usize]);
        }
        let functions;
        let function = |row: &Function| moved_function(row, &strings);
        (symbols.functions, functions) = sorted(&self.functions, function, function_key);
        let mappings;
        let mapping = |row: &Mapping| moved_mapping(row, &strings);
        (symbols.mappings, mappings) = sorted(&self.mappings, mapping, mapping_key);

        let lines = self.lines.iter().map(|row| moved_line(row, &functions));
        let lines: Vec<Line> = lines.collect();
        let keys: Vec<_> = lines.iter().map(line_key).collect();
        let location = |row: &Location| {
            let (start, end) = row.lines;
            let mapping = mappings.get(row.mapping as usize).copied();
            let lines = &keys[start as usize..end as usize];
            (mapping.unwrap_or(row.mapping), row.address, lines)
        };
        let rows: Vec<_> = self.locations.iter().map(location).collect();
        let (distinct, locations) = ranks(&rows);
        for at in distinct {
            let (mapping, address, _) = rows[at as usize];
            let (from, to) = self.locations[at as usize].lines;
            let lines = &lines[from as usize..to as usize];
            symbols.push_location(mapping, address, lines.iter().copied());
        }
        (symbols, locations)
    }
}

fn ascends<T, K: Ord>(rows: &[T], key: impl Fn(&T) -> K) -> bool {
    rows.is_sorted_by(|a, b| key(a) < key(b))
}

fn sorted<T, K: Ord>(
    rows: &[T],
    map: impl Fn(&T) -> T,
    key: impl Fn(&T) -> K,
) -> (Vec<T>, Vec<u32>) {
    let keys: Vec<K> = rows.iter().map(|row| key(&map(row))).collect();
    let (distinct, ranks) = ranks(&keys);
    let rows = distinct.into_iter().map(|at| map(&rows[at as usize]));
    (rows.collect(), ranks)
}

/// Positions of the distinct keys in their order, and each key's rank among them.
fn ranks<K: Ord>(keys: &[K]) -> (Vec<u32>, Vec<u32>) {
    let mut order: Vec<u32> = (0..keys.len() as u32).collect();
    order.sort_unstable_by(|a, b| keys[*a as usize].cmp(&keys[*b as usize]));
    let mut distinct: Vec<u32> = Vec::with_capacity(keys.len());
    let mut ranks = vec![0; keys.len()];
    for at in order {
        let is_new = distinct
            .last()
            .is_none_or(|last| keys[*last as usize] != keys[at as usize]);
        if is_new {
            distinct.push(at);
        }
        ranks[at as usize] = distinct.len() as u32 - 1;
    }
    (distinct, ranks)
}

/// What was visited last at some depth.
#[derive(Clone, Copy)]
struct Level {
    node: u32,
    /// The least location that the next sibling may have.
    next: u32,
}

impl Level {
    const UNTOUCHED: Self = Self {
        node: NONE,
        next: 0,
    };
}

impl Trie {
    /// Whether the nodes are in canonical order, given that their locations are.
    pub fn is_ordered(&self) -> bool {
        self.depths(&mut Vec::new())
    }

    /// Nodes between the root and each node, and whether the nodes are in canonical order.
    fn depths(&self, depths: &mut Vec<u32>) -> bool {
        depths.clear();
        depths.resize(self.len(), 0);
        let mut levels = vec![Level::UNTOUCHED; 64];
        levels[0].node = Self::ROOT;
        let mut is_ordered = true;
        let mut last = 0;
        let nodes = self.parents().iter().zip(self.frames()).enumerate();
        for (node, (parent, frame)) in nodes.skip(1) {
            let depth = depths[*parent as usize] + 1;
            depths[node] = depth;
            let depth = depth as usize;
            if depth + 1 >= levels.len() {
                levels.resize(levels.len() * 2, Level::UNTOUCHED);
            }
            let [above, here, below] = &mut levels[depth - 1..=depth + 1] else {
                break;
            };
            // Levels below the last node are left over from other paths.
            let is_on_path = (depth <= last + 1) & (above.node == *parent);
            is_ordered &= is_on_path & (here.next <= *frame);
            last = depth;
            *here = Level {
                node: node as u32,
                next: frame + 1,
            };
            *below = Level::UNTOUCHED;
        }
        is_ordered
    }

    /// The same paths in canonical order, and where each node is there, given the rank of each
    /// location.
    pub fn ordered(&self, ranks: &[u32]) -> (Self, Vec<u32>) {
        let rank = |node: &u32| ranks[self.frame(*node) as usize];
        let mut starts = vec![0u32; self.len() + 1];
        for parent in &self.parents()[1..] {
            starts[*parent as usize + 1] += 1;
        }
        for node in 0..self.len() {
            starts[node + 1] += starts[node];
        }
        let mut free = starts.clone();
        let mut children = vec![0u32; self.len() - 1];
        for (node, parent) in self.parents().iter().enumerate().skip(1) {
            let slot = &mut free[*parent as usize];
            children[*slot as usize] = node as u32;
            *slot += 1;
        }
        for node in 0..self.len() {
            let siblings = &mut children[starts[node] as usize..starts[node + 1] as usize];
            siblings.sort_unstable_by_key(rank);
            if siblings.is_sorted_by(|a, b| rank(a) < rank(b)) {
                continue;
            }
            let (unique, first) = self.unique(ranks);
            let (trie, second) = unique.ordered(&(0..ranks.len() as u32).collect::<Vec<_>>());
            let nodes = first.into_iter().map(|node| second[node as usize]);
            return (trie, nodes.collect());
        }
        let mut trie = Self::with_capacity(self.len());
        let mut nodes = vec![Self::ROOT; self.len()];
        let below = |node: u32| {
            let node = node as usize;
            children[starts[node] as usize..starts[node + 1] as usize]
                .iter()
                .rev()
        };
        let mut open: Vec<u32> = below(Self::ROOT).copied().collect();
        while let Some(node) = open.pop() {
            let parent = nodes[self.parent(node) as usize];
            nodes[node as usize] = trie.push(parent, rank(&node));
            open.extend(below(node));
        }
        (trie, nodes)
    }

    /// The same paths, each once, and where each node is there.
    fn unique(&self, ranks: &[u32]) -> (Self, Vec<u32>) {
        let mut builder = TrieBuilder::default();
        let mut nodes = vec![Self::ROOT; self.len()];
        for node in 1..self.len() {
            let parent = nodes[self.parents()[node] as usize];
            nodes[node] = builder.child(parent, ranks[self.frames()[node] as usize]);
        }
        (builder.into_trie(), nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_comes_after_its_parents_sibling_is_out_of_order() {
        let trie = |parents: &[u32], frames: &[u32]| {
            let parents = [&[NONE], parents].concat();
            Trie::from_parts(parents, [&[NONE], frames].concat()).expect("parents come first")
        };
        // 0 > 2 > 3, then 2, then back below the 3.
        let late = trie(&[0, 1, 2, 0, 3], &[0, 2, 3, 2, 0]);
        assert!(!late.is_ordered());
        let in_order = trie(&[0, 1, 2, 3, 0], &[0, 2, 3, 0, 2]);
        assert!(in_order.is_ordered());
        assert_eq!(late.ordered(&[0, 1, 2, 3]).0, in_order);
    }
}
