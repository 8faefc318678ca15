//! Which types, labels and label sets there are, through Parca's API.

use std::collections::{BTreeMap, BTreeSet};

use cairn_wire::parca::query::v1alpha1::{
    HasProfileDataRequest, LabelsRequest, ProfileTypesRequest, SeriesRequest, ValuesRequest,
};

use super::expected;
use super::names_agree;
use super::parca::Parca;
use crate::model::Row;

pub(crate) async fn check(parca: &Parca<'_>, rows: &[&Row]) {
    // Of one selector, and of two of which the other names no type.
    let asked = parca.asked;
    let either = asked.matching_either();
    let one = vec![asked.selector()];
    let two = vec![asked.selector(), asked.other_selector()];
    futures::join!(
        Box::pin(types(parca)),
        Box::pin(labels(parca, &one, rows)),
        Box::pin(labels(parca, &two, &either)),
    );
}

/// Both are not included.
fn bounds(parca: &Parca<'_>) -> [Option<prost_types::Timestamp>; 2] {
    let range = parca.asked.range;
    [range.start - 1, range.end + 1].map(|time| Some(cairn_wire::timestamp(time)))
}

async fn types(parca: &Parca<'_>) {
    let asked = parca.asked;
    let [start, end] = bounds(parca);
    let mut client = parca.client.clone();
    let types = ProfileTypesRequest { start, end };
    let types = client.profile_types(types).await.unwrap();
    let types = parca.flagged(types).types.into_iter();
    let found: BTreeSet<(String, String, bool)> = types
        .map(|of| (of.name, of.sample_type, of.delta))
        .collect();
    let expected = asked.in_range().into_iter().map(|row| {
        let of = &row.profile_type;
        (of.name.to_string(), of.sample_type.to_string(), of.delta)
    });
    let said = parca.said("ProfileTypes");
    assert_eq!(found, expected.collect(), "{said}");

    let has_data = HasProfileDataRequest::default();
    let has_data = client.has_profile_data(has_data).await.unwrap();
    // Nobody opens a block for that.
    assert!(!has_data.metadata().contains_key("cairn-partial"));
    let has_data = has_data.into_inner().has_data;
    let said = parca.said("HasProfileData");
    assert!(has_data || asked.rows.is_empty(), "{said}");
}

async fn labels(parca: &Parca<'_>, matchers: &[String], rows: &[&Row]) {
    let asked = parca.asked;
    let [start, end] = bounds(parca);
    let labels = LabelsRequest {
        r#match: matchers.to_vec(),
        start,
        end,
        profile_type: None,
    };
    let values = ValuesRequest {
        label_name: asked.label.to_owned(),
        r#match: matchers.to_vec(),
        start,
        end,
        profile_type: None,
    };
    let series = SeriesRequest {
        r#match: matchers.to_vec(),
        start,
        end,
    };
    let [mut a, mut b, mut c] = [(); 3].map(|()| parca.client.clone());
    let (labels, values, series) =
        futures::join!(a.labels(labels), b.values(values), c.series(series));
    let said = |what: &str| format!("{} of {matchers:?}", parca.said(what));
    let labels = parca.flagged(labels.unwrap());
    let expected = expected::names(rows, None);
    names_agree(labels.label_names, expected, asked, &said("Labels"));
    let values = parca.flagged(values.unwrap());
    let expected = expected::names(rows, Some(asked.label));
    names_agree(values.label_values, expected, asked, &said("Values"));
    let series = parca.flagged(series.unwrap());
    let sets = series.labelsets.into_iter().map(|set| {
        let pairs = set.labels.into_iter();
        pairs.map(|label| (label.name, label.value)).collect()
    });
    let sets: BTreeSet<BTreeMap<String, String>> = sets.collect();
    assert_eq!(sets, expected::label_sets(rows), "{}", said("Series"));
}
