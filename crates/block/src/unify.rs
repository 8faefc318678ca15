//! Turns the stacks of one or more inputs into those of one block: what no row uses is left out,
//! stacks are numbered by frequency, all else is in the canonical order of [`cairn_trie`], which
//! packs well and merges fast.
//!
//! Inputs are unpacked one after the other, so that memory holds the union and one of them.

use cairn_model::NONE;
use cairn_trie::{Interner, LocationMap, Symbols, Trie, TrieBuilder};

use crate::Error;
use crate::symbols::PackedStacks;
use crate::tables::Stacks;

/// Where the stacks of an input are.
#[derive(Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// A stack's number is its node's.
    Head(&'a Symbols, &'a Trie),
    Block(&'a PackedStacks),
}

impl Origin<'_> {
    /// How many stacks there are.
    pub(crate) fn stacks(self) -> usize {
        match self {
            Self::Head(_, trie) => trie.len(),
            Self::Block(packed) => packed.stacks as usize,
        }
    }
}

/// Why an input can't be added.
pub(crate) enum Refused {
    Unreadable(Error),
    TooLarge(&'static str),
}

/// All stacks so far.
pub(crate) struct Union {
    interner: Interner,
    builder: TrieBuilder,
    /// Rows per node.
    counts: Vec<u32>,
    bytes_max: usize,
}

/// Memory is looked at after so many nodes.
const STRIDE: usize = 16 << 10;

/// What a node takes while it is read, in bytes: itself and its stack, in vectors that grow.
const UNPACK_BYTES: u64 = 40;

/// What a node takes while it is added: where it goes, and whether it is used.
const ADD_BYTES: usize = 5;

impl Union {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            interner: Interner::default(),
            builder: TrieBuilder::default(),
            counts: Vec::new(),
            bytes_max,
        }
    }

    /// Adds the stacks that have rows. `rows` says how many each has, and afterwards which node it
    /// became; [`NONE`] where there are no rows.
    pub(crate) fn add(&mut self, origin: Origin<'_>, rows: &mut [u32]) -> Result<(), Refused> {
        match origin {
            Origin::Head(symbols, trie) => self.add_unpacked(symbols, trie, |stack| stack, rows),
            Origin::Block(packed) => {
                self.check(packed.nodes().saturating_mul(UNPACK_BYTES) as usize)?;
                let stacks = packed.unpack().map_err(Refused::Unreadable)?;
                self.check(stacks.bytes() + stacks.trie.len() * ADD_BYTES)?;
                let node = |stack: u32| stacks.nodes[stack as usize];
                self.add_unpacked(&stacks.symbols, &stacks.trie, node, rows)
            }
        }
    }

    fn add_unpacked(
        &mut self,
        symbols: &Symbols,
        trie: &Trie,
        node_of: impl Fn(u32) -> u32,
        rows: &mut [u32],
    ) -> Result<(), Refused> {
        let names = self.interner.symbols().strings.text_bytes() + symbols.strings.text_bytes();
        if names >= u32::MAX as usize {
            return Err(Refused::TooLarge("4 GiB of names"));
        }
        if self.builder.trie().len() + trie.len() >= NONE as usize {
            return Err(Refused::TooLarge("4 billion frames"));
        }
        let mut used = vec![false; trie.len()];
        for (stack, rows) in (0..).zip(&*rows) {
            used[node_of(stack) as usize] |= *rows > 0;
        }
        for node in (1..trie.len()).rev() {
            if used[node] {
                used[trie.parent(node as u32) as usize] = true;
            }
        }
        let mut locations = LocationMap::default();
        let mut map = vec![NONE; trie.len()];
        map[0] = Trie::ROOT;
        let nodes = (1..trie.len()).filter(|node| used[*node]);
        for (done, node) in nodes.enumerate() {
            if done % STRIDE == 0 {
                self.check(0)?;
            }
            let location = trie.frames()[node];
            let frame = locations.location(&mut self.interner, symbols, location);
            let parent = map[trie.parents()[node] as usize];
            map[node] = self.builder.child(parent, frame);
        }
        self.check(0)?;
        self.counts.resize(self.builder.trie().len(), 0);
        for (stack, rows) in (0..).zip(rows) {
            let node = match *rows {
                0 => NONE,
                _ => map[node_of(stack) as usize],
            };
            if let Some(count) = self.counts.get_mut(node as usize) {
                *count = count.saturating_add(*rows);
            }
            *rows = node;
        }
        Ok(())
    }

    /// Whether there is room for what is there and `more`.
    fn check(&self, more: usize) -> Result<(), Refused> {
        // Growing a table takes as much again for a moment, and so does putting all in order.
        let bytes = 2 * (self.interner.bytes() + self.builder.bytes()) + 4 * self.counts.len();
        match bytes.saturating_add(more) > self.bytes_max {
            true => Err(Refused::TooLarge(
                "more memory for stacks than there may be",
            )),
            false => Ok(()),
        }
    }

    /// The stacks of the block. The nodes of `maps` become stacks.
    pub(crate) fn finish(self, maps: &mut [Vec<u32>]) -> Stacks {
        let Self {
            interner,
            builder,
            counts,
            ..
        } = self;
        let trie = builder.into_trie();
        let (symbols, locations) = interner.into_symbols().ordered();
        let (trie, nodes) = trie.ordered(&locations);
        let mut ordered = vec![0; trie.len()];
        for (node, count) in nodes.iter().zip(&counts) {
            ordered[*node as usize] = *count;
        }
        let (ranked, rank_of) = rank(&ordered);
        for stack in maps.iter_mut().flatten().filter(|stack| **stack != NONE) {
            *stack = rank_of[nodes[*stack as usize] as usize];
        }
        Stacks {
            symbols,
            trie,
            nodes: ranked,
        }
    }
}

/// Nodes that have rows, most rows first, and node -> place among them.
fn rank(counts: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut ranked: Vec<u32> = (0..counts.len() as u32).collect();
    ranked.retain(|node| counts[*node as usize] > 0);
    ranked.sort_by_key(|node| std::cmp::Reverse(counts[*node as usize]));
    let mut rank_of = vec![NONE; counts.len()];
    for (rank, node) in (0..).zip(&ranked) {
        rank_of[*node as usize] = rank;
    }
    (ranked, rank_of)
}
