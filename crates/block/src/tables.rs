//! The tables of a block in memory. All positions are local to the block or head.

use std::ops::Range;
use std::sync::Arc;

use cairn_model::{Labels, Link, ProfileType, TimeRange};
use cairn_trie::{Group, Symbols, Trie};

/// Place in one writer's log: entries count from 1.
pub type Lsn = u64;

/// Labels of single samples; a sample refers to a set by position. Set 0 is empty.
pub type AttrSet = Group;

/// A label in memory: most texts are shared.
const PAIR_BYTES: usize = 64;

/// One profile and one of its sample types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileRow {
    /// Position in [`Index::label_sets`].
    pub label_set: u32,
    /// Position in [`Index::types`].
    pub profile_type: u32,
    /// Start, nanoseconds since the epoch.
    pub time: i64,
    /// Nanoseconds covered.
    pub duration: i64,
    pub period: i64,
    /// Stored sample values are this many times smaller than the real ones.
    pub scale: i64,
    /// Sum of the real values.
    pub total: i64,
    /// Where the samples are.
    pub rows: RowRange,
    /// Log that the profile came from: position in [`Origins::logs`](crate::Origins::logs), or
    /// [`NONE`](cairn_model::NONE) if that is not known. A head is of one log.
    pub log: u32,
    /// Log entry that the profile came with; tells the rows of a tail apart.
    pub lsn: Lsn,
    /// Hash of the batch that the profile came in; `0` where repeats can't be told.
    pub batch: u128,
}

/// `len` sample rows from `start` on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowRange {
    pub start: u64,
    pub len: u32,
}

/// All that says which rows a query needs; range queries and label queries read nothing else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Index {
    pub types: Vec<ProfileType>,
    pub label_sets: Vec<Labels>,
    pub profiles: Vec<ProfileRow>,
    /// Set 0 is empty.
    pub attr_sets: Vec<AttrSet>,
    /// Which label sets have a label; only blocks say so.
    pub postings: Option<Postings>,
}

impl Index {
    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let Self {
            types,
            label_sets,
            profiles,
            attr_sets,
            postings,
        } = self;
        postings.as_ref().map_or(0, Postings::bytes)
            + types.len() * size_of::<ProfileType>()
            + label_sets.iter().map(Labels::len).sum::<usize>() * PAIR_BYTES
            + profiles.len() * size_of::<ProfileRow>()
            + attr_sets.iter().map(|set| set.0.len()).sum::<usize>() * PAIR_BYTES
    }

    /// Profiles of a type and a label set, where [`Self::postings`] are known: they lie together.
    pub fn profiles_of(&self, profile_type: u32, label_set: u32) -> Range<usize> {
        let key = |row: &ProfileRow| (row.profile_type, row.label_set);
        let wanted = (profile_type, label_set);
        let start = self.profiles.partition_point(|row| key(row) < wanted);
        let len = self.profiles[start..].partition_point(|row| key(row) == wanted);
        start..start + len
    }

    /// Times of the first and last profile.
    pub fn time_range(&self) -> Option<TimeRange> {
        let range = |row: &ProfileRow| TimeRange {
            start: row.time,
            end: row.time,
        };
        self.profiles.iter().map(range).reduce(|a, b| a.union(&b))
    }
}

/// Label sets by the labels that they have.
#[derive(Clone, Debug, PartialEq)]
pub struct Postings {
    /// Keys and values, sorted.
    labels: Vec<(Arc<str>, Arc<str>)>,
    /// Label sets of each label, one label after the other.
    sets: Vec<u32>,
    /// Where the label sets of each label begin, and the end.
    starts: Vec<usize>,
}

impl Postings {
    /// `pairs` are positions in `labels`, one label set after the other, which `ends` where it says.
    /// None if labels are not sorted.
    pub(crate) fn new(
        labels: Vec<(Arc<str>, Arc<str>)>,
        pairs: &[u32],
        ends: &[usize],
    ) -> Option<Self> {
        if !labels.is_sorted() {
            return None;
        }
        let mut starts = vec![0; labels.len() + 1];
        for pair in pairs {
            starts[*pair as usize + 1] += 1;
        }
        for label in 1..starts.len() {
            starts[label] += starts[label - 1];
        }
        let mut sets = vec![0; starts[labels.len()]];
        let mut next = starts.clone();
        let mut start = 0;
        for (set, end) in (0..).zip(ends) {
            for pair in &pairs[start..*end] {
                let place = &mut next[*pair as usize];
                sets[*place] = set;
                *place += 1;
            }
            start = *end;
        }
        Some(Self {
            labels,
            sets,
            starts,
        })
    }

    /// All values of a key, and the label sets that have them. An empty value is none.
    pub fn values(&self, key: &str) -> impl Iterator<Item = (&str, &[u32])> {
        let start = self.labels.partition_point(|(k, _)| **k < *key);
        let len = self.labels[start..].partition_point(|(k, _)| **k == *key);
        let labels = (start..start + len).map(|at| (&*self.labels[at].1, self.sets_of(at)));
        labels.filter(|(value, _)| !value.is_empty())
    }

    /// The label sets with this label, which is not empty.
    pub fn sets(&self, key: &str, value: &str) -> &[u32] {
        let wanted = (key, value);
        let found = self
            .labels
            .binary_search_by(|(k, v)| (&**k, &**v).cmp(&wanted));
        found.map_or(&[], |at| self.sets_of(at))
    }

    fn sets_of(&self, label: usize) -> &[u32] {
        &self.sets[self.starts[label]..self.starts[label + 1]]
    }

    fn bytes(&self) -> usize {
        self.labels.len() * PAIR_BYTES + size_of_val(&self.sets[..]) + size_of_val(&self.starts[..])
    }
}

/// The requests that samples belong to, and whose profiles those samples are.
#[derive(Clone, Debug, PartialEq)]
pub struct Links {
    /// Link 0 stands for none.
    pub list: Vec<Link>,
    /// Profiles with rows of a link, one link after the other.
    profiles: Vec<u32>,
    /// Where the profiles of each link end. Empty if nobody wrote them down.
    ends: Vec<usize>,
}

impl Default for Links {
    fn default() -> Self {
        Self::new(vec![Link::default()])
    }
}

impl Links {
    /// Links of which nobody knows the profiles.
    pub fn new(list: Vec<Link>) -> Self {
        Self {
            list,
            profiles: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Adds the profiles, in ascending order, of the first link that has none yet.
    pub(crate) fn push_profiles(&mut self, profiles: &[u32]) {
        self.profiles.extend_from_slice(profiles);
        self.ends.push(self.profiles.len());
    }

    /// Whether [`Self::profiles`] are known.
    pub fn has_profiles(&self) -> bool {
        !self.ends.is_empty()
    }

    /// Profiles with rows of a link, ascending. Of link 0 there are none, whichever have such rows.
    pub fn profiles(&self, link: usize) -> &[u32] {
        let start = link.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.profiles[start..self.ends[link]]
    }

    /// About how much memory they take.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.list[..]) + size_of_val(&self.profiles[..]) + size_of_val(&self.ends[..])
    }
}

/// Stacks and what their frames resolve to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stacks {
    pub symbols: Symbols,
    pub trie: Trie,
    /// Stack -> node of the trie. Stacks are numbered from the most frequent one.
    pub nodes: Vec<u32>,
}

impl Stacks {
    /// About how much memory they take.
    pub(crate) fn bytes(&self) -> usize {
        self.symbols.bytes() + (2 * self.trie.len() + self.nodes.len()) * size_of::<u32>()
    }
}

/// A run of sample rows, column by column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleColumns {
    pub stacks: Vec<u32>,
    /// Times the profile's scale.
    pub values: Vec<i64>,
    /// Position in [`Index::attr_sets`]; empty if all are 0.
    pub attrs: Vec<u32>,
    /// Position in [`Links::list`]; empty if all are 0.
    pub links: Vec<u32>,
    /// When the row was sampled: milliseconds since the profile's start, plus 1; 0 if it is not
    /// known. Empty if all are 0.
    pub times: Vec<u32>,
}

impl SampleColumns {
    pub fn len(&self) -> usize {
        self.stacks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.stacks.is_empty()
    }

    pub fn attr(&self, row: usize) -> u32 {
        self.attrs.get(row).copied().unwrap_or(0)
    }

    pub fn link(&self, row: usize) -> u32 {
        self.links.get(row).copied().unwrap_or(0)
    }

    pub fn time(&self, row: usize) -> u32 {
        self.times.get(row).copied().unwrap_or(0)
    }

    pub(crate) fn push(&mut self, key: RowKey, value: i64) {
        let RowKey {
            stack,
            attr,
            link,
            time,
        } = key;
        let rows = self.stacks.len();
        self.stacks.push(stack);
        self.values.push(value);
        for (column, value) in [
            (&mut self.attrs, attr),
            (&mut self.links, link),
            (&mut self.times, time),
        ] {
            if value != 0 && column.is_empty() {
                column.resize(rows, 0);
            }
            if value != 0 || !column.is_empty() {
                column.push(value);
            }
        }
    }
}

/// What tells rows of one profile apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowKey {
    pub(crate) stack: u32,
    pub(crate) attr: u32,
    pub(crate) link: u32,
    pub(crate) time: u32,
}
