//! Turns the stacks of one or more inputs into those of one block: what no row uses is left out,
//! stacks are numbered by frequency, locations and names by what they say, nodes in pre-order with
//! siblings in the order of their locations.
//!
//! So equal content comes in the same order in every block, which packs well and merges fast.

use cairn_model::{Function, Line, Location, Mapping, NONE};
use cairn_trie::{Interner, LocationMap, Symbols, Trie, TrieBuilder};

use crate::Error;
use crate::tables::Stacks;

/// Stacks of one input, and how many rows each has.
pub(crate) struct Counted<'a> {
    pub(crate) symbols: &'a Symbols,
    pub(crate) trie: &'a Trie,
    /// Stack -> node; `None` where a stack's number is its node's.
    pub(crate) nodes: Option<&'a [u32]>,
    pub(crate) counts: Vec<u64>,
}

impl Counted<'_> {
    pub(crate) fn node(&self, stack: usize) -> u32 {
        self.nodes.map_or(stack as u32, |nodes| nodes[stack])
    }
}

/// One set of stacks, and per input: stack there -> stack here, [`NONE`] for unused ones.
pub(crate) fn unify(inputs: &[Counted<'_>]) -> Result<(Stacks, Vec<Vec<u32>>), Error> {
    let mut nodes = 0u64;
    let mut text = 0u64;
    for input in inputs {
        nodes += input.trie.len() as u64;
        text += input
            .symbols
            .strings
            .iter()
            .map(|s| s.len() as u64)
            .sum::<u64>();
    }
    if nodes >= u64::from(NONE) {
        return Err(Error::TooLarge("4 billion frames"));
    }
    if text >= u64::from(u32::MAX) {
        return Err(Error::TooLarge("4 GiB of names"));
    }
    let mut interner = Interner::default();
    let mut builder = TrieBuilder::default();
    let mut counts: Vec<u64> = Vec::new();
    let mut maps = Vec::with_capacity(inputs.len());
    for input in inputs {
        let map = add(input, &mut interner, &mut builder);
        counts.resize(builder.trie().len(), 0);
        let mut stacks = vec![NONE; input.counts.len()];
        for (stack, count) in input
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            let node = map[input.node(stack) as usize];
            counts[node as usize] += count;
            stacks[stack] = node;
        }
        maps.push(stacks);
    }
    counts.resize(builder.trie().len(), 0);
    let merged = builder.into_trie();
    let (symbols, locations) = sorted(interner.symbols());
    let (order, new_of) = preorder(&merged, &locations);
    let (ranked, rank_of) = rank(&order, &counts);
    for stack in maps.iter_mut().flatten().filter(|stack| **stack != NONE) {
        *stack = rank_of[*stack as usize];
    }
    let mut trie = Trie::with_capacity(order.len());
    for node in &order[1..] {
        let parent = new_of[merged.parent(*node) as usize];
        trie.push(parent, locations[merged.frame(*node) as usize]);
    }
    let stacks = Stacks {
        symbols,
        trie,
        nodes: ranked.iter().map(|node| new_of[*node as usize]).collect(),
    };
    Ok((stacks, maps))
}

/// Adds the nodes above the stacks that have rows: node there -> node here.
fn add(input: &Counted<'_>, interner: &mut Interner, builder: &mut TrieBuilder) -> Vec<u32> {
    let trie = input.trie;
    let mut used = vec![false; trie.len()];
    for (stack, count) in input.counts.iter().enumerate() {
        used[input.node(stack) as usize] |= *count > 0;
    }
    for node in (1..trie.len()).rev() {
        if used[node] {
            used[trie.parent(node as u32) as usize] = true;
        }
    }
    let mut locations = LocationMap::default();
    let mut map = vec![NONE; trie.len()];
    map[0] = Trie::ROOT;
    for node in (1..trie.len()).filter(|node| used[*node]) {
        let frame = locations.location(interner, input.symbols, trie.frames()[node]);
        map[node] = builder.child(map[trie.parents()[node] as usize], frame);
    }
    map
}

/// Nodes in pre-order, siblings by the new numbers of their locations, and node -> place in that
/// order.
fn preorder(trie: &Trie, locations: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut last_first: Vec<u32> = (1..trie.len() as u32).collect();
    last_first
        .sort_unstable_by_key(|node| std::cmp::Reverse(locations[trie.frame(*node) as usize]));
    let (mut child, mut sibling) = (vec![NONE; trie.len()], vec![NONE; trie.len()]);
    for node in last_first {
        let parent = trie.parent(node) as usize;
        sibling[node as usize] = child[parent];
        child[parent] = node;
    }
    let mut order = Vec::with_capacity(trie.len());
    let mut place = vec![0; trie.len()];
    let mut open = vec![Trie::ROOT];
    while let Some(node) = open.pop() {
        place[node as usize] = order.len() as u32;
        order.push(node);
        for next in [sibling[node as usize], child[node as usize]] {
            if next != NONE {
                open.push(next);
            }
        }
    }
    (order, place)
}

/// Nodes that have rows, most rows first, and node -> place among them.
fn rank(order: &[u32], counts: &[u64]) -> (Vec<u32>, Vec<u32>) {
    let used = order
        .iter()
        .copied()
        .filter(|node| counts[*node as usize] > 0);
    let mut ranked: Vec<u32> = used.collect();
    ranked.sort_by_key(|node| std::cmp::Reverse(counts[*node as usize]));
    let mut rank_of = vec![NONE; counts.len()];
    for (rank, node) in (0..).zip(&ranked) {
        rank_of[*node as usize] = rank;
    }
    (ranked, rank_of)
}

/// The same tables sorted by content, and location there -> location here.
fn sorted(from: &Symbols) -> (Symbols, Vec<u32>) {
    let mut to = Symbols::default();
    let (order, strings) = sort(from.strings.len(), |id| from.str(id));
    // String 0 is empty in every table.
    for id in &order[1..] {
        to.strings.push(from.str(*id));
    }
    let string = |id: u32| strings[id as usize];
    let renamed = from.functions.iter().map(|function| Function {
        name: string(function.name),
        system_name: string(function.system_name),
        file: string(function.file),
        ..*function
    });
    let renamed: Vec<Function> = renamed.collect();
    let (order, functions) = sort(renamed.len(), |id| {
        let function = &renamed[id as usize];
        let names = (function.name, function.system_name, function.file);
        (names, function.start_line)
    });
    to.functions = order.iter().map(|id| renamed[*id as usize]).collect();
    let renamed = from.mappings.iter().map(|mapping| Mapping {
        file: string(mapping.file),
        build_id: string(mapping.build_id),
        ..*mapping
    });
    let renamed: Vec<Mapping> = renamed.collect();
    let (order, mappings) = sort(renamed.len(), |id| {
        let mapping = &renamed[id as usize];
        (mapping.file, mapping.build_id, mapping.addressing as u8)
    });
    to.mappings = order.iter().map(|id| renamed[*id as usize]).collect();
    let locations = sort_locations(from, &mut to, (&functions, &mappings));
    (to, locations)
}

/// Copies locations, given the new numbers of functions and mappings.
fn sort_locations(
    from: &Symbols,
    to: &mut Symbols,
    (functions, mappings): (&[u32], &[u32]),
) -> Vec<u32> {
    let lines = from.lines.iter();
    let lines: Vec<(u32, i64, i64)> = lines
        .map(|line| (functions[line.function as usize], line.line, line.column))
        .collect();
    let lines = |id: u32| {
        let (start, end) = from.locations[id as usize].lines;
        &lines[start as usize..end as usize]
    };
    let place = |id: u32| {
        let location = &from.locations[id as usize];
        let mapping = mappings.get(location.mapping as usize);
        (mapping.copied().unwrap_or(NONE), location.address)
    };
    let (order, locations) = sort(from.locations.len(), |id| (place(id), lines(id)));
    for id in order {
        let (mapping, address) = place(id);
        let start = to.lines.len() as u32;
        let lines = lines(id).iter();
        to.lines.extend(lines.map(|&(function, line, column)| Line {
            function,
            line,
            column,
        }));
        to.locations.push(Location {
            mapping,
            address,
            lines: (start, to.lines.len() as u32),
        });
    }
    locations
}

/// Ids by their keys, and id -> place.
fn sort<K: Ord>(count: usize, key: impl Fn(u32) -> K) -> (Vec<u32>, Vec<u32>) {
    let mut order: Vec<u32> = (0..count as u32).collect();
    order.sort_unstable_by_key(|id| key(*id));
    let mut place = vec![0; count];
    for (at, id) in (0..).zip(&order) {
        place[*id as usize] = at;
    }
    (order, place)
}
