//! What a query keeps apart: groups of profile labels, sample labels and links.

use cairn_block::ProfileRow;
use cairn_model::NONE;
use cairn_trie::{Group, GroupValue};
use hashbrown::HashMap;
use std::sync::Arc;

use super::Tables;
use super::matching::{LinkText, RowLabels, of_type, text};
use crate::query::{SERIES_LABEL, TIME_LABEL};
use crate::repeats::series_of;
use crate::size::GROUP_BYTES;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
type Pair = (Arc<str>, GroupValue);

/// What groups are made of.
#[derive(Clone, Debug)]
pub(crate) enum By<'a> {
    /// Labels of profiles or rows. Numbers keep their unit.
    Labels(&'a [String]),
    /// The same, where every value becomes text.
    Texts(&'a [String]),
    /// All labels of a profile, none of its rows.
    LabelSet,
    /// All labels and links of rows, none of their profiles.
    RowLabels,
}

/// The group of a profile's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Of {
    /// All are in one group.
    Profile(u32),
    /// It depends on the row; the position of what the profile says about it.
    Rows(u32),
}

/// Groups met so far, and how rows find theirs.
#[derive(Debug)]
pub(crate) struct Groups<'a> {
    by: By<'a>,
    tables: Tables<'a>,
    list: Vec<Group>,
    known: Map<Group, u32>,
    /// By label set and type.
    profiles: Map<(u32, u32), Of>,
    parts: Vec<Part>,
    /// By part, attribute set and link.
    rows: Map<(u32, u32, u32), u32>,
    /// By group and time.
    timed: Map<(u32, i64), u32>,
    /// By group, time, label set and type.
    single: Map<(u32, i64, u32, u32), u32>,
}

fn number(name: &str, value: i64, unit: &str) -> Pair {
    let value = GroupValue::Num {
        value,
        unit: unit.into(),
    };
    (name.into(), value)
}

/// What a profile says about the groups of its rows.
#[derive(Debug)]
struct Part {
    pairs: Vec<Pair>,
    /// Positions of the names that rows may add.
    open: Vec<usize>,
}

impl<'a> Groups<'a> {
    pub(crate) fn new(by: By<'a>, tables: Tables<'a>) -> Self {
        Self {
            by,
            tables,
            list: vec![Group::default()],
            known: Map::from_iter([(Group::default(), 0)]),
            profiles: Map::default(),
            parts: Vec::new(),
            rows: Map::default(),
            timed: Map::default(),
            single: Map::default(),
        }
    }

    pub(crate) fn list(&self) -> &[Group] {
        &self.list
    }

    pub(crate) fn bytes(&self) -> usize {
        self.list.len() * GROUP_BYTES
    }

    pub(crate) fn into_list(self) -> Vec<Group> {
        self.list
    }

    pub(crate) fn of(&mut self, row: &ProfileRow, rows: &RowLabels<'_>) -> Of {
        let key = match self.by {
            By::RowLabels => (0, 0),
            By::LabelSet => (row.label_set, 0),
            By::Labels(_) | By::Texts(_) => (row.label_set, row.profile_type),
        };
        if let Some(known) = self.profiles.get(&key) {
            return *known;
        }
        let part = self.part(row, rows);
        let of = if part.open.is_empty() && !self.open_ended(rows) {
            Of::Profile(self.group(part.pairs))
        } else {
            self.parts.push(part);
            Of::Rows(self.parts.len() as u32 - 1)
        };
        self.profiles.insert(key, of);
        of
    }

    fn open_ended(&self, rows: &RowLabels<'_>) -> bool {
        matches!(self.by, By::RowLabels) && !rows.is_empty()
    }

    pub(crate) fn of_row(&mut self, part: u32, attr: u32, link: u32) -> u32 {
        if let Some(known) = self.rows.get(&(part, attr, link)) {
            return *known;
        }
        let pairs = self.row_pairs(part, attr, link);
        let group = self.group(pairs);
        self.rows.insert((part, attr, link), group);
        group
    }

    /// The part of a group that is of one time.
    pub(crate) fn at(&mut self, group: u32, time: i64) -> u32 {
        if let Some(known) = self.timed.get(&(group, time)) {
            return *known;
        }
        let mut pairs = self.list[group as usize].0.clone();
        pairs.push(number(TIME_LABEL, time, "nanoseconds"));
        let timed = self.group(pairs);
        self.timed.insert((group, time), timed);
        timed
    }

    /// The part of a group that is of one profile.
    pub(crate) fn of_profile(&mut self, group: u32, row: &ProfileRow) -> u32 {
        let key = (group, row.time, row.label_set, row.profile_type);
        if let Some(known) = self.single.get(&key) {
            return *known;
        }
        let labels = &self.tables.index.label_sets[row.label_set as usize];
        let series = series_of(labels, &self.tables.index.types[row.profile_type as usize]);
        let mut pairs = self.list[group as usize].0.clone();
        pairs.push(number(TIME_LABEL, row.time, "nanoseconds"));
        pairs.push(number(SERIES_LABEL, series.cast_signed(), ""));
        let single = self.group(pairs);
        self.single.insert(key, single);
        single
    }

    fn part(&self, row: &ProfileRow, rows: &RowLabels<'_>) -> Part {
        let labels = &self.tables.index.label_sets[row.label_set as usize];
        let pair = |name: &str, value: &str| (name.into(), GroupValue::Str(value.into()));
        let names = match self.by {
            By::RowLabels => {
                return Part {
                    pairs: Vec::new(),
                    open: Vec::new(),
                };
            }
            By::LabelSet => {
                return Part {
                    pairs: labels
                        .iter()
                        .map(|(name, value)| pair(name, value))
                        .collect(),
                    open: Vec::new(),
                };
            }
            By::Labels(names) | By::Texts(names) => names,
        };
        let (mut pairs, mut open) = (Vec::new(), Vec::new());
        for (at, name) in names.iter().enumerate() {
            let of_type = of_type(&self.tables.index.types[row.profile_type as usize], name);
            match of_type.as_deref().or_else(|| labels.get(name)) {
                Some(value) => pairs.push(pair(name, value)),
                None if rows.may_have(name) => open.push(at),
                None => {}
            }
        }
        Part { pairs, open }
    }

    fn row_pairs(&self, part: u32, attr: u32, link: u32) -> Vec<Pair> {
        let attrs = &self.tables.index.attr_sets[attr as usize].0;
        let Part { pairs, open } = &self.parts[part as usize];
        let mut pairs = pairs.clone();
        let names = match self.by {
            By::RowLabels | By::LabelSet => {
                pairs.extend(attrs.iter().cloned());
                pairs.extend(self.link_pairs(link));
                return pairs;
            }
            By::Labels(names) | By::Texts(names) => names,
        };
        let texts = matches!(self.by, By::Texts(_));
        let as_text = |(key, value): &Pair| -> Pair {
            (key.clone(), GroupValue::Str(text(value).as_ref().into()))
        };
        for name in open.iter().map(|at| names[*at].as_str()) {
            let before = pairs.len();
            let of_name = attrs.iter().filter(|(key, _)| **key == *name);
            pairs.extend(of_name.map(|pair| if texts { as_text(pair) } else { pair.clone() }));
            if pairs.len() == before {
                pairs.extend(self.link_pairs(link).filter(|(key, _)| **key == *name));
            }
        }
        pairs
    }

    fn link_pairs(&self, link: u32) -> impl Iterator<Item = Pair> {
        let link = self.tables.links.list[link as usize];
        let pair = |name: &str, id: &[u8]| {
            let value = LinkText::default().hex(id)?.into();
            Some((name.into(), GroupValue::Str(value)))
        };
        let ids = [
            pair("trace_id", &link.trace_id),
            pair("span_id", &link.span_id),
        ];
        ids.into_iter().flatten()
    }

    /// An empty label and an absent one mean the same, except where rows are kept as they were sent.
    fn group(&mut self, mut pairs: Vec<Pair>) -> u32 {
        if !matches!(self.by, By::RowLabels) {
            pairs.retain(|(_, value)| !matches!(value, GroupValue::Str(text) if text.is_empty()));
        }
        pairs.sort();
        if matches!(self.by, By::Texts(_)) {
            pairs.dedup_by(|a, b| a.0 == b.0);
        } else if matches!(self.by, By::Labels(_)) {
            pairs.dedup();
        }
        let group = Group(pairs);
        if let Some(known) = self.known.get(&group) {
            return *known;
        }
        let new = self.list.len() as u32;
        self.known.insert(group.clone(), new);
        self.list.push(group);
        debug_assert!(new != NONE, "groups are fewer than rows");
        new
    }
}
