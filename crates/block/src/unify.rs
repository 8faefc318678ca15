//! Turns the stacks of one or more inputs into those of one block: what no row uses is left out,
//! stacks are numbered by frequency, nodes in pre-order, locations and names by first use.

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
    let (order, new_of) = preorder(&merged);
    let (ranked, rank_of) = rank(&order, &counts);
    for stack in maps.iter_mut().flatten().filter(|stack| **stack != NONE) {
        *stack = rank_of[*stack as usize];
    }
    let mut renumber = Renumber::new(interner.symbols());
    let mut trie = Trie::default();
    for node in &order[1..] {
        let parent = new_of[merged.parent(*node) as usize];
        trie.push(parent, renumber.location(merged.frame(*node)));
    }
    let stacks = Stacks {
        symbols: renumber.finish(),
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

/// Nodes in pre-order, and node -> place in that order.
fn preorder(trie: &Trie) -> (Vec<u32>, Vec<u32>) {
    let (mut child, mut sibling) = (vec![NONE; trie.len()], vec![NONE; trie.len()]);
    for node in (1..trie.len()).rev() {
        let parent = trie.parents()[node] as usize;
        sibling[node] = child[parent];
        child[parent] = node as u32;
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

/// Copies the parts of tables that are used, numbered by first use; strings sorted.
struct Renumber<'a> {
    from: &'a Symbols,
    to: Symbols,
    locations: Vec<u32>,
    functions: Vec<u32>,
    mappings: Vec<u32>,
}

impl<'a> Renumber<'a> {
    fn new(from: &'a Symbols) -> Self {
        Self {
            from,
            to: Symbols::default(),
            locations: vec![NONE; from.locations.len()],
            functions: vec![NONE; from.functions.len()],
            mappings: vec![NONE; from.mappings.len()],
        }
    }

    fn location(&mut self, id: u32) -> u32 {
        if self.locations[id as usize] != NONE {
            return self.locations[id as usize];
        }
        let Location {
            mapping, address, ..
        } = self.from.locations[id as usize];
        let mapping = match mapping {
            NONE => NONE,
            mapping => self.mapping(mapping),
        };
        let start = self.to.lines.len() as u32;
        let from = self.from;
        for line in from.lines(id) {
            let function = self.function(line.function);
            self.to.lines.push(Line { function, ..*line });
        }
        let lines = (start, self.to.lines.len() as u32);
        let new = self.to.locations.len() as u32;
        self.to.locations.push(Location {
            mapping,
            address,
            lines,
        });
        self.locations[id as usize] = new;
        new
    }

    fn mapping(&mut self, id: u32) -> u32 {
        let slot = &mut self.mappings[id as usize];
        if *slot == NONE {
            *slot = self.to.mappings.len() as u32;
            self.to.mappings.push(self.from.mappings[id as usize]);
        }
        *slot
    }

    fn function(&mut self, id: u32) -> u32 {
        let slot = &mut self.functions[id as usize];
        if *slot == NONE {
            *slot = self.to.functions.len() as u32;
            self.to.functions.push(self.from.functions[id as usize]);
        }
        *slot
    }

    /// Functions and mappings have been copied with the old numbers of their strings.
    fn finish(mut self) -> Symbols {
        let mut used = vec![false; self.from.strings.len()];
        for function in &self.to.functions {
            for id in [function.name, function.system_name, function.file] {
                used[id as usize] = true;
            }
        }
        for mapping in &self.to.mappings {
            used[mapping.file as usize] = true;
            used[mapping.build_id as usize] = true;
        }
        let ids = 1..used.len() as u32;
        let mut sorted: Vec<u32> = ids.filter(|id| used[*id as usize]).collect();
        sorted.sort_unstable_by_key(|id| self.from.str(*id));
        let mut new = vec![0; used.len()];
        for id in sorted {
            new[id as usize] = self.to.strings.push(self.from.str(id));
        }
        for function in &mut self.to.functions {
            let Function {
                name,
                system_name,
                file,
                ..
            } = function;
            for id in [name, system_name, file] {
                *id = new[*id as usize];
            }
        }
        for Mapping { file, build_id, .. } in &mut self.to.mappings {
            *file = new[*file as usize];
            *build_id = new[*build_id as usize];
        }
        self.to
    }
}
