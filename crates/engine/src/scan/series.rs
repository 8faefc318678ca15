//! Sums over time. The totals of whole profiles answer most queries; rows are read only where
//! matchers or groups depend on them.

use std::collections::BTreeMap;

use cairn_block::ProfileRow;
use cairn_model::Labels;
use cairn_trie::Group;
use hashbrown::HashMap;

use super::groups::{By, Groups, Of};
use super::matching::{RowFilter, RowLabels, text};
use super::{Run, Tables};
use crate::query::{Point, Series, step_start};
use crate::size::POINT_BYTES;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

#[derive(Debug)]
pub(crate) struct SeriesSum<'a> {
    step: i64,
    groups: Groups<'a>,
    /// By group and start of step.
    points: Map<(u32, i64), Point>,
    /// The profile whose rows came last, and the sums of its groups so far.
    current: Option<(ProfileRow, Map<u32, i64>)>,
}

impl<'a> SeriesSum<'a> {
    pub(super) fn new(step: i64, sum_by: Option<&'a [String]>, tables: Tables<'a>) -> Self {
        let by = sum_by.map_or(By::LabelSet, By::Texts);
        Self {
            step,
            groups: Groups::new(by, tables),
            points: Map::default(),
            current: None,
        }
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.groups.bytes() + self.points.len() * POINT_BYTES
    }

    pub(super) fn needs_rows(&mut self, profile: &ProfileRow, labels: &RowLabels<'_>) -> bool {
        matches!(self.groups.of(profile, labels), Of::Rows(_))
    }

    /// Whether any row passed.
    pub(super) fn add(
        &mut self,
        profile: &ProfileRow,
        run: Run<'_>,
        filter: Option<&RowFilter>,
        labels: &RowLabels<'_>,
    ) -> bool {
        let of = self.groups.of(profile, labels);
        if filter.is_none() && matches!(of, Of::Profile(_)) {
            // Its total says the same.
            return true;
        }
        if self
            .current
            .as_ref()
            .is_none_or(|(last, _)| last != profile)
        {
            self.flush();
        }
        let (_, sums) = self
            .current
            .get_or_insert_with(|| (*profile, Map::default()));
        let groups = &mut self.groups;
        run.each(filter, |row| {
            let group = match of {
                Of::Profile(group) => group,
                Of::Rows(part) => groups.of_row(part, row.attr, row.link),
            };
            let sum = sums.entry(group).or_default();
            *sum = sum.wrapping_add(row.value.wrapping_mul(profile.scale));
        })
    }

    /// Adds a profile of which all rows match, unless its rows were added one by one.
    pub(super) fn add_total(&mut self, profile: &ProfileRow, labels: &RowLabels<'_>) {
        let group = match self.groups.of(profile, labels) {
            Of::Profile(group) => group,
            Of::Rows(part) if profile.rows.len == 0 => self.groups.of_row(part, 0, 0),
            Of::Rows(_) => return,
        };
        self.point(profile, group, profile.total);
    }

    pub(super) fn finish(mut self) -> Series {
        self.flush();
        let labels: Vec<Labels> = self.groups.list().iter().map(labels_of).collect();
        let mut out: BTreeMap<Labels, BTreeMap<i64, Point>> = BTreeMap::new();
        for ((group, time), point) in self.points {
            let points = match out.get_mut(&labels[group as usize]) {
                Some(points) => points,
                None => out.entry(labels[group as usize].clone()).or_default(),
            };
            points.entry(time).or_default().add(&point);
        }
        Series(out)
    }

    fn flush(&mut self) {
        if let Some((profile, sums)) = self.current.take() {
            for (group, sum) in sums {
                self.point(&profile, group, sum);
            }
        }
    }

    fn point(&mut self, profile: &ProfileRow, group: u32, value: i64) {
        let time = step_start(profile.time, self.step);
        self.points.entry((group, time)).or_default().add(&Point {
            value,
            profiles: 1,
            duration: profile.duration,
            first: value,
            first_time: profile.time,
            last_time: profile.time,
            period: profile.period,
        });
    }
}

/// Names that labels of a profile can't have are left out.
fn labels_of(group: &Group) -> Labels {
    let pairs = group.0.iter().map(|(name, value)| (name, text(value)));
    let valid = |name: &str| !name.is_empty() && !name.chars().any(char::is_control);
    Labels::from_pairs(pairs.filter(|(name, _)| valid(name)))
        .expect("names are checked and each is there once")
}
