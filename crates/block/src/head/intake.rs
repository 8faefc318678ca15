//! Profiles to rows of a head. Owns what the parts of a profile became there, for as long as the
//! profiles that come have the same tables.

use std::sync::Arc;

use cairn_model::{Attr, AttrValue, NONE, Profile, StrId, Tables};
use cairn_trie::{Group, GroupValue, LocationMap, Trie};

use super::{Head, Map, Origin, Refused};
use crate::tables::{ProfileRow, RowKey, RowRange};

/// Takes profiles into a head.
#[derive(Debug)]
pub struct Intake<'a> {
    head: &'a mut Head,
    tables: Arc<Tables>,
    known: Known,
}

/// What rows of the tables became, or [`NONE`] where nobody asked yet.
#[derive(Debug, Default)]
struct Known {
    locations: LocationMap,
    nodes: Vec<u32>,
    links: Vec<u32>,
    texts: Map<StrId, Arc<str>>,
    attrs: Map<Box<[Attr]>, u32>,
    /// Stacks that are to be looked up.
    wanted: Vec<u32>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(head: &'a mut Head) -> Self {
        Self {
            head,
            tables: Arc::default(),
            known: Known::default(),
        }
    }

    /// Takes in all rows of a profile: one run of rows per sample type, zero values left out.
    pub fn append(&mut self, profile: &Profile, origin: &Origin) -> Result<(), Refused> {
        let samples = &profile.samples;
        let rows = samples.len() * profile.types.len() + samples.points.len();
        if self.head.samples.len() + rows >= u32::MAX as usize
            || self.head.trie.trie().len() >= u32::MAX as usize / 2
        {
            return Err(Refused::Full("4 billion rows"));
        }
        if !Arc::ptr_eq(&self.tables, &profile.tables) {
            self.tables = Arc::clone(&profile.tables);
            self.known = Known {
                nodes: vec![NONE; self.tables.stacks.len()],
                links: vec![NONE; self.tables.links.len()],
                ..Known::default()
            };
        }
        self.look_up(&samples.stacks);
        let label_set = self.head.label_set(&origin.labels);
        let attrs: Vec<u32> = match samples.attrs.is_empty() {
            true => Vec::new(),
            false => (0..samples.len())
                .map(|sample| self.attrs(samples.attrs(sample)))
                .collect(),
        };
        for (column, value_type) in profile.types.iter().enumerate() {
            let profile_type = self.head.profile_type(profile, origin, value_type);
            let scale = scale(profile, column);
            let start = self.head.samples.len() as u64;
            let total = self.rows(profile, column, &attrs, (origin.time, scale));
            let rows = RowRange {
                start,
                len: (self.head.samples.len() as u64 - start) as u32,
            };
            self.head.index.profiles.push(ProfileRow {
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

    /// Appends the rows of one sample type, and adds them up. `attrs` has a set per sample, or
    /// nothing if none has attributes.
    fn rows(
        &mut self,
        profile: &Profile,
        column: usize,
        attrs: &[u32],
        (start, scale): (i64, i64),
    ) -> i64 {
        let samples = &profile.samples;
        let columns = profile.types.len();
        let mut total = 0_i64;
        for sample in 0..samples.len() {
            let value = samples.values[sample * columns + column];
            let points = samples.points(sample);
            if value == 0 && points.is_empty() {
                continue;
            }
            total = total.wrapping_add(value);
            let key = RowKey {
                stack: self.known.nodes[samples.stacks[sample] as usize],
                attr: attrs.get(sample).copied().unwrap_or(0),
                link: samples.link(sample).map_or(0, |link| self.link(link)),
                time: 0,
            };
            let samples = &mut self.head.samples;
            if points.is_empty() {
                samples.push(key, value / scale);
            }
            for point in points.iter().filter(|point| point.value != 0) {
                let time = offset(point.time, start);
                samples.push(RowKey { time, ..key }, point.value / scale);
            }
        }
        total
    }

    /// Finds the nodes of stacks.
    fn look_up(&mut self, stacks: &[u32]) {
        let Known {
            locations,
            nodes,
            wanted,
            ..
        } = &mut self.known;
        wanted.clear();
        for stack in stacks {
            let node = &mut nodes[*stack as usize];
            if *node == NONE {
                // Once is enough.
                *node = Trie::ROOT;
                wanted.push(*stack);
            }
        }
        let Head { interner, trie, .. } = &mut *self.head;
        let tables = &*self.tables;
        let frame = |location| locations.location_of(interner, tables, location);
        let found = |stack: u32, node| nodes[stack as usize] = node;
        trie.stacks(&tables.stacks, wanted, frame, found);
    }

    fn link(&mut self, link: u32) -> u32 {
        let known = &mut self.known.links[link as usize];
        if *known == NONE {
            *known = self.head.link(self.tables.links[link as usize]);
        }
        *known
    }

    /// The set of a sample's attributes. Most have those of another one, told without looking at
    /// their texts.
    #[inline]
    fn attrs(&mut self, attrs: &[Attr]) -> u32 {
        if attrs.is_empty() {
            return 0;
        }
        match self.known.attrs.get(attrs) {
            Some(set) => *set,
            None => self.new_attrs(attrs),
        }
    }

    fn new_attrs(&mut self, attrs: &[Attr]) -> u32 {
        let (tables, texts) = (&self.tables, &mut self.known.texts);
        let mut text = |id| Arc::clone(texts.entry(id).or_insert_with(|| tables.str(id).into()));
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
        let set = self.head.attr_set(Group(pairs));
        self.known.attrs.insert(attrs.into(), set);
        set
    }
}

/// Milliseconds since the profile's start, plus 1; earlier is at the start.
fn offset(time: i64, start: i64) -> u32 {
    let millis = time.saturating_sub(start) / 1_000_000;
    millis.clamp(0, i64::from(u32::MAX - 2)) as u32 + 1
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
