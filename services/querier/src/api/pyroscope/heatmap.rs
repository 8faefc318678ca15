//! How many profiles, or spans, are of which size, over time.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use cairn_model::{Labels, ProfileType};
use cairn_wire::querier::v1::{HeatmapQueryType, SelectHeatmapRequest, SelectHeatmapResponse};
use cairn_wire::types::v1::{HeatmapSeries, HeatmapSlot};

use super::exemplars;
use super::rows::{Asked, NANOS_PER_MILLI};
use super::series::{STEPS_MAX, limit_of, step_nanos};
use crate::error::Error;
use crate::querier::{Reply, Session};
use crate::singles::{Of, Single};

/// Of equal height, from the smallest value of all series to the largest.
const BUCKETS: usize = 20;
/// Slots of all series of one answer: each tells all buckets.
const SLOTS_MAX: usize = 100_000;

pub(super) async fn select_heatmap(
    session: Session,
    request: SelectHeatmapRequest,
) -> Result<Reply<SelectHeatmapResponse>, Error> {
    let SelectHeatmapRequest {
        profile_type_id,
        label_selector,
        start,
        end,
        step,
        group_by,
        query_type,
        exemplar_type,
        limit,
    } = request;
    let mut rows = Asked {
        profile_type: &profile_type_id,
        selector: &label_selector,
        start,
        end,
    }
    .rows()?;
    if start == end {
        return Err(Error::Invalid("start must be before end".to_owned()));
    }
    let step = step_nanos(step)? / NANOS_PER_MILLI;
    if end.saturating_sub(start) / step > STEPS_MAX {
        return Err(Error::Invalid(format!(
            "more than {STEPS_MAX} slots: choose a longer step"
        )));
    }
    let of = kind(query_type)?;
    let is_told = match exemplars::wanted(exemplar_type)? {
        None => false,
        Some(wanted) if wanted == of => true,
        Some(_) => {
            return Err(Error::Invalid(
                "exemplar_type must be of the kind that query_type counts".to_owned(),
            ));
        }
    };
    let limit = limit_of(limit)?;
    // The first slot ends where the range starts.
    let first = start.saturating_sub(step).saturating_add(1);
    rows.range.start = first.saturating_mul(NANOS_PER_MILLI);
    let rows = session.resolve(rows).await?;
    let Reply { value, warnings } = session.singles(&rows, &group_by, of).await?;
    let drawn = Drawn {
        start,
        step,
        exemplars: is_told.then_some((rows.profile_type, group_by)),
    };
    let draw = move || drawn.series(value, limit);
    let series = session.compute(draw).await?;
    let value = SelectHeatmapResponse { series };
    Ok(Reply { value, warnings })
}

fn kind(query_type: i32) -> Result<Of, Error> {
    match HeatmapQueryType::try_from(query_type) {
        Ok(HeatmapQueryType::Individual) => Ok(Of::Profiles),
        Ok(HeatmapQueryType::Span) => Ok(Of::Spans),
        Ok(HeatmapQueryType::Unspecified) => {
            Err(Error::Invalid("query_type is required".to_owned()))
        }
        Err(_) => Err(Error::Invalid(format!("unknown query type {query_type}"))),
    }
}

/// How a heatmap looks. Times are milliseconds.
struct Drawn {
    /// Where the first slot ends.
    start: i64,
    step: i64,
    /// What exemplars are of, if they are wanted, and which labels they don't repeat.
    exemplars: Option<(ProfileType, Vec<String>)>,
}

#[derive(Default)]
struct Slot {
    counts: [i32; BUCKETS],
    /// Positions of the largest.
    largest: [Option<usize>; BUCKETS],
}

impl Drawn {
    fn series(&self, singles: Vec<Single>, limit: usize) -> Result<Vec<HeatmapSeries>, Error> {
        let Some(scale) = Scale::of(&singles) else {
            return Ok(Vec::new());
        };
        let mut groups: BTreeMap<&Labels, (i128, Vec<usize>)> = BTreeMap::new();
        for (at, single) in singles.iter().enumerate() {
            let (sum, of_group) = groups.entry(&single.group).or_default();
            *sum += i128::from(single.value);
            of_group.push(at);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        if groups.len() > limit {
            // Stable: equal ones stay in the order of their labels.
            groups.sort_by_key(|(_, (sum, _))| Reverse(*sum));
            groups.truncate(limit);
        }
        let mut count = 0;
        let mut series = Vec::with_capacity(groups.len());
        for (labels, (_, of_group)) in groups {
            let slots = self.slots(&singles, of_group, scale);
            count += slots.len();
            if count > SLOTS_MAX {
                return Err(Error::Invalid(format!(
                    "more than {SLOTS_MAX} slots of all series: choose a longer step, a limit, or \
                     group by fewer labels"
                )));
            }
            let told = slots.into_iter();
            let told = told.map(|(end, slot)| self.told(&singles, (end, slot), scale));
            series.push(HeatmapSeries {
                labels: cairn_wire::pairs_of_labels(labels),
                slots: told.collect(),
            });
        }
        Ok(series)
    }

    /// By the time at which each ends.
    fn slots(&self, singles: &[Single], group: Vec<usize>, scale: Scale) -> BTreeMap<i64, Slot> {
        let mut slots: BTreeMap<i64, Slot> = BTreeMap::new();
        for at in group {
            let single = &singles[at];
            let end = self.end(single.time.div_euclid(NANOS_PER_MILLI));
            let slot = slots.entry(end).or_default();
            let bucket = scale.bucket(single.value);
            slot.counts[bucket] = slot.counts[bucket].saturating_add(1);
            let largest = &mut slot.largest[bucket];
            if largest.is_none_or(|known| singles[known].value < single.value) {
                *largest = Some(at);
            }
        }
        slots
    }

    /// Where the slot of a time ends: a slot holds its end, not its beginning.
    fn end(&self, time: i64) -> i64 {
        let after = time.saturating_sub(self.start).max(0);
        let steps = after / self.step + i64::from(after % self.step != 0);
        self.start.saturating_add(steps.saturating_mul(self.step))
    }

    fn told(&self, singles: &[Single], (end, slot): (i64, Slot), scale: Scale) -> HeatmapSlot {
        let exemplars = self.exemplars.as_ref().map(|(of, group_by)| {
            let largest = slot.largest.iter().flatten();
            let told = largest.map(|at| exemplars::told(&singles[*at], of, group_by));
            told.collect()
        });
        HeatmapSlot {
            timestamp: end,
            y_min: (0..BUCKETS).map(|bucket| scale.min(bucket)).collect(),
            counts: slot.counts.to_vec(),
            exemplars: exemplars.unwrap_or_default(),
        }
    }
}

/// Values from the smallest to the largest, in buckets of equal height.
#[derive(Clone, Copy, Debug)]
struct Scale {
    min: i64,
    /// At least 1.
    height: i128,
}

impl Scale {
    /// None if there are no values.
    fn of(singles: &[Single]) -> Option<Self> {
        let values = || singles.iter().map(|single| single.value);
        let (min, max) = (values().min()?, values().max()?);
        let height = (i128::from(max) - i128::from(min)).max(1);
        Some(Self { min, height })
    }

    fn bucket(self, value: i64) -> usize {
        let above = i128::from(value) - i128::from(self.min);
        let bucket = above * BUCKETS as i128 / self.height;
        usize::try_from(bucket).map_or(0, |bucket| bucket.min(BUCKETS - 1))
    }

    /// The smallest value of a bucket.
    fn min(self, bucket: usize) -> f64 {
        self.min as f64 + self.height as f64 * bucket as f64 / BUCKETS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(pod: &str, millis: i64, value: i64) -> Single {
        let labels = Labels::from_pairs([("pod", pod)]).expect("valid");
        Single {
            group: labels.clone(),
            labels,
            time: millis * NANOS_PER_MILLI,
            value,
            duration: 0,
            link: None,
        }
    }

    fn drawn(exemplars: bool) -> Drawn {
        let of = "cpu:cpu:ns:cpu:ns".parse().expect("five parts");
        Drawn {
            start: 1_000,
            step: 100,
            exemplars: exemplars.then(|| (of, vec!["pod".to_owned()])),
        }
    }

    #[test]
    fn slots_hold_their_end_and_buckets_their_beginning() {
        let singles = vec![
            single("a", 901, 0),
            single("a", 1_000, 5),
            single("a", 1_001, 99),
            single("a", 1_100, 100),
            single("a", 1_101, 10),
        ];
        let series = drawn(false).series(singles, usize::MAX).expect("few slots");
        assert_eq!(series.len(), 1);
        let shown: Vec<(i64, Vec<(usize, i32)>)> = series[0]
            .slots
            .iter()
            .map(|slot| {
                assert_eq!(slot.y_min[..3], [0.0, 5.0, 10.0]);
                assert_eq!(slot.exemplars, []);
                let counts = slot.counts.iter().copied().enumerate();
                let counts = counts.filter(|(_, count)| *count > 0);
                (slot.timestamp, counts.collect())
            })
            .collect();
        assert_eq!(
            shown,
            [
                (1_000, vec![(0, 1), (1, 1)]),
                (1_100, vec![(19, 2)]),
                (1_200, vec![(2, 1)]),
            ]
        );
    }

    #[test]
    fn every_value_is_in_the_bucket_whose_bounds_hold_it() {
        for (min, max) in [(5, 8), (7, 7), (-40, 2), (i64::MIN, i64::MAX)] {
            let scale = Scale::of(&[single("a", 0, min), single("a", 0, max)]).expect("values");
            for value in [min, max, min.midpoint(max)] {
                let bucket = scale.bucket(value);
                assert!(scale.min(bucket) <= value as f64, "{min} {max} {value}");
                let next = scale.min(bucket + 1);
                assert!(
                    bucket == BUCKETS - 1 || value as f64 <= next,
                    "{min} {max} {value}"
                );
            }
        }
    }

    #[test]
    fn the_largest_series_and_the_largest_of_a_bucket_are_told() {
        let singles = vec![
            single("a", 1_000, 100),
            single("b", 1_000, 199),
            single("b", 1_000, 200),
            single("c", 1_000, 1),
        ];
        let series = drawn(true).series(singles, 2).expect("few slots");
        let pods: Vec<&str> = series.iter().map(|of| &*of.labels[0].value).collect();
        assert_eq!(pods, ["b", "a"]);
        let exemplars = &series[0].slots[0].exemplars;
        assert_eq!(exemplars.len(), 1);
        assert_eq!((exemplars[0].value, exemplars[0].timestamp), (200, 1_000));
        assert_eq!(exemplars[0].labels, [], "the series has it");
        assert_ne!(exemplars[0].profile_id, "");
    }
}
