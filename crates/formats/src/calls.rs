//! Stacks as a tree while they are read: equal stacks become one, and what has the same callers
//! shares them. Owns how it becomes a profile, and what is cut of it.

use cairn_model::{Excess, Limits, Profile, ProfileBuilder, Rest};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;

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

/// A profile, and what had to be changed to keep it.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) profile: Profile,
    pub(crate) truncated_stacks: u64,
    pub(crate) truncated_samples: u64,
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
        budget.node(self.columns)?;
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

    /// One sample for each stack with a value, as far as there is room for them.
    pub(crate) fn finish(mut self, budget: &mut Budget<'_>) -> Result<Finished, Error> {
        let plan = self.plan(budget)?;
        let depth_max = depth_max(budget.limits);
        let is_cut = plan.truncated_stacks > 0 || plan.samples > plan.kept;
        let marker = is_cut.then(|| self.builder.frame(TRUNCATED_FRAME));
        let (mut profile, mut tables) = self.builder.into_parts();
        let (rows, stacks) = (&mut profile.samples, &mut tables.stacks);
        stacks.ends.reserve_exact(plan.kept);
        stacks.locations.reserve_exact(plan.frames);
        rows.stacks.reserve_exact(plan.kept);
        rows.values.reserve_exact(plan.kept * self.columns);
        let mut rest = Rest::default();
        for (row, node) in valued(&self.values, self.columns, &self.nodes) {
            if rows.len() == plan.kept {
                rest.add(row);
                continue;
            }
            rows.values.extend_from_slice(row);
            let cut = marker.filter(|_| node.depth > depth_max);
            let kept = match cut {
                Some(_) => (depth_max.saturating_sub(1)).max(1),
                None => node.depth,
            };
            let mut node = *node;
            for _ in 0..kept {
                stacks.locations.push(node.location);
                node = self.nodes[node.parent as usize];
            }
            stacks.locations.extend(cut);
            rows.stacks.push(stacks.end());
        }
        if let Some(marker) = marker.filter(|_| rest.count() > 0) {
            rows.push_rest(&rest, stacks.push(&[marker]));
        }
        profile.tables = Arc::new(tables);
        Ok(Finished {
            profile,
            truncated_stacks: plan.truncated_stacks,
            truncated_samples: rest.count(),
        })
    }

    /// What becomes of the stacks with a value, or why they are too many or too deep.
    fn plan(&self, budget: &mut Budget<'_>) -> Result<Plan, Error> {
        let limits = budget.limits;
        let depth_max = depth_max(limits);
        let mut plan = Plan::default();
        for (_, node) in valued(&self.values, self.columns, &self.nodes) {
            plan.samples += 1;
            if plan.samples > limits.samples_max {
                continue;
            }
            let frames = node.depth.min(depth_max.max(2)) as usize;
            budget.frames(frames)?;
            plan.kept += 1;
            plan.frames += frames;
            plan.truncated_stacks += u64::from(node.depth > depth_max);
        }
        if limits.excess == Excess::Truncate {
            return Ok(plan);
        }
        if plan.samples > limits.samples_max {
            let what = format!("its {} different stacks", plan.samples);
            return Err(Error::over(what, "samples_max", limits.samples_max));
        }
        if plan.truncated_stacks > 0 {
            let what = format!("frames of {} of its stacks", plan.truncated_stacks);
            return Err(Error::over(what, "depth_max", limits.depth_max));
        }
        Ok(plan)
    }
}

/// How many of the stacks with a value there are, and of those that are kept.
#[derive(Debug, Default)]
struct Plan {
    samples: usize,
    kept: usize,
    /// Of all that are kept, together.
    frames: usize,
    truncated_stacks: u64,
}

/// Stacks with a value, and their values.
fn valued<'a>(
    values: &'a [i64],
    columns: usize,
    nodes: &'a [Node],
) -> impl Iterator<Item = (&'a [i64], &'a Node)> {
    let rows = values.chunks_exact(columns).zip(nodes);
    rows.filter(|(row, _)| row.iter().any(|value| *value != 0))
}

fn depth_max(limits: &Limits) -> u32 {
    u32::try_from(limits.depth_max).unwrap_or(u32::MAX)
}
