//! Single profiles and spans that stand for the points of series, through Pyroscope's API.

use std::collections::BTreeMap;

use cairn_wire::querier::v1::{SelectSeriesRequest, SelectSeriesResponse};
use cairn_wire::types::v1::ExemplarType;

use super::pyroscope::{NANOS_PER_MILLI, Pyroscope};
use super::pyroscope_heatmap::check_exemplar;
use super::singles::{Ids, Of, Set, Single, singles};
use crate::fixture::SECOND;
use crate::model::Row;

/// So long that some hold several profiles.
const STEP: i64 = 20 * SECOND;

pub(crate) async fn check(pyroscope: &Pyroscope<'_>, rows: &[&Row]) {
    let (few, others) = (&pyroscope.asked.sum_by, &pyroscope.asked.shape.labels);
    futures::join!(
        Box::pin(one(pyroscope, rows, (Of::Profiles, few))),
        Box::pin(one(pyroscope, rows, (Of::Spans, others))),
    );
}

async fn one(pyroscope: &Pyroscope<'_>, rows: &[&Row], (of, group_by): (Of, &[String])) {
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
        ..SelectSeriesRequest::default()
    };
    let found: SelectSeriesResponse = pyroscope.client.ask("SelectSeries", request).await;
    let Some(singles) = singles(rows, group_by, of) else {
        return;
    };
    let said = pyroscope.said(&format!("exemplars of {of:?} by {group_by:?}"));
    let mut expected: BTreeMap<(Set, i64), Vec<(Single, i64)>> = BTreeMap::new();
    for (single, value) in singles {
        let time = single.time.div_euclid(STEP) * STEP;
        let time = time.max(asked.range.start) / NANOS_PER_MILLI;
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
                check_exemplar(exemplar, all, (group_by, &mut ids), &said);
            }
        }
    }
    assert_eq!(expected, BTreeMap::new(), "{said}: nobody tells of these");
}
