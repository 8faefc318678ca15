//! What counters have grown by.
//!
//! A profile of a counter, such as all bytes that a process ever allocated, holds everything from
//! the counter's start on. What it has grown by in a span of time is the last profile less the
//! first; where it began anew in between, what stood at that moment is added. So growth is a sum
//! of few profiles, each of which counts once or is taken away once: its weight.

use std::collections::BTreeMap;

use cairn_model::{Labels, ProfileType};

use crate::query::{Point, Series};
use crate::repeats::series_of;

/// How often profiles count, by series and time; others don't.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights(BTreeMap<(u64, i64), i64>);

impl Weights {
    /// 0 if it doesn't count.
    pub fn of(&self, series: u64, time: i64) -> i64 {
        self.0.get(&(series, time)).copied().unwrap_or(0)
    }

    /// Series, time and weight of each.
    pub fn iter(&self) -> impl Iterator<Item = (u64, i64, i64)> {
        let all = self.0.iter();
        all.map(|((series, time), weight)| (*series, *time, *weight))
    }

    /// Single profiles of one type, each once.
    pub fn once<'a>(
        profiles: impl IntoIterator<Item = (&'a Labels, i64)>,
        profile_type: &ProfileType,
    ) -> Self {
        let profiles = profiles.into_iter();
        let weight = |(labels, time)| (series_of(labels, profile_type), time, 1);
        profiles.map(weight).collect()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(u64, i64, i64)> for Weights {
    fn from_iter<T: IntoIterator<Item = (u64, i64, i64)>>(all: T) -> Self {
        let keyed = all.into_iter();
        let keyed = keyed.map(|(series, time, weight)| ((series, time), weight));
        Self(keyed.collect())
    }
}

/// What counters have grown by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Growth {
    /// Those of the profiles that give it.
    pub weights: Weights,
    /// Between each profile and the one before, at the time of the former.
    pub series: Series,
}

/// `totals` has every profile of one type, by label set and time. A counter whose total falls has
/// begun anew.
pub fn growth(totals: &Series, profile_type: &ProfileType) -> Growth {
    let mut growth = Growth::default();
    for (labels, points) in &totals.0 {
        let series = series_of(labels, profile_type);
        let mut weigh = |time: i64, more: i64| {
            *growth.weights.0.entry((series, time)).or_default() += more;
        };
        let mut grown = BTreeMap::new();
        let mut before: Option<(i64, i64)> = None;
        for (&time, point) in points {
            match before {
                None => weigh(time, -1),
                Some((earlier, value)) => {
                    let has_begun_anew = point.value < value;
                    if has_begun_anew {
                        weigh(earlier, 1);
                    }
                    let base = if has_begun_anew { 0 } else { value };
                    grown.insert(time, step(point, base, (earlier, time)));
                }
            }
            before = Some((time, point.value));
        }
        if let Some((last, _)) = before {
            weigh(last, 1);
        }
        if !grown.is_empty() {
            growth.series.0.insert(labels.clone(), grown);
        }
    }
    growth.weights.0.retain(|_, weight| *weight != 0);
    growth
}

/// What counters grew by up to the profiles that are wanted, each since the one before it.
pub fn growth_of(
    totals: &Series,
    profile_type: &ProfileType,
    wanted: impl Fn(&Labels, i64) -> bool,
) -> Weights {
    let mut weights = Weights::default();
    for (labels, points) in &totals.0 {
        let series = series_of(labels, profile_type);
        let mut weigh = |time: i64, more: i64| {
            *weights.0.entry((series, time)).or_default() += more;
        };
        for ((earlier, before), (time, point)) in points.iter().zip(points.iter().skip(1)) {
            if wanted(labels, *time) {
                weigh(*time, 1);
                if point.value >= before.value {
                    weigh(*earlier, -1);
                }
            }
        }
    }
    weights.0.retain(|_, weight| *weight != 0);
    weights
}

fn step(point: &Point, base: i64, (earlier, time): (i64, i64)) -> Point {
    let value = point.value.wrapping_sub(base);
    Point {
        value,
        duration: time.saturating_sub(earlier),
        first: value,
        first_time: time,
        last_time: time,
        ..*point
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn totals(values: &[(i64, i64)]) -> Series {
        let point = |(time, value): &(i64, i64)| {
            let point = Point {
                value: *value,
                profiles: 1,
                ..Point::default()
            };
            (*time, point)
        };
        let labels = Labels::from_pairs([("pod", "a")]).expect("valid");
        Series(BTreeMap::from([(
            labels,
            values.iter().map(point).collect(),
        )]))
    }

    /// Times, each with a weight or a value.
    type Timed = Vec<(i64, i64)>;

    fn grown(values: &[(i64, i64)]) -> (Timed, Timed) {
        let profile_type = "memory:alloc_space:bytes:space:bytes".parse();
        let growth = growth(&totals(values), &profile_type.expect("five parts"));
        let weights = growth
            .weights
            .iter()
            .map(|(_, time, weight)| (time, weight));
        let points = growth.series.0.values().flatten();
        let points = points.map(|(time, point)| (*time, point.value));
        (weights.collect(), points.collect())
    }

    #[test]
    fn a_counter_grows_from_its_first_profile_on_and_from_nothing_where_it_begins_anew() {
        let (weights, points) = grown(&[(1, 100), (2, 130), (3, 130), (4, 20), (5, 25)]);
        assert_eq!(weights, [(1, -1), (3, 1), (5, 1)]);
        assert_eq!(points, [(2, 30), (3, 0), (4, 20), (5, 5)]);
        let nothing = grown(&[(1, 100)]);
        assert_eq!(nothing, (vec![], vec![]), "one profile does not say");
        let (weights, _) = grown(&[(1, 100), (2, 7)]);
        assert_eq!(weights, [(2, 1)], "the first cancels itself out");
    }

    #[test]
    fn what_a_counter_grew_by_up_to_one_profile_begins_with_the_one_before() {
        let totals = totals(&[(1, 100), (2, 130), (3, 20), (4, 25)]);
        let profile_type = "memory:alloc_space:bytes:space:bytes".parse();
        let profile_type = profile_type.expect("five parts");
        for (time, expected) in [
            (1, vec![]),
            (2, vec![(1, -1), (2, 1)]),
            (3, vec![(3, 1)]),
            (4, vec![(3, -1), (4, 1)]),
        ] {
            let weights = growth_of(&totals, &profile_type, |_, at| at == time);
            let found: Vec<_> = weights.iter().map(|(_, time, w)| (time, w)).collect();
            assert_eq!(found, expected, "{time}");
        }
    }

    proptest! {
        #[test]
        fn weighted_totals_and_steps_add_up_to_the_same(values in prop::collection::vec(0..50i64, 0..20)) {
            let values: Vec<(i64, i64)> = (0..).zip(values).collect();
            let (weights, points) = grown(&values);
            let by_weight: i64 = weights.iter().map(|(time, weight)| weight * values[*time as usize].1).sum();
            let by_step: i64 = points.iter().map(|(_, value)| value).sum();
            prop_assert_eq!(by_weight, by_step);
            prop_assert!(points.iter().all(|(_, value)| *value >= 0));
        }
    }
}
