//! Which label sets may match, by a look at those that have a label instead of at all of them.
//!
//! Narrows down only: what is left is decided label set by label set, so an answer never depends
//! on whether a source has such lists.

use std::ops::Range;

use cairn_block::{Index, Postings};
use cairn_model::{MatchOp, Matcher};
use fixedbitset::FixedBitSet;

use super::matching::RowLabels;

/// Finding the profiles of one type and label set takes about as long as looking at so many.
const SEARCH: usize = 32;

/// Label sets that may match; absent if all may.
pub(super) struct Candidates(Option<FixedBitSet>);

impl Candidates {
    pub(super) fn of(index: &Index, matchers: &[&Matcher], rows: &RowLabels<'_>) -> Self {
        let Some(postings) = &index.postings else {
            return Self(None);
        };
        // Where rows may have the label, those of label sets without it are asked.
        let decided = matchers.iter().filter(|m| !rows.may_have(m.name()));
        let found = decided.map(|matcher| matching(postings, matcher, index.label_sets.len()));
        Self(found.reduce(|mut all, of| {
            all.intersect_with(&of);
            all
        }))
    }

    pub(super) fn may_match(&self, label_set: usize) -> bool {
        let sets = self.0.as_ref();
        sets.is_none_or(|sets| sets.contains(label_set))
    }

    /// Profiles of which some may match, of the types that are wanted.
    pub(super) fn profiles(&self, index: &Index, types: &[bool]) -> Vec<Range<usize>> {
        let all = index.profiles.len();
        let wanted = || (0..).zip(types).filter(|(_, wanted)| **wanted);
        let searches = |sets: &FixedBitSet| sets.count_ones(..) * wanted().count();
        match &self.0 {
            Some(sets) if searches(sets) * SEARCH < all => wanted()
                .flat_map(|(of_type, _)| {
                    let of_set = move |set| index.profiles_of(of_type, set as u32);
                    sets.ones().map(of_set)
                })
                .collect(),
            _ => std::iter::once(0..all).collect(),
        }
    }
}

/// Label sets whose own label matches.
fn matching(postings: &Postings, matcher: &Matcher, label_sets: usize) -> FixedBitSet {
    let mut found = FixedBitSet::with_capacity(label_sets);
    let values = || postings.values(matcher.name());
    if matcher.matches(None) {
        found.insert_range(..);
        for (_, sets) in values().filter(|(value, _)| !matcher.matches(Some(value))) {
            sets.iter().for_each(|set| found.remove(*set as usize));
        }
    } else if matcher.op() == MatchOp::Equal {
        let sets = postings.sets(matcher.name(), matcher.value());
        found.extend(sets.iter().map(|set| *set as usize));
    } else {
        for (_, sets) in values().filter(|(value, _)| matcher.matches(Some(value))) {
            found.extend(sets.iter().map(|set| *set as usize));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use cairn_block::{Block, Head, Options, Origin, write};
    use cairn_model::{Labels, Profile, Tables, TimeRange, ValueType};
    use futures::executor::block_on;
    use proptest::prelude::*;

    use super::super::matching::{Plan, RowLabels};
    use super::super::{self as scan, Tables as Both};
    use super::*;
    use crate::{GroupBy, Query, Question};

    /// Many label sets, some of which have rows with a label of their own.
    fn index() -> (Index, cairn_block::Links) {
        let mut head = Head::default();
        for at in 0..600u32 {
            let mut tables = Tables::default();
            let kind = tables.strings.push(["cpu", "heap"][at as usize % 2]);
            let mut profile = Profile {
                types: vec![ValueType { kind, unit: kind }],
                ..Profile::default()
            };
            profile.samples.stacks.push(tables.stacks.push(&[]));
            profile.samples.values.push(1);
            if at % 7 == 0 {
                let key = tables.strings.push("zone");
                let value = cairn_model::AttrValue::Str(tables.strings.push("z1"));
                profile.samples.attrs.push(cairn_model::Attr { key, value });
            }
            profile
                .samples
                .attr_ends
                .push(profile.samples.attrs.len() as u32);
            profile.tables = std::sync::Arc::new(tables);
            let set = at % 150;
            let mut labels = vec![("pod", format!("p{set}"))];
            labels.extend((set % 3 > 0).then(|| ("app", format!("a{}", set % 3))));
            labels.extend((set % 5 == 0).then(|| ("zone", format!("z{}", set % 4))));
            let origin = Origin {
                name: "x".into(),
                labels: Labels::from_pairs(labels).expect("valid"),
                time: i64::from(at),
                lsn: 1,
                batch: 0,
            };
            head.append(&profile, &origin).expect("room");
        }
        let built = write(&head, Options::default()).expect("written");
        let block = Block::from_bytes(built.bytes).expect("a block");
        let index = block_on(block.index()).expect("read");
        ((*index).clone(), cairn_block::Links::default())
    }

    fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
        let name = prop::sample::select(vec!["pod", "app", "zone", "absent", "__type__"]);
        let op = prop::sample::select(vec![
            MatchOp::Equal,
            MatchOp::NotEqual,
            MatchOp::Regex,
            MatchOp::NotRegex,
        ]);
        let value = prop::sample::select(vec!["", "p7", "a1", "z1", "^p1?5$", "a|p2", "^$", "cpu"]);
        let matcher = (name, op, value);
        let matcher = matcher.prop_map(|(n, op, v)| Matcher::new(n, op, v).expect("valid"));
        prop::collection::vec(matcher, 0..4)
    }

    #[test]
    fn lists_of_label_sets_select_what_a_look_at_all_of_them_does() {
        let (with, links) = index();
        assert!(with.postings.is_some());
        let without = Index {
            postings: None,
            ..with.clone()
        };
        let few = std::cell::Cell::new(0);
        proptest!(ProptestConfig::with_cases(500), |(matchers in matchers())| {
            let query = Query {
                profile_type: None,
                matchers,
                range: TimeRange { start: 20, end: 580 },
                weights: None,
                question: Question::Stacks(GroupBy::Nothing),
            };
            let selected = |index: &Index| {
                let tables = Both { index, links: &links };
                let labels = RowLabels::of(tables);
                let plan = Plan::new(tables, 0, &query, &labels, |_| 1);
                let of = |s: &scan::matching::Selected| (s.profile, s.filter);
                let selected: Vec<_> = plan.selected.iter().map(of).collect();
                (selected, plan.everything)
            };
            prop_assert_eq!(selected(&with), selected(&without));
            let tables = Both { index: &with, links: &links };
            let refs: Vec<&Matcher> = query.matchers.iter().collect();
            let candidates = Candidates::of(&with, &refs, &RowLabels::of(tables));
            let ranges = candidates.profiles(&with, &[true, true]);
            let profiles: usize = ranges.iter().map(Range::len).sum();
            few.set(few.get() + usize::from(profiles < with.profiles.len()));
        });
        assert!(few.get() > 50, "{} looks at few profiles", few.get());
    }
}
