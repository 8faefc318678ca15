//! The trie itself, finished or growing.

use std::hash::BuildHasher as _;

use cairn_model::{NONE, Stacks};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::symbols::{mix, spread, tag_of};

/// Stacks as paths. Node 0 is the root; a node's parent has a smaller number than the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trie {
    parents: Vec<u32>,
    frames: Vec<u32>,
}

impl Default for Trie {
    fn default() -> Self {
        Self {
            parents: vec![NONE],
            frames: vec![NONE],
        }
    }
}

impl Trie {
    pub const ROOT: u32 = 0;

    /// From a parent and a location position per node; `None` unless they make a trie.
    pub fn from_parts(parents: Vec<u32>, frames: Vec<u32>) -> Option<Self> {
        let valid = parents.len() == frames.len()
            && parents.first() == Some(&NONE)
            && frames.first() == Some(&NONE)
            && parents
                .iter()
                .enumerate()
                .skip(1)
                .all(|(node, parent)| (*parent as usize) < node);
        valid.then_some(Self { parents, frames })
    }

    /// The parent and the location of each node.
    pub fn into_parts(self) -> (Vec<u32>, Vec<u32>) {
        (self.parents, self.frames)
    }

    /// Only the root, with room for `nodes`.
    pub fn with_capacity(nodes: usize) -> Self {
        let mut trie = Self {
            parents: Vec::with_capacity(nodes.max(1)),
            frames: Vec::with_capacity(nodes.max(1)),
        };
        trie.parents.push(NONE);
        trie.frames.push(NONE);
        trie
    }

    /// Nodes, the root included.
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// Whether there is nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.len() == 1
    }

    pub fn parent(&self, node: u32) -> u32 {
        self.parents[node as usize]
    }

    /// Position of the node's location; [`NONE`] for the root.
    pub fn frame(&self, node: u32) -> u32 {
        self.frames[node as usize]
    }

    pub fn parents(&self) -> &[u32] {
        &self.parents
    }

    pub fn frames(&self) -> &[u32] {
        &self.frames
    }

    /// Appends a node; its parent must exist.
    pub fn push(&mut self, parent: u32, frame: u32) -> u32 {
        let node = self.len() as u32;
        assert!(parent < node, "a parent comes before its child");
        self.parents.push(parent);
        self.frames.push(frame);
        node
    }

    /// Locations from the node up to, not including, the root: leaf first.
    pub fn stack(&self, mut node: u32) -> impl Iterator<Item = u32> + '_ {
        std::iter::from_fn(move || {
            if node == Self::ROOT {
                return None;
            }
            let frame = self.frame(node);
            node = self.parent(node);
            Some(frame)
        })
    }

    /// Adds each node's value to its parent's, leaves first: self values become totals, in place.
    pub fn roll_up(&self, values: &mut [i64]) {
        assert_eq!(values.len(), self.len(), "one value per node");
        for node in (1..self.len()).rev() {
            let parent = self.parents[node] as usize;
            values[parent] = values[parent].wrapping_add(values[node]);
        }
    }
}

/// A trie that finds or makes the node of a stack.
#[derive(Clone, Debug, Default)]
pub struct TrieBuilder {
    trie: Trie,
    children: HashTable<Child>,
    /// Nodes of whole stacks, each with the hash of its frames.
    known: HashTable<(u32, u32)>,
    hasher: RandomState,
}

/// All that a look-up compares, so that it goes to memory once.
#[derive(Clone, Copy, Debug)]
struct Child {
    parent: u32,
    frame: u32,
    node: u32,
}

#[inline]
fn hash(parent: u32, frame: u32) -> u64 {
    mix(u64::from(parent), u64::from(frame))
}

impl TrieBuilder {
    pub fn trie(&self) -> &Trie {
        &self.trie
    }

    pub fn into_trie(self) -> Trie {
        self.trie
    }

    /// The child of `parent` for `frame`.
    pub fn child(&mut self, parent: u32, frame: u32) -> u32 {
        self.find(parent, frame)
            .unwrap_or_else(|| self.insert(parent, frame))
    }

    #[inline]
    fn find(&self, parent: u32, frame: u32) -> Option<u32> {
        let hash = hash(parent, frame);
        let is_it = |found: &Child| (found.parent, found.frame) == (parent, frame);
        self.children.find(hash, is_it).map(|found| found.node)
    }

    /// A child that is not there yet.
    fn insert(&mut self, parent: u32, frame: u32) -> u32 {
        let child = Child {
            parent,
            frame,
            node: self.trie.push(parent, frame),
        };
        let hash_of = |child: &Child| hash(child.parent, child.frame);
        self.children
            .insert_unique(hash(parent, frame), child, hash_of);
        child.node
    }

    /// The node of a whole stack, given leaf first as profiles have it.
    pub fn stack(&mut self, leaf_first: impl DoubleEndedIterator<Item = u32>) -> u32 {
        leaf_first
            .rev()
            .fold(Trie::ROOT, |node, frame| self.child(node, frame))
    }

    /// The nodes of some of these stacks. `frame` gives the frame of a location, `found` is told the
    /// node of each.
    ///
    /// A stack that was asked for before is known as a whole. Of others, neighbours have many
    /// callers in common, which are looked up once; each look-up needs the one before it and waits
    /// for memory most of its time, so several stacks take turns.
    pub fn stacks(
        &mut self,
        stacks: &Stacks,
        wanted: &[u32],
        mut frame: impl FnMut(u32) -> u32,
        mut found: impl FnMut(u32, u32),
    ) {
        let mut new = Vec::new();
        let mut frames = Vec::new();
        for stack in wanted {
            frames.clear();
            frames.extend(stacks.get(*stack).iter().map(|location| frame(*location)));
            let hash = self.hasher.hash_one(&frames[..]);
            match self.known(hash, &frames) {
                Some(node) => found(*stack, node),
                None => new.push((*stack, hash)),
            }
        }
        let lane = new.len().div_ceil(LANES).max(1);
        let lanes = new.chunks(lane).map(|wanted| Lane::new(stacks, wanted));
        let mut lanes: Vec<Lane<'_>> = lanes.collect();
        while !lanes.is_empty() {
            lanes.retain_mut(|lane| lane.step(self, &mut frame, &mut found));
        }
    }

    /// The node of a stack that was asked for before, by its frames, leaf first, and their hash.
    fn known(&self, hash: u64, frames: &[u32]) -> Option<u32> {
        let is_it = |(tag, node): &(u32, u32)| {
            *tag == tag_of(hash) && self.trie.stack(*node).eq(frames.iter().copied())
        };
        let found = self.known.find(spread(tag_of(hash)), is_it);
        found.map(|(_, node)| *node)
    }

    fn know(&mut self, hash: u64, node: u32) {
        let known = (tag_of(hash), node);
        let place = spread(known.0);
        // Equal stacks may have been asked for at once.
        if self.known.find(place, |other| *other == known).is_none() {
            self.known
                .insert_unique(place, known, |(tag, _)| spread(*tag));
        }
    }

    /// How much memory the trie takes.
    pub fn bytes(&self) -> usize {
        let Trie { parents, frames } = &self.trie;
        (parents.capacity() + frames.capacity()) * size_of::<u32>()
            + self.children.allocation_size()
            + self.known.allocation_size()
    }
}

/// Stacks that are looked up side by side: about as many as there are loads from memory that a core
/// can wait for at once.
const LANES: usize = 8;

/// Stacks that are looked up one after another, each with the hash of its frames.
struct Lane<'a> {
    stacks: &'a Stacks,
    /// The first is being looked up.
    wanted: &'a [(u32, u64)],
    /// Its callers so far, root first, with their nodes; those of the one before until it is begun.
    path: Vec<(u32, u32)>,
    begun: bool,
}

impl<'a> Lane<'a> {
    fn new(stacks: &'a Stacks, wanted: &'a [(u32, u64)]) -> Self {
        Self {
            stacks,
            wanted,
            path: Vec::new(),
            begun: false,
        }
    }

    /// Looks up one node; false if all stacks are found.
    #[inline]
    fn step(
        &mut self,
        trie: &mut TrieBuilder,
        frame: &mut impl FnMut(u32) -> u32,
        found: &mut impl FnMut(u32, u32),
    ) -> bool {
        while let Some((stack, hash)) = self.wanted.first() {
            let locations = self.stacks.get(*stack);
            let mut node = self.begin(locations);
            let rest = &locations[..locations.len() - self.path.len()];
            if let Some(location) = rest.last() {
                if let Some(child) = trie.find(node, frame(*location)) {
                    self.path.push((*location, child));
                    return true;
                }
                // Nor is anything below it.
                for location in rest.iter().rev() {
                    node = trie.insert(node, frame(*location));
                    self.path.push((*location, node));
                }
            }
            found(*stack, node);
            trie.know(*hash, node);
            self.wanted = &self.wanted[1..];
            self.begun = false;
        }
        false
    }

    /// The node of the callers that are found already.
    fn begin(&mut self, locations: &[u32]) -> u32 {
        if !self.begun {
            let callers = locations.iter().rev().zip(&self.path);
            let common = callers.take_while(|(at, (of, _))| *at == of).count();
            self.path.truncate(common);
            self.begun = true;
        }
        self.path.last().map_or(Trie::ROOT, |(_, node)| *node)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stacks_side_by_side_are_what_they_are_alone(
            lists in prop::collection::vec(prop::collection::vec(0_u32..4, 0..6), 10..60),
            known in 0..10_usize,
        ) {
            let mut stacks = Stacks::default();
            for list in &lists {
                stacks.push(list);
            }
            let (mut alone, mut together) = (TrieBuilder::default(), TrieBuilder::default());
            for list in lists.iter().take(known) {
                let frames = list.iter().map(|at| at + 10);
                prop_assert_eq!(alone.stack(frames.clone()), together.stack(frames));
            }
            let wanted: Vec<u32> = (0..lists.len() as u32).rev().collect();
            let mut nodes = vec![NONE; lists.len()];
            together.stacks(&stacks, &wanted[known..], |at| at + 10, |_, _| {});
            let found = |stack: u32, node| nodes[stack as usize] = node;
            together.stacks(&stacks, &wanted, |at| at + 10, found);
            for (list, node) in lists.iter().zip(nodes) {
                alone.stack(list.iter().map(|at| at + 10));
                let frames: Vec<u32> = together.trie().stack(node).map(|frame| frame - 10).collect();
                prop_assert_eq!(&frames, list);
            }
            prop_assert_eq!(alone.trie().len(), together.trie().len());
        }
    }
}
