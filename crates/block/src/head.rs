//! Rows on their way to a block, readable from the moment they are in.

mod intake;

use std::sync::Arc;

use cairn_model::{Labels, Link, Profile, ProfileType, ValueType};
use cairn_trie::{Group, GroupValue, Interner, Symbols, Trie, TrieBuilder};
use hashbrown::HashMap;

use crate::tables::{AttrSet, Index, Links, Lsn, ProfileRow, SampleColumns};

pub use intake::Intake;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Profiles of one tenant, interned: what the tail is made of and a block is written from.
#[derive(Debug)]
pub struct Head {
    index: Index,
    links: Links,
    samples: SampleColumns,
    interner: Interner,
    trie: TrieBuilder,
    types: Map<ProfileType, u32>,
    label_sets: Map<Labels, u32>,
    attr_sets: Map<AttrSet, u32>,
    known_links: Map<Link, u32>,
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
            ..Index::default()
        };
        Self {
            index,
            links: Links::default(),
            samples: SampleColumns::default(),
            interner: Interner::default(),
            trie: TrieBuilder::default(),
            types: Map::default(),
            label_sets: Map::default(),
            attr_sets: Map::from_iter([(Group::default(), 0)]),
            known_links: Map::from_iter([(Link::default(), 0)]),
            label_bytes: 0,
        }
    }
}

impl Head {
    /// Takes in all rows of a profile: one run of rows per sample type, zero values left out.
    pub fn append(&mut self, profile: &Profile, origin: &Origin) -> Result<(), Refused> {
        self.intake().append(profile, origin)
    }

    /// Takes in profiles one after another, the faster the more they share.
    pub fn intake(&mut self) -> Intake<'_> {
        Intake::new(self)
    }

    pub fn index(&self) -> &Index {
        &self.index
    }

    pub fn links(&self) -> &Links {
        &self.links
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
            + self.links.list.capacity() * size_of::<Link>()
            + self.known_links.allocation_size()
            + self.interner.bytes()
            + self.trie.bytes()
            + self.label_bytes
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
        let next = self.links.list.len() as u32;
        let id = *self.known_links.entry(link).or_insert(next);
        if id == next {
            self.links.list.push(link);
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
