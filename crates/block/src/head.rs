//! Rows on their way to a block, readable from the moment they are in.

use std::sync::Arc;

use cairn_model::{Attr, AttrValue, Labels, Link, Profile, ProfileType, StrId, ValueType};
use cairn_trie::{Group, GroupValue, Interner, Symbols, Trie, TrieBuilder};
use hashbrown::HashMap;

use crate::tables::{AttrSet, Index, Lsn, ProfileRow, RowKey, RowRange, SampleColumns};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Profiles of one tenant, interned: what the tail is made of and a block is written from.
#[derive(Debug)]
pub struct Head {
    index: Index,
    samples: SampleColumns,
    interner: Interner,
    trie: TrieBuilder,
    types: Map<ProfileType, u32>,
    label_sets: Map<Labels, u32>,
    attr_sets: Map<AttrSet, u32>,
    links: Map<Link, u32>,
    label_bytes: usize,
}

/// Why a profile can't be taken in.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    #[error("the head is full: {0}")]
    Full(&'static str),
}

/// What a profile is stored under.
#[derive(Clone, Debug)]
pub struct Origin {
    /// First part of the profile type, such as `process_cpu`.
    pub name: Arc<str>,
    pub labels: Labels,
    /// Start, nanoseconds since the epoch, as the door decided it.
    pub time: i64,
    pub lsn: Lsn,
    pub batch: u128,
}

impl Default for Head {
    fn default() -> Self {
        let index = Index {
            attr_sets: vec![Group::default()],
            links: vec![Link::default()],
            ..Index::default()
        };
        Self {
            index,
            samples: SampleColumns::default(),
            interner: Interner::default(),
            trie: TrieBuilder::default(),
            types: Map::default(),
            label_sets: Map::default(),
            attr_sets: Map::from_iter([(Group::default(), 0)]),
            links: Map::from_iter([(Link::default(), 0)]),
            label_bytes: 0,
        }
    }
}

impl Head {
    /// Takes in all rows of a profile: one run of rows per sample type, zero values left out.
    pub fn append(&mut self, profile: &Profile, origin: &Origin) -> Result<(), Refused> {
        let samples = &profile.samples;
        let rows = samples.len() * profile.types.len() + samples.points.len();
        if self.samples.len() + rows >= u32::MAX as usize
            || self.trie.trie().len() >= u32::MAX as usize / 2
        {
            return Err(Refused::Full("4 billion rows"));
        }
        let label_set = self.label_set(&origin.labels);
        let nodes = self.nodes(profile);
        let attrs = self.attrs(profile);
        let links: Vec<u32> = profile.links.iter().map(|link| self.link(*link)).collect();
        for (column, value_type) in profile.types.iter().enumerate() {
            let profile_type = self.profile_type(profile, origin, value_type);
            let scale = scale(profile, column);
            let start = self.samples.len() as u64;
            let mut total = 0i64;
            for (sample, stack) in nodes.iter().enumerate() {
                let value = profile.values(sample)[column];
                let points = samples.points(sample);
                if value == 0 && points.is_empty() {
                    continue;
                }
                total = total.wrapping_add(value);
                let link = samples.link(sample);
                let key = RowKey {
                    stack: *stack,
                    attr: attrs.get(sample).copied().unwrap_or(0),
                    link: link.map_or(0, |link| links[link as usize]),
                    time: 0,
                };
                if points.is_empty() {
                    self.samples.push(key, value / scale);
                }
                for point in points.iter().filter(|point| point.value != 0) {
                    let time = offset(point.time, origin.time);
                    self.samples
                        .push(RowKey { time, ..key }, point.value / scale);
                }
            }
            let rows = RowRange {
                start,
                len: (self.samples.len() as u64 - start) as u32,
            };
            self.index.profiles.push(ProfileRow {
                label_set,
                profile_type,
                time: origin.time,
                duration: profile.duration,
                period: profile.period,
                scale,
                total,
                rows,
                log: 0,
                lsn: origin.lsn,
                batch: origin.batch,
            });
        }
        Ok(())
    }

    pub fn index(&self) -> &Index {
        &self.index
    }

    pub fn symbols(&self) -> &Symbols {
        self.interner.symbols()
    }

    /// A head's stacks are nodes of its trie: stack number and node number are the same.
    pub fn trie(&self) -> &Trie {
        self.trie.trie()
    }

    /// All rows, in order of arrival.
    pub fn samples(&self) -> &SampleColumns {
        &self.samples
    }

    pub fn is_empty(&self) -> bool {
        self.index.profiles.is_empty()
    }

    /// About how much memory the head takes.
    pub fn bytes(&self) -> usize {
        let SampleColumns {
            stacks,
            values,
            attrs,
            links,
            times,
        } = &self.samples;
        (stacks.capacity() + attrs.capacity() + links.capacity() + times.capacity())
            * size_of::<u32>()
            + values.capacity() * size_of::<i64>()
            + self.index.profiles.capacity() * size_of::<ProfileRow>()
            + self.index.links.capacity() * size_of::<Link>()
            + self.links.allocation_size()
            + self.interner.bytes()
            + self.trie.bytes()
            + self.label_bytes
    }

    fn nodes(&mut self, profile: &Profile) -> Vec<u32> {
        let locations = self.interner.profile_locations(profile);
        let samples = &profile.samples;
        // Neighbours have many callers in common, which need not be looked up again: the stack
        // before, root first, with its nodes.
        let mut path: Vec<(u32, u32)> = Vec::new();
        let mut node = |sample| {
            let stack = samples.stack(sample).iter().rev();
            let common = stack
                .clone()
                .zip(&path)
                .take_while(|(at, (of, _))| *at == of);
            path.truncate(common.count());
            for at in stack.skip(path.len()) {
                let parent = path.last().map_or(Trie::ROOT, |(_, node)| *node);
                let child = self.trie.child(parent, locations[*at as usize]);
                path.push((*at, child));
            }
            path.last().map_or(Trie::ROOT, |(_, node)| *node)
        };
        (0..samples.len()).map(&mut node).collect()
    }

    /// Attribute set per sample; empty if no sample has any.
    fn attrs(&mut self, profile: &Profile) -> Vec<u32> {
        if profile.samples.attrs.is_empty() {
            return Vec::new();
        }
        // Most samples have the attributes of another one, told without looking at their texts.
        let mut known: Map<&[Attr], u32> = Map::from_iter([(&[][..], 0)]);
        let mut texts: Map<StrId, Arc<str>> = Map::default();
        let mut text = |id| Arc::clone(texts.entry(id).or_insert_with(|| profile.str(id).into()));
        let mut sets = Vec::with_capacity(profile.samples.len());
        for sample in 0..profile.samples.len() {
            let attrs = profile.samples.attrs(sample);
            if let Some(set) = known.get(attrs) {
                sets.push(*set);
                continue;
            }
            let pair = |attr: &Attr| {
                let value = match attr.value {
                    AttrValue::Str(id) => GroupValue::Str(text(id)),
                    AttrValue::Num { value, unit } => GroupValue::Num {
                        value,
                        unit: text(unit),
                    },
                };
                (text(attr.key), value)
            };
            let mut pairs: Vec<_> = attrs.iter().map(pair).collect();
            pairs.sort();
            let set = self.attr_set(Group(pairs));
            known.insert(attrs, set);
            sets.push(set);
        }
        sets
    }

    fn attr_set(&mut self, set: AttrSet) -> u32 {
        if let Some(id) = self.attr_sets.get(&set) {
            return *id;
        }
        let id = self.index.attr_sets.len() as u32;
        let bytes = |(key, value): &(Arc<str>, GroupValue)| match value {
            GroupValue::Str(text) => key.len() + text.len() + 192,
            GroupValue::Num { unit, .. } => key.len() + unit.len() + 192,
        };
        self.label_bytes += set.0.iter().map(bytes).sum::<usize>();
        self.attr_sets.insert(set.clone(), id);
        self.index.attr_sets.push(set);
        id
    }

    fn link(&mut self, link: Link) -> u32 {
        let next = self.index.links.len() as u32;
        let id = *self.links.entry(link).or_insert(next);
        if id == next {
            self.index.links.push(link);
        }
        id
    }

    fn label_set(&mut self, labels: &Labels) -> u32 {
        if let Some(id) = self.label_sets.get(labels) {
            return *id;
        }
        let id = self.index.label_sets.len() as u32;
        self.label_bytes += labels
            .iter()
            .map(|(name, value)| name.len() + value.len() + 128)
            .sum::<usize>();
        self.label_sets.insert(labels.clone(), id);
        self.index.label_sets.push(labels.clone());
        id
    }

    fn profile_type(&mut self, profile: &Profile, origin: &Origin, value: &ValueType) -> u32 {
        let text = |id| profile.str(id).to_owned();
        let profile_type = ProfileType {
            name: origin.name.as_ref().to_owned(),
            sample_type: text(value.kind),
            sample_unit: text(value.unit),
            period_type: text(profile.period_type.kind),
            period_unit: text(profile.period_type.unit),
            delta: profile.duration != 0,
        };
        let next = self.index.types.len() as u32;
        let id = *self.types.entry(profile_type.clone()).or_insert(next);
        if id == next {
            self.index.types.push(profile_type);
        }
        id
    }
}

/// Milliseconds since the profile's start, plus 1; earlier is at the start.
fn offset(time: i64, start: i64) -> u32 {
    let millis = i128::from(time) - i128::from(start);
    let millis = (millis / 1_000_000).clamp(0, i128::from(u32::MAX - 2));
    millis as u32 + 1
}

/// The period, if the column counts in whole periods: then counts are stored, which pack better.
fn scale(profile: &Profile, column: usize) -> i64 {
    let same_unit = profile.types[column].unit == profile.period_type.unit
        || profile.str(profile.types[column].unit) == profile.str(profile.period_type.unit);
    let is_whole = |value: i64| value % profile.period == 0;
    let samples = &profile.samples;
    let all_whole = || {
        (0..samples.len()).all(|sample| is_whole(profile.values(sample)[column]))
            && samples.points.iter().all(|point| is_whole(point.value))
    };
    if profile.period > 1 && same_unit && all_whole() {
        profile.period
    } else {
        1
    }
}
