//! What stacks of counters grew by from one profile to the next.

use std::collections::HashMap;

use cairn_engine::repeats::series_of;
use cairn_engine::{GroupBy, Series, step_start};
use cairn_model::{Labels, ProfileType};
use cairn_trie::{Group, Partial, Value};

use crate::error::Error;
use crate::group::OfGroup;

/// Times and totals of the profiles of each counter, by what stands for its series.
type Counters<'a> = HashMap<u64, (&'a Labels, Vec<(i64, i64)>)>;

/// Of one profile of a counter.
struct Counted<'a> {
    series: u64,
    labels: &'a Labels,
    /// Position among its counter's.
    at: usize,
    times: &'a [(i64, i64)],
}

/// `found` has the stacks of all profiles, each apart, and no labels. Labels of samples do not divide
/// what counters grew by: those of `by` are of profiles.
pub(super) fn steps(
    found: &Partial,
    totals: &Series,
    grown: &ProfileType,
    by: &GroupBy,
) -> Result<Partial, Error> {
    let counters = ProfileType {
        delta: false,
        ..grown.clone()
    };
    let mut all = Counters::new();
    for (labels, points) in &totals.0 {
        let points = points.iter().map(|(time, point)| (*time, point.value));
        let series = series_of(labels, &counters);
        all.insert(series, (labels, points.collect()));
    }
    let mut of_groups = Vec::with_capacity(found.groups.len());
    for group in &found.groups {
        let is_folded = !group.0.is_empty();
        let group = OfGroup::read(group)?;
        if is_folded && group.time.is_none() {
            // A difference to what is not there would be the counter itself.
            return Err(Error::Invalid(
                "there are more profiles with stacks of their own than one query has memory for \
                 (query_bytes_max): choose a shorter range, or select fewer"
                    .to_owned(),
            ));
        }
        of_groups.push(counted(&all, &group));
    }
    let mut groups = Groups::new(grown, by);
    let mut sums: HashMap<(u32, u32), i64> = HashMap::new();
    for Value { node, group, value } in &found.values {
        let Some(of) = &of_groups[*group as usize] else {
            continue;
        };
        if of.at > 0 {
            let sum = sums.entry((*node, groups.of(of, of.at))).or_default();
            *sum = sum.wrapping_add(*value);
        }
        let next = of.at + 1;
        let total = |at: usize| of.times.get(at).map(|(_, total)| *total);
        // A counter whose total falls has begun anew, from nothing.
        if total(next).is_some_and(|total| total >= of.times[of.at].1) {
            let sum = sums.entry((*node, groups.of(of, next))).or_default();
            *sum = sum.wrapping_sub(*value);
        }
    }
    let sums = sums.into_iter().filter(|(_, value)| *value != 0);
    let mut values: Vec<Value> = sums
        .map(|((node, group), value)| Value { node, group, value })
        .collect();
    values.sort_unstable_by_key(|value| (value.group, value.node));
    Ok(Partial::pruned(
        &found.symbols,
        &found.trie,
        groups.list,
        values,
    ))
}

fn counted<'a>(all: &'a Counters<'a>, group: &OfGroup) -> Option<Counted<'a>> {
    let series = group.series?;
    let (labels, times) = all.get(&series)?;
    let time = group.time?;
    // What was stored since the totals were asked for has none.
    let at = times.binary_search_by_key(&time, |(time, _)| *time).ok()?;
    Some(Counted {
        series,
        labels,
        at,
        times,
    })
}

/// Groups of what was asked for.
struct Groups<'a> {
    grown: &'a ProfileType,
    by: &'a GroupBy,
    list: Vec<Group>,
    known: HashMap<Group, u32>,
    /// By series and time.
    of_profiles: HashMap<(u64, i64), u32>,
}

impl<'a> Groups<'a> {
    fn new(grown: &'a ProfileType, by: &'a GroupBy) -> Self {
        Self {
            grown,
            by,
            list: vec![Group::default()],
            known: HashMap::from([(Group::default(), 0)]),
            of_profiles: HashMap::new(),
        }
    }

    fn of(&mut self, counted: &Counted<'_>, at: usize) -> u32 {
        let (time, _) = counted.times[at];
        let key = (counted.series, time);
        if let Some(known) = self.of_profiles.get(&key) {
            return *known;
        }
        let group = self.group(counted.labels, time).group();
        let next = self.list.len() as u32;
        let at = *self.known.entry(group.clone()).or_insert(next);
        if at == next {
            self.list.push(group);
        }
        self.of_profiles.insert(key, at);
        at
    }

    fn group(&self, labels: &Labels, time: i64) -> OfGroup {
        let part = |names: &[String]| {
            let kept = labels.iter();
            let kept = kept.filter(|(name, _)| names.iter().any(|of| of == name));
            Labels::from_pairs(kept).expect("a part of valid labels is valid")
        };
        let (GroupBy::Times {
            step,
            labels: names,
        }
        | GroupBy::Profiles {
            step,
            labels: names,
        }) = self.by
        else {
            return OfGroup::default();
        };
        let is_apart = *step == 0 && matches!(self.by, GroupBy::Profiles { .. });
        OfGroup {
            time: Some(step_start(time, *step)),
            series: is_apart.then(|| series_of(labels, self.grown)),
            labels: part(names),
        }
    }
}
