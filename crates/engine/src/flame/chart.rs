//! The flame chart: calls as they followed each other, the earliest first.
//!
//! A sample is one stack at one time. A call goes on from one sample to the next if both show it below
//! the same calls, and the second begins about when the first ends.

use cairn_trie::{Group, GroupValue, Partial};

use super::{Flame, KeyBy, Kind, Node};
use crate::query::TIME_LABEL;

/// Samples of one chart: more than anybody can look at.
pub const SAMPLES_MAX: usize = 100_000;
/// Calls of all of these: some hundred bytes each, until those that go on are one.
const CALLS_MAX: u64 = 2_000_000;

/// How long samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Nanoseconds that a value of 1 stands for.
    pub unit: i64,
    /// Nanoseconds by which a sample may begin later than the one before it ends, and still go on
    /// with its calls.
    pub jitter: i64,
}

/// Why there is no chart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoChart {
    /// Clients compare this text.
    #[error("multiple samples for the same timestamp is not allowed: {0}")]
    Overlap(i64),
    #[error("{0} samples; a flame chart shows at most {SAMPLES_MAX}: choose a shorter range")]
    TooMany(usize),
    #[error(
        "samples of {0} calls; a flame chart is made of at most {CALLS_MAX}: choose a shorter range"
    )]
    TooDeep(u64),
}

/// One stack at one time.
struct Sample {
    labels: Group,
    time: i64,
    /// Its group in the flame graph that the chart is made of.
    node: u32,
}

impl Flame {
    /// `partial` is grouped by time, and maybe by labels: each group of labels has a chart of its own.
    pub fn chart(
        partial: &Partial,
        (key_by, is_inverted): (KeyBy, bool),
        pace: Pace,
    ) -> Result<Self, NoChart> {
        if partial.groups.len() > SAMPLES_MAX {
            return Err(NoChart::TooMany(partial.groups.len()));
        }
        let calls = calls(partial);
        if calls > CALLS_MAX {
            return Err(NoChart::TooDeep(calls));
        }
        let flame = match is_inverted {
            true => Self::inverted(partial, key_by),
            false => Self::build(partial, key_by),
        };
        let children = flame.children();
        let of_root = children.first().map_or(&[][..], Vec::as_slice);
        let samples = of_root.iter().filter_map(|node| sample(&flame, *node));
        let mut samples: Vec<Sample> = samples.collect();
        samples.sort_by(|a, b| (&a.labels, a.time).cmp(&(&b.labels, b.time)));
        let mut drawing = Drawing {
            nodes: flame.nodes.first().copied().into_iter().collect(),
            groups: Vec::new(),
            open: Vec::new(),
            base: 0,
            pace,
        };
        for of_labels in samples.chunk_by(|a, b| a.labels == b.labels) {
            drawing.begin(&of_labels[0].labels);
            for sample in of_labels {
                let chain = chain(&flame, &children, sample)?;
                drawing.add(
                    &chain,
                    sample.time,
                    flame.nodes[sample.node as usize].cumulative,
                );
            }
        }
        Ok(Self {
            nodes: drawing.nodes,
            groups: drawing.groups,
            ..flame
        })
    }
}

/// How many nodes the flame graph has at most that a chart is made of.
fn calls(partial: &Partial) -> u64 {
    let (trie, locations) = (&partial.trie, &partial.symbols.locations);
    let mut depths = vec![0u64; trie.len()];
    // Parents come before their children.
    for node in 1..trie.len() {
        let (start, end) = locations[trie.frames()[node] as usize].lines;
        let lines = u64::from(end.saturating_sub(start)).max(1);
        depths[node] = depths[trie.parents()[node] as usize] + lines;
    }
    let values = partial.values.iter();
    let depths = values.map(|value| depths[value.node as usize]);
    depths.fold(0, u64::saturating_add)
}

fn sample(flame: &Flame, node: u32) -> Option<Sample> {
    let Kind::Group(group) = flame.nodes[node as usize].kind else {
        return None;
    };
    let mut time = None;
    let mut labels = flame.groups[group as usize].clone();
    labels.0.retain(|(name, value)| match value {
        GroupValue::Num { value, .. } if **name == *TIME_LABEL => {
            time = Some(*value);
            false
        }
        _ => true,
    });
    let time = time?;
    Some(Sample { labels, time, node })
}

/// The calls of a sample from the outermost on: one below the other, if it is one stack.
fn chain(flame: &Flame, children: &[Vec<u32>], sample: &Sample) -> Result<Vec<Node>, NoChart> {
    let mut chain = Vec::new();
    let mut at = sample.node;
    loop {
        match children[at as usize].as_slice() {
            [] => return Ok(chain),
            [child] if flame.nodes[at as usize].flat == 0 => {
                chain.push(flame.nodes[*child as usize]);
                at = *child;
            }
            _ => return Err(NoChart::Overlap(sample.time)),
        }
    }
}

/// A chart that grows, its nodes in pre-order.
struct Drawing {
    nodes: Vec<Node>,
    groups: Vec<Group>,
    /// The calls of the sample before, outermost first.
    open: Vec<u32>,
    /// What outermost calls hang below.
    base: u32,
    pace: Pace,
}

impl Drawing {
    fn begin(&mut self, labels: &Group) {
        self.open.clear();
        self.base = 0;
        if labels.0.is_empty() {
            return;
        }
        self.groups.push(labels.clone());
        self.base = self.nodes.len() as u32;
        self.nodes.push(Node {
            parent: 0,
            kind: Kind::Group(self.groups.len() as u32 - 1),
            ..Node::BARE
        });
    }

    fn add(&mut self, chain: &[Node], time: i64, value: i64) {
        let mut at = self.base;
        let mut goes_on = true;
        for (depth, call) in chain.iter().enumerate() {
            let before = self.open.get(depth).copied();
            match before.filter(|before| goes_on && self.follows(*before, call, time)) {
                Some(before) => at = before,
                None => {
                    goes_on = false;
                    self.open.truncate(depth);
                    self.open.push(self.nodes.len() as u32);
                    self.nodes.push(Node {
                        parent: at,
                        time,
                        cumulative: 0,
                        flat: 0,
                        ..*call
                    });
                    at = self.nodes.len() as u32 - 1;
                }
            }
            let sum = &mut self.nodes[at as usize].cumulative;
            *sum = sum.wrapping_add(value);
        }
        self.open.truncate(chain.len());
        if self.base != 0 {
            let sum = &mut self.nodes[self.base as usize].cumulative;
            *sum = sum.wrapping_add(value);
        }
        let own = &mut self.nodes[at as usize].flat;
        *own = own.wrapping_add(value);
    }

    fn follows(&self, before: u32, call: &Node, time: i64) -> bool {
        let before = &self.nodes[before as usize];
        let length = before.cumulative.saturating_mul(self.pace.unit);
        let end = before.time.saturating_add(length);
        before.key == call.key && time <= end.saturating_add(self.pace.jitter)
    }
}

#[cfg(test)]
mod tests;
