//! How many profiles, or spans, are of which size, through Pyroscope's API.

use std::collections::BTreeMap;

use cairn_wire::querier::v1::{HeatmapQueryType, SelectHeatmapRequest, SelectHeatmapResponse};
use cairn_wire::types::v1::{Exemplar, ExemplarType, HeatmapSlot};
use futures::future::join_all;

use super::pyroscope::{NANOS_PER_MILLI, Pyroscope};
use super::singles::{Ids, Of, Set, Single, singles};
use crate::model::Row;

const MILLIS_PER_SECOND: i64 = 1_000;
const BUCKETS: usize = 20;

/// Bucket -> what is of that size.
type Slot = BTreeMap<usize, Vec<(Single, i64)>>;

pub(crate) async fn check(pyroscope: &Pyroscope<'_>, rows: &[&Row]) {
    let (few, others) = (&pyroscope.asked.sum_by, &pyroscope.asked.shape.labels);
    let all = [
        (Of::Profiles, &few[..]),
        (Of::Profiles, &others[..]),
        (Of::Spans, &others[..]),
        (Of::Spans, &[]),
    ];
    let all = all.map(|by| Box::pin(one(pyroscope, rows, by)));
    join_all(all).await;
}

async fn one(pyroscope: &Pyroscope<'_>, rows: &[&Row], (of, group_by): (Of, &[String])) {
    let singles = singles(rows, group_by, of);
    check_singles(pyroscope, singles, (of, group_by)).await;
}

/// Without singles it is not known whose samples are.
pub(crate) async fn check_singles(
    pyroscope: &Pyroscope<'_>,
    singles: Option<BTreeMap<Single, i64>>,
    (of, group_by): (Of, &[String]),
) {
    let (start, step) = slots(pyroscope);
    let request = request(pyroscope, (start, step), (of, group_by));
    let found: SelectHeatmapResponse = pyroscope.client.ask("SelectHeatmap", request).await;
    let Some(singles) = singles else {
        return;
    };
    let said = pyroscope.said(&format!("SelectHeatmap of {of:?} by {group_by:?}"));
    let values = || singles.values().copied();
    let min = values().min().unwrap_or(0);
    let height = (values().max().unwrap_or(0) - min).max(1);
    let mut expected: BTreeMap<Set, BTreeMap<i64, Slot>> = BTreeMap::new();
    for (single, value) in &singles {
        let after = (single.time / NANOS_PER_MILLI - start).max(0);
        let end = start + (after + step - 1) / step * step;
        let bucket = ((value - min) * BUCKETS as i64 / height).min(BUCKETS as i64 - 1) as usize;
        let slots = expected.entry(single.group.clone()).or_default();
        let slot = slots.entry(end).or_default();
        slot.entry(bucket)
            .or_default()
            .push((single.clone(), *value));
    }
    keep_largest(&mut expected, pyroscope.asked.shape.limit);
    let least = |at: usize| min as f64 + height as f64 * (at as f64 / BUCKETS as f64);
    let mut ids = Ids::default();
    for series in found.series {
        let labels = series.labels.into_iter();
        let labels: Set = labels.map(|pair| (pair.name, pair.value)).collect();
        let slots = expected.remove(&labels);
        let mut slots = slots.unwrap_or_else(|| panic!("{said}: {labels:?}"));
        for slot in series.slots {
            for (at, y_min) in slot.y_min.iter().enumerate() {
                let is_near =
                    (y_min - least(at)).abs() <= height as f64 * 1e-9 + y_min.abs() * 1e-15;
                assert!(is_near, "{said}: {y_min} is not {}", least(at));
            }
            let expected = slots.remove(&slot.timestamp);
            let expected = expected.unwrap_or_else(|| panic!("{said}: {slot:?}"));
            check_slot(slot, &expected, (group_by, &mut ids), &said);
        }
        assert_eq!(slots, BTreeMap::new(), "{said}");
    }
    assert_eq!(expected, BTreeMap::new(), "{said}");
}

/// Where the first slot ends, and how long each is: it begins less than a second before the range
/// does, when nothing happens.
fn slots(pyroscope: &Pyroscope<'_>) -> (i64, i64) {
    let (start, end) = pyroscope.asked.millis();
    let step = (pyroscope.asked.step / NANOS_PER_MILLI).max(MILLIS_PER_SECOND);
    let first = start + step - MILLIS_PER_SECOND;
    match first < end {
        true => (first, step),
        false => (start, MILLIS_PER_SECOND),
    }
}

fn request(
    pyroscope: &Pyroscope<'_>,
    (start, step): (i64, i64),
    (of, group_by): (Of, &[String]),
) -> SelectHeatmapRequest {
    let asked = pyroscope.asked;
    let (query_type, exemplar_type) = match of {
        Of::Profiles => (HeatmapQueryType::Individual, ExemplarType::Individual),
        Of::Spans => (HeatmapQueryType::Span, ExemplarType::Span),
    };
    SelectHeatmapRequest {
        profile_type_id: asked.profile_type.to_string(),
        label_selector: asked.label_selector(),
        start,
        end: asked.millis().1,
        step: step as f64 / MILLIS_PER_SECOND as f64,
        group_by: group_by.to_vec(),
        query_type: query_type.into(),
        exemplar_type: exemplar_type.into(),
        limit: Some(asked.shape.limit as i64),
    }
}

/// So many series with the largest sums, all if 0.
fn keep_largest(all: &mut BTreeMap<Set, BTreeMap<i64, Slot>>, limit: usize) {
    let size = |slots: &BTreeMap<i64, Slot>| -> i64 {
        let singles = slots.values().flat_map(BTreeMap::values).flatten();
        singles.map(|(_, value)| value).sum()
    };
    let sized = all.iter().map(|(labels, slots)| (-size(slots), labels));
    let mut sized: Vec<(i64, Set)> = sized.map(|(size, set)| (size, set.clone())).collect();
    sized.sort();
    if limit > 0 {
        for (_, labels) in sized.split_off(limit.min(sized.len())) {
            all.remove(&labels);
        }
    }
}

/// Each bucket that holds something has the largest of it as its exemplar.
fn check_slot(
    slot: HeatmapSlot,
    expected: &Slot,
    (group_by, ids): (&[String], &mut Ids),
    said: &str,
) {
    let count = |at| expected.get(&at).map_or(0, |all| all.len() as i32);
    let counts: Vec<i32> = (0..BUCKETS).map(count).collect();
    assert_eq!(slot.counts, counts, "{said}");
    assert_eq!(slot.y_min.len(), BUCKETS, "{said}");
    assert_eq!(slot.exemplars.len(), expected.len(), "{said}");
    for (exemplar, all) in slot.exemplars.iter().zip(expected.values()) {
        let all = all.iter().map(|(single, value)| (single, *value));
        check_exemplar(exemplar, all, (group_by, ids), said);
    }
}

/// It is of one of the largest, and says of it what the series does not.
pub(crate) fn check_exemplar<'a>(
    exemplar: &Exemplar,
    of: impl Iterator<Item = (&'a Single, i64)>,
    (group_by, ids): (&[String], &mut Ids),
    said: &str,
) {
    let all: Vec<(&Single, i64)> = of.collect();
    let largest = all.iter().map(|(_, value)| *value).max();
    assert_eq!(Some(exemplar.value), largest, "{said}");
    let labels = exemplar.labels.iter();
    let labels: Set = labels
        .map(|pair| (pair.name.clone(), pair.value.clone()))
        .collect();
    let spans = (exemplar.trace_id.clone(), exemplar.span_id.clone());
    let is_it = |(single, value): &&(&Single, i64)| {
        let mut others = single.labels.clone();
        others.retain(|name, _| !group_by.contains(name));
        (*value, single.time / NANOS_PER_MILLI) == (exemplar.value, exemplar.timestamp)
            && others == labels
            && single.span.clone().unwrap_or_default() == spans
    };
    let found = all.iter().find(is_it);
    let (single, _) = found.unwrap_or_else(|| panic!("{said}: {exemplar:?} is none of {all:?}"));
    match single.span {
        None => {
            let profile = (single.labels.clone(), single.time);
            ids.add(&exemplar.profile_id, profile, said);
        }
        Some(_) => assert_eq!(exemplar.profile_id, "", "{said}"),
    }
}
