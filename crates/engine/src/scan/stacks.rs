//! Sums per stack.

use cairn_block::ProfileRow;
use cairn_trie::{Group, Partial, Symbols, Trie, Value};
use hashbrown::HashMap;

use super::groups::{By, Groups, Of};
use super::matching::{RowFilter, RowLabels};
use super::{Run, Tables};
use crate::query::step_start;

#[derive(Debug)]
pub(crate) enum Sums<'a> {
    /// One sum per stack.
    Plain(Vec<i64>),
    Grouped(Box<Grouped<'a>>),
}

/// Sums per stack and group.
#[derive(Debug)]
pub(crate) struct Grouped<'a> {
    groups: Groups<'a>,
    apart: Apart,
    /// By group and stack.
    sums: HashMap<u64, i64, foldhash::fast::RandomState>,
}

/// What of a group is kept apart. Steps are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Apart {
    Groups,
    /// Steps in which samples were taken.
    Times(i64),
    /// Steps in which profiles began.
    Profiles(i64),
}

impl<'a> Sums<'a> {
    pub(super) fn grouped(by: By<'a>, apart: Apart, tables: Tables<'a>) -> Self {
        Self::Grouped(Box::new(Grouped {
            groups: Groups::new(by, tables),
            apart,
            sums: HashMap::default(),
        }))
    }

    /// About how much memory groups take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Grouped(grouped) => grouped.groups.bytes() + grouped.sums.allocation_size(),
        }
    }

    /// Whether any row passed.
    pub(super) fn add(
        &mut self,
        profile: &ProfileRow,
        run: Run<'_>,
        filter: Option<&RowFilter>,
        labels: &RowLabels<'_>,
    ) -> bool {
        let scale = profile.scale;
        let Grouped {
            groups,
            apart,
            sums,
        } = &mut **match self {
            Self::Plain(sums) => return add_plain(sums, run, filter, scale),
            Self::Grouped(grouped) => grouped,
        };
        let of = groups.of(profile, labels);
        run.each(filter, |row| {
            let mut group = match of {
                Of::Profile(group) => group,
                Of::Rows(part) => groups.of_row(part, row.attr, row.link),
            };
            match *apart {
                Apart::Groups => {}
                Apart::Times(step) => {
                    group = groups.at(group, step_start(row.time(profile), step));
                }
                Apart::Profiles(0) => group = groups.of_profile(group, profile),
                Apart::Profiles(step) => {
                    group = groups.at(group, step_start(profile.time, step));
                }
            }
            let key = u64::from(group) << 32 | u64::from(row.stack);
            let sum = sums.entry(key).or_default();
            *sum = sum.wrapping_add(row.value.wrapping_mul(scale));
        })
    }

    /// `nodes` gives the node of each stack; without it they are the same.
    pub(super) fn partial(self, symbols: &Symbols, trie: &Trie, nodes: Option<&[u32]>) -> Partial {
        let node = |stack: u32| nodes.map_or(stack, |nodes| nodes[stack as usize]);
        let (groups, values) = match self {
            Self::Plain(sums) => (vec![Group::default()], plain_values(sums, trie, nodes)),
            Self::Grouped(grouped) => {
                let Grouped { groups, sums, .. } = *grouped;
                let value = |(key, value)| Value {
                    node: node(key as u32),
                    group: (key >> 32) as u32,
                    value,
                };
                let mut values: Vec<Value> = sums.into_iter().map(value).collect();
                values.sort_unstable_by_key(|value| (value.group, value.node));
                (groups.into_list(), sum_equal(values))
            }
        };
        Partial::pruned(symbols, trie, groups, values)
    }
}

/// The hot loop of the whole engine: two columns in, one array of sums.
fn add_plain(sums: &mut [i64], run: Run<'_>, filter: Option<&RowFilter>, scale: i64) -> bool {
    if filter.is_some() {
        return run.each(filter, |row| {
            let sum = &mut sums[row.stack as usize];
            *sum = sum.wrapping_add(row.value.wrapping_mul(scale));
        });
    }
    for (stack, value) in run.stacks.iter().zip(run.values) {
        let sum = &mut sums[*stack as usize];
        *sum = sum.wrapping_add(value.wrapping_mul(scale));
    }
    !run.stacks.is_empty()
}

fn plain_values(sums: Vec<i64>, trie: &Trie, nodes: Option<&[u32]>) -> Vec<Value> {
    let by_node = match nodes {
        None => sums,
        Some(nodes) => {
            let mut by_node = vec![0i64; trie.len()];
            for (node, sum) in nodes.iter().zip(sums) {
                let total = &mut by_node[*node as usize];
                *total = total.wrapping_add(sum);
            }
            by_node
        }
    };
    let values = by_node.iter().enumerate().filter(|(_, sum)| **sum != 0);
    values
        .map(|(node, sum)| Value {
            node: node as u32,
            group: 0,
            value: *sum,
        })
        .collect()
}

/// Two stacks of a block may be one node.
fn sum_equal(values: Vec<Value>) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::with_capacity(values.len());
    for value in values {
        match out.last_mut() {
            Some(last) if (last.group, last.node) == (value.group, value.node) => {
                last.value = last.value.wrapping_add(value.value);
            }
            _ => out.push(value),
        }
    }
    out
}
