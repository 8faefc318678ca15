//! Which types, labels and label sets there are, and what is stored, through Pyroscope's API.

use std::collections::{BTreeMap, BTreeSet};

use cairn_model::ProfileType;
use cairn_wire::querier::v1::{
    AnalyzeQueryRequest, AnalyzeQueryResponse, ProfileTypesRequest, ProfileTypesResponse,
    SeriesRequest, SeriesResponse,
};
use cairn_wire::types::v1::{
    GetProfileStatsRequest, GetProfileStatsResponse, LabelNamesRequest, LabelNamesResponse,
    LabelValuesRequest, LabelValuesResponse,
};

use futures::future::{BoxFuture, join_all};

use super::pyroscope::{NANOS_PER_MILLI, Pyroscope};
use super::{expected, names_agree};
use crate::model::Row;

/// Names that every profile has.
const OF_TYPE: [&str; 6] = [
    "__name__",
    "__period_type__",
    "__period_unit__",
    "__profile_type__",
    "__type__",
    "__unit__",
];

pub(crate) async fn check(pyroscope: &Pyroscope<'_>, rows: &[&Row]) {
    let asked = pyroscope.asked;
    let either = asked.matching_either();
    let one = vec![asked.anchored()];
    let two = vec![asked.anchored(), asked.other_anchored()];
    let all: [BoxFuture<'_, ()>; 6] = [
        Box::pin(types(pyroscope)),
        Box::pin(names(pyroscope, &one, rows)),
        Box::pin(names(pyroscope, &two, &either)),
        Box::pin(series(pyroscope, &one, rows)),
        Box::pin(series(pyroscope, &two, &either)),
        Box::pin(stored(pyroscope, rows)),
    ];
    join_all(all).await;
}

async fn types(pyroscope: &Pyroscope<'_>) {
    let asked = pyroscope.asked;
    let (start, end) = asked.millis();
    let types = ProfileTypesRequest { start, end };
    let types: ProfileTypesResponse = pyroscope.client.ask("ProfileTypes", types).await;
    let found: BTreeSet<String> = types.profile_types.into_iter().map(|of| of.id).collect();
    let rows = asked.in_range().into_iter();
    let expected = rows.map(|row| type_id(&row.profile_type)).collect();
    assert_eq!(found, expected, "{}", pyroscope.said("ProfileTypes"));
}

/// Pyroscope's ids do not say whether values are those of spans of time.
pub(crate) fn type_id(of: &ProfileType) -> String {
    let of = ProfileType {
        delta: false,
        ..of.clone()
    };
    of.to_string()
}

async fn names(pyroscope: &Pyroscope<'_>, matchers: &[String], rows: &[&Row]) {
    let asked = pyroscope.asked;
    let (start, end) = asked.millis();
    let said = |what: &str| format!("{} of {matchers:?}", pyroscope.said(what));
    let request = LabelNamesRequest {
        matchers: matchers.to_vec(),
        start,
        end,
    };
    let values = LabelValuesRequest {
        name: asked.label.to_owned(),
        matchers: matchers.to_vec(),
        start,
        end,
    };
    let (found, values): (LabelNamesResponse, LabelValuesResponse) = futures::join!(
        pyroscope.client.ask("LabelNames", request),
        pyroscope.client.ask("LabelValues", values),
    );
    let mut expected = expected::names(rows, None);
    if !expected.is_empty() {
        expected.extend(OF_TYPE.map(str::to_owned));
    }
    names_agree(found.names, expected, asked, &said("LabelNames"));
    let expected = expected::names(rows, Some(asked.label));
    names_agree(values.names, expected, asked, &said("LabelValues"));
}

async fn series(pyroscope: &Pyroscope<'_>, matchers: &[String], rows: &[&Row]) {
    let asked = pyroscope.asked;
    let (start, end) = asked.millis();
    let request = |label_names: &[String]| SeriesRequest {
        matchers: matchers.to_vec(),
        label_names: label_names.to_vec(),
        start,
        end,
    };
    let names = &asked.shape.labels;
    let (whole, some): (SeriesResponse, SeriesResponse) = futures::join!(
        pyroscope.client.ask("Series", request(&[])),
        pyroscope.client.ask("Series", request(names)),
    );
    let with_type = |row: &&Row| {
        let of = &row.profile_type;
        let values = [
            of.name.to_string(),
            of.period_type.to_string(),
            of.period_unit.to_string(),
            type_id(of),
            of.sample_type.to_string(),
            of.sample_unit.to_string(),
        ];
        let names = OF_TYPE.into_iter().map(str::to_owned);
        let labels = row.labels.iter();
        let labels = labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        labels.chain(names.zip(values)).collect()
    };
    let expected: BTreeSet<BTreeMap<String, String>> = rows.iter().map(with_type).collect();
    let said = format!("{} of {matchers:?}", pyroscope.said("Series"));
    assert_eq!(sets(whole), expected, "{said}");

    let of_names = |row: &&Row| {
        let pair = |name: &String| Some((name.clone(), expected::first(row, name)?));
        names.iter().filter_map(pair).collect()
    };
    let mut expected: BTreeSet<BTreeMap<String, String>> = rows.iter().map(of_names).collect();
    expected.remove(&BTreeMap::new());
    assert_eq!(sets(some), expected, "{said} by {names:?}");
}

fn sets(found: SeriesResponse) -> BTreeSet<BTreeMap<String, String>> {
    let set = |labels: cairn_wire::types::v1::Labels| {
        let pairs = labels.labels.into_iter();
        pairs.map(|pair| (pair.name, pair.value)).collect()
    };
    found.labels_set.into_iter().map(set).collect()
}

/// What the catalog and the tails know without opening a block, and how many series match.
async fn stored(pyroscope: &Pyroscope<'_>, rows: &[&Row]) {
    let (asked, place) = (pyroscope.asked, pyroscope.client.place);
    let request = GetProfileStatsRequest {};
    let (found, headers): (GetProfileStatsResponse, _) = pyroscope
        .client
        .ask_unflagged("GetProfileStats", request)
        .await;
    assert!(!headers.contains_key("cairn-partial"));
    let times = place.stored.into_iter().chain(asked.tail);
    let oldest = times.clone().map(|range| range.start).min();
    let newest = times.map(|range| range.end).max();
    let expected = GetProfileStatsResponse {
        data_ingested: oldest.is_some(),
        oldest_profile_time: oldest.unwrap_or(0) / NANOS_PER_MILLI,
        newest_profile_time: newest.unwrap_or(0) / NANOS_PER_MILLI,
    };
    assert_eq!(found, expected, "{}", pyroscope.said("GetProfileStats"));

    let (start, end) = asked.millis();
    let request = AnalyzeQueryRequest {
        start,
        end,
        query: asked.anchored(),
    };
    let found: AnalyzeQueryResponse = pyroscope.client.ask("AnalyzeQuery", request).await;
    let said = pyroscope.said("AnalyzeQuery");
    let blocks = place.blocks.iter();
    let blocks = blocks.filter(|block| block.range.overlaps(&asked.range));
    let scope = &found.query_scopes[0];
    let impact = found.query_impact.unwrap();
    assert_eq!(scope.block_count as usize, blocks.clone().count(), "{said}");
    let sum: u64 = blocks.clone().map(|block| block.rows).sum();
    assert_eq!(scope.sample_count, sum, "{said}");
    let sum: u64 = blocks.map(|block| block.bytes.len() as u64).sum();
    assert_eq!(impact.total_bytes_in_time_range, sum, "{said}");
    let sets = expected::label_sets(rows).len() as u64;
    assert_eq!(impact.total_queried_series, sets, "{said}");
}
