//! Single profiles and spans that stand for the points of series, through Pyroscope's API.

use std::collections::BTreeMap;

use cairn_wire::querier::v1::{SelectSeriesRequest, SelectSeriesResponse};
use cairn_wire::types::v1::{ExemplarType, StackTraceSelector};

use super::pyroscope::{NANOS_PER_MILLI, Pyroscope};
use super::pyroscope_heatmap::check_exemplar;
use super::singles::{Ids, Of, Set, Single, parts, singles};
use super::stacks::below;
use crate::fixture::SECOND;
use crate::model::Row;

/// So long that some hold several profiles.
const STEP: i64 = 20 * SECOND;

pub(crate) async fn check(pyroscope: &Pyroscope<'_>, rows: &[&Row]) {
    let (few, others) = (&pyroscope.asked.sum_by, &pyroscope.asked.shape.labels);
    futures::join!(
        Box::pin(whole(pyroscope, rows, (Of::Profiles, few))),
        Box::pin(whole(pyroscope, rows, (Of::Spans, others))),
        Box::pin(of_stacks(pyroscope, (Of::Profiles, others))),
        Box::pin(of_stacks(pyroscope, (Of::Spans, few))),
    );
}

async fn whole(pyroscope: &Pyroscope<'_>, rows: &[&Row], (of, group_by): (Of, &[String])) {
    let found = ask(pyroscope, (of, group_by), None).await;
    if let Some(singles) = singles(rows, group_by, of) {
        let said = pyroscope.said(&format!("exemplars of {of:?} by {group_by:?}"));
        check_points(pyroscope, found, (singles, group_by), &said);
    }
}

/// Only what the selected stacks have of each counts.
async fn of_stacks(pyroscope: &Pyroscope<'_>, (of, group_by): (Of, &[String])) {
    let (names, selector) = pyroscope.call_site();
    // What adds up to nothing may be there or not.
    if names.is_empty() || !pyroscope.has_no_sign() {
        return;
    }
    let found = ask(pyroscope, (of, group_by), Some(selector)).await;
    let selected = below(pyroscope.stacks(), &names);
    let rows: Vec<&Row> = selected.iter().map(|stack| stack.row).collect();
    let singles = parts(&rows, group_by, of);
    let said = format!("exemplars of {of:?} by {group_by:?} below {names:?}");
    check_points(
        pyroscope,
        found,
        (singles, group_by),
        &pyroscope.said(&said),
    );
}

pub(crate) async fn ask(
    pyroscope: &Pyroscope<'_>,
    (of, group_by): (Of, &[String]),
    stack_trace_selector: Option<StackTraceSelector>,
) -> SelectSeriesResponse {
    let asked = pyroscope.asked;
    let (start, end) = asked.millis();
    let exemplar_type = match of {
        Of::Profiles => ExemplarType::Individual,
        Of::Spans => ExemplarType::Span,
    };
    let request = SelectSeriesRequest {
        profile_type_id: asked.profile_type.to_string(),
        label_selector: asked.label_selector(),
        start,
        end,
        group_by: group_by.to_vec(),
        step: STEP as f64 / SECOND as f64,
        exemplar_type: exemplar_type.into(),
        stack_trace_selector,
        ..SelectSeriesRequest::default()
    };
    pyroscope.client.ask("SelectSeries", request).await
}

pub(crate) fn check_points(
    pyroscope: &Pyroscope<'_>,
    found: SelectSeriesResponse,
    (singles, group_by): (BTreeMap<Single, i64>, &[String]),
    said: &str,
) {
    let mut expected: BTreeMap<(Set, i64), Vec<(Single, i64)>> = BTreeMap::new();
    for (single, value) in singles {
        let time = single.time.div_euclid(STEP) * STEP;
        let time = time.max(pyroscope.asked.range.start) / NANOS_PER_MILLI;
        let of_point = expected.entry((single.group.clone(), time)).or_default();
        of_point.push((single, value));
    }
    let mut ids = Ids::default();
    for series in found.series {
        let labels = series.labels.into_iter();
        let labels: Set = labels.map(|pair| (pair.name, pair.value)).collect();
        for point in series.points {
            let all = expected.remove(&(labels.clone(), point.timestamp));
            let all = all.unwrap_or_default();
            let is_told = usize::from(!all.is_empty());
            assert_eq!(point.exemplars.len(), is_told, "{said}: {point:?}");
            for exemplar in &point.exemplars {
                let all = all.iter().map(|(single, value)| (single, *value));
                check_exemplar(exemplar, all, (group_by, &mut ids), said);
            }
        }
    }
    assert_eq!(expected, BTreeMap::new(), "{said}: nobody tells of these");
}
