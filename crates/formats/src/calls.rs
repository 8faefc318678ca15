//! Stacks as a tree while they are read: equal stacks become one, and what has the same callers
//! shares them. Owns how it becomes a profile, and the cutting of deep stacks.

use cairn_model::{Profile, ProfileBuilder};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::budget::Budget;
use crate::{Error, TRUNCATED_FRAME};

/// The empty stack.
pub(crate) const ROOT: u32 = 0;

#[derive(Clone, Copy, Debug)]
struct Node {
    parent: u32,
    location: u32,
    depth: u32,
}

/// Stacks, root first, with the values of their leaves.
#[derive(Debug)]
pub(crate) struct Calls {
    /// For locations, types and times. Samples come from the tree.
    pub(crate) builder: ProfileBuilder,
    columns: usize,
    nodes: Vec<Node>,
    /// Row-major, like a profile's.
    values: Vec<i64>,
    /// Nodes by parent and location.
    children: HashTable<u32>,
    hasher: RandomState,
}

/// A value that does not fit 64 bits.
#[derive(Debug)]
pub(crate) struct Overflow;

impl Calls {
    /// `types` are kinds and units.
    pub(crate) fn new(types: &[(&str, &str)]) -> Self {
        let mut builder = ProfileBuilder::default();
        for (kind, unit) in types {
            builder.value_type(kind, unit);
        }
        let root = Node {
            parent: ROOT,
            location: 0,
            depth: 0,
        };
        Self {
            builder,
            columns: types.len(),
            nodes: vec![root],
            values: vec![0; types.len()],
            children: HashTable::new(),
            hasher: RandomState::default(),
        }
    }

    /// The stack that ends in `location`, called from `parent`.
    pub(crate) fn child(
        &mut self,
        parent: u32,
        location: u32,
        budget: &mut Budget<'_>,
    ) -> Result<u32, Error> {
        let nodes = &self.nodes;
        let hash = self.hasher.hash_one((parent, location));
        let is_it = |at: &u32| {
            let node = &nodes[*at as usize];
            node.parent == parent && node.location == location
        };
        if let Some(at) = self.children.find(hash, is_it) {
            return Ok(*at);
        }
        budget.node()?;
        let at = self.nodes.len() as u32;
        let depth = self.nodes[parent as usize].depth + 1;
        self.nodes.push(Node {
            parent,
            location,
            depth,
        });
        self.values.resize(self.nodes.len() * self.columns, 0);
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.children.insert_unique(hash, at, |at| {
            let node = &nodes[*at as usize];
            hasher.hash_one((node.parent, node.location))
        });
        Ok(at)
    }

    pub(crate) fn parent(&self, node: u32) -> u32 {
        self.nodes[node as usize].parent
    }

    /// Adds to the stack itself, not to its callers.
    pub(crate) fn add(&mut self, node: u32, column: usize, value: i64) -> Result<(), Overflow> {
        let sum = &mut self.values[node as usize * self.columns + column];
        *sum = sum.checked_add(value).ok_or(Overflow)?;
        Ok(())
    }

    /// One sample for each stack with a value, and how many of them were too deep.
    pub(crate) fn finish(mut self, budget: &mut Budget<'_>) -> Result<(Profile, u64), Error> {
        let limits = budget.limits;
        let depth_max = u32::try_from(limits.depth_max).unwrap_or(u32::MAX);
        let rows = self.values.chunks_exact(self.columns).zip(&self.nodes);
        let valued = rows.filter(|(row, _)| row.iter().any(|value| *value != 0));
        let (mut samples, mut frames, mut truncated) = (0, 0, 0);
        for (_, node) in valued {
            samples += 1;
            let kept = node.depth.min(depth_max.max(2)) as usize;
            budget.frames(kept)?;
            frames += kept;
            truncated += u64::from(node.depth > depth_max);
        }
        if samples > limits.samples_max {
            let what = format!("its {samples} different stacks");
            return Err(Error::over(what, "samples_max", limits.samples_max));
        }
        let marker = (truncated > 0).then(|| self.builder.frame(TRUNCATED_FRAME));
        let mut profile = self.builder.finish();
        let rows = &mut profile.samples;
        rows.stack_ends.reserve_exact(samples);
        rows.stacks.reserve_exact(frames);
        rows.values.reserve_exact(samples * self.columns);
        for (at, row) in self.values.chunks_exact(self.columns).enumerate() {
            if row.iter().all(|value| *value == 0) {
                continue;
            }
            rows.values.extend_from_slice(row);
            let mut node = self.nodes[at];
            let cut = marker.filter(|_| node.depth > depth_max);
            let kept = match cut {
                Some(_) => (depth_max.saturating_sub(1)).max(1),
                None => node.depth,
            };
            for _ in 0..kept {
                rows.stacks.push(node.location);
                node = self.nodes[node.parent as usize];
            }
            rows.stacks.extend(cut);
            rows.stack_ends.push(rows.stacks.len() as u32);
        }
        Ok((profile, truncated))
    }
}
