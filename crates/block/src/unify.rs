//! Turns the stacks of one or more inputs into those of one block: what no row uses is left out,
//! stacks are numbered by frequency, all else is in the canonical order of [`cairn_trie`], which
//! packs well and merges fast.

use cairn_model::NONE;
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
    let (symbols, locations) = interner.symbols().ordered();
    let (trie, nodes) = builder.into_trie().ordered(&locations);
    let mut ordered = vec![0; trie.len()];
    for (node, count) in nodes.iter().zip(&counts) {
        ordered[*node as usize] = *count;
    }
    let (ranked, rank_of) = rank(&ordered);
    for stack in maps.iter_mut().flatten().filter(|stack| **stack != NONE) {
        *stack = rank_of[nodes[*stack as usize] as usize];
    }
    let stacks = Stacks {
        symbols,
        trie,
        nodes: ranked,
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

/// Nodes that have rows, most rows first, and node -> place among them.
fn rank(counts: &[u64]) -> (Vec<u32>, Vec<u32>) {
    let mut ranked: Vec<u32> = (0..counts.len() as u32).collect();
    ranked.retain(|node| counts[*node as usize] > 0);
    ranked.sort_by_key(|node| std::cmp::Reverse(counts[*node as usize]));
    let mut rank_of = vec![NONE; counts.len()];
    for (rank, node) in (0..).zip(&ranked) {
        rank_of[*node as usize] = rank;
    }
    (ranked, rank_of)
}
