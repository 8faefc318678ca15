//! Series, labels, types and figures through Pyroscope's API, beside Parca's.

use cairn_store::Key;
use cairn_wire::connect::Codec;
use cairn_wire::parca::query::v1alpha1::{LabelsRequest, QueryRangeRequest, ValuesRequest};
use cairn_wire::querier::v1::{
    AnalyzeQueryRequest, AnalyzeQueryResponse, ProfileTypesRequest, ProfileTypesResponse,
    SelectSeriesRequest, SelectSeriesResponse, SeriesRequest, SeriesResponse,
};
use cairn_wire::types::v1::{
    GetProfileStatsRequest, GetProfileStatsResponse, LabelNamesRequest, LabelNamesResponse,
    LabelValuesRequest, LabelValuesResponse, Location, StackTraceSelector,
};

use crate::apis::{CPU, filled};
use crate::fixture::{Fixture, SECOND, START, Sent, encoded, head};
use crate::pyroscope::{CODECS, END_MS, START_MS, path};

/// Values of the labels of a series, and its points: milliseconds and value.
type Line = (Vec<String>, Vec<(i64, f64)>);

#[tokio::test]
async fn series_are_those_of_parca_s_api() {
    let fixture = filled().await;
    let mut parca = fixture.parca().await;
    for sum_by in [vec![], vec!["pod".to_owned()]] {
        let request = QueryRangeRequest {
            query: CPU.to_owned(),
            start: Some(cairn_wire::timestamp(START)),
            end: Some(cairn_wire::timestamp(START + 60 * SECOND)),
            step: Some(cairn_wire::duration(10 * SECOND)),
            sum_by: sum_by.clone(),
            ..QueryRangeRequest::default()
        };
        let expected = parca.query_range(request).await.unwrap().into_inner();
        let expected: Vec<Line> = expected
            .series
            .into_iter()
            .map(|series| {
                let labels = series.labelset.unwrap().labels.into_iter();
                let points = series.samples.into_iter().map(|sample| {
                    let time = cairn_wire::nanos(&sample.timestamp.unwrap()).unwrap();
                    (time / 1_000_000, sample.value as f64)
                });
                (labels.map(|pair| pair.value).collect(), points.collect())
            })
            .collect();
        let request = SelectSeriesRequest {
            profile_type_id: CPU.to_owned(),
            label_selector: "{}".to_owned(),
            start: START_MS,
            end: END_MS,
            group_by: sum_by,
            step: 10.0,
            ..SelectSeriesRequest::default()
        };
        let mut client = fixture.pyroscope().await;
        let answer = client.select_series(request.clone()).await.unwrap();
        let answer = answer.into_inner();
        for codec in CODECS {
            let again = fixture
                .call::<_, SelectSeriesResponse>(&path("SelectSeries"), codec, &request)
                .await;
            assert_eq!(again.body(), &answer);
        }
        let found: Vec<Line> = answer
            .series
            .into_iter()
            .map(|series| {
                let labels = series.labels.into_iter().map(|pair| pair.value);
                let points = series.points.into_iter();
                let points = points.map(|point| (point.timestamp, point.value));
                (labels.collect(), points.collect())
            })
            .collect();
        assert_eq!(found, expected);
        assert!(!found.is_empty());
    }
    fixture.stop().await;
}

#[tokio::test]
async fn series_of_stacks_are_the_parts_of_series() {
    let fixture = filled().await;
    let mut client = fixture.pyroscope().await;
    let request = |names: &[&str], group_by: &[&str]| {
        let call = |name: &&str| Location {
            name: (*name).to_owned(),
        };
        SelectSeriesRequest {
            profile_type_id: CPU.to_owned(),
            label_selector: "{}".to_owned(),
            start: START_MS,
            end: END_MS,
            group_by: group_by.iter().map(|name| (*name).to_owned()).collect(),
            step: 10.0,
            stack_trace_selector: Some(StackTraceSelector {
                call_site: names.iter().map(call).collect(),
                go_pgo: None,
            }),
            ..SelectSeriesRequest::default()
        }
    };
    let all = client.select_series(request(&[], &["pod"])).await.unwrap();
    let below_main = request(&["main"], &["pod"]);
    let below_main = client.select_series(below_main).await.unwrap();
    assert_eq!(below_main.into_inner(), all.into_inner());
    for (group_by, labels) in [(&[][..], 0), (&["pod"][..], 1)] {
        let found = request(&["main", "work", "read"], group_by);
        let found = client.select_series(found).await.unwrap().into_inner();
        assert_eq!(found.series.len(), 1);
        let series = &found.series[0];
        assert_eq!(series.labels.len(), labels);
        let points: Vec<(i64, f64)> = series
            .points
            .iter()
            .map(|point| (point.timestamp, point.value))
            .collect();
        assert_eq!(points, [(START_MS, 12.0)]);
    }
    let steps = SelectSeriesRequest {
        step: 0.001,
        ..request(&["main"], &[])
    };
    let status = client.select_series(steps).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    fixture.stop().await;
}

#[tokio::test]
async fn names_and_values_are_those_of_parca_s_api() {
    let fixture = filled().await;
    let mut parca = fixture.parca().await;
    let labels = parca.labels(LabelsRequest::default()).await.unwrap();
    let mut expected = labels.into_inner().label_names;
    expected.extend(
        [
            "__name__",
            "__period_type__",
            "__period_unit__",
            "__profile_type__",
            "__type__",
            "__unit__",
        ]
        .map(str::to_owned),
    );
    expected.sort();
    let request = LabelNamesRequest {
        start: START_MS,
        end: END_MS,
        ..LabelNamesRequest::default()
    };
    for codec in CODECS {
        let found: LabelNamesResponse = fixture
            .call(&path("LabelNames"), codec, &request)
            .await
            .into_body();
        assert_eq!(found.names, expected);
    }
    let mut client = fixture.pyroscope().await;
    let found = client.label_names(request).await.unwrap().into_inner();
    assert_eq!(found.names, expected);

    for (matchers, values) in [
        (vec![], vec!["cart-1", "cart-2"]),
        (vec![r#"{pod=~"cart-."}"#], vec!["cart-1", "cart-2"]),
        (vec![r#"{pod=~"cart"}"#], vec![]),
        (
            vec![r#"{__profile_type__="memory:inuse_space:bytes:cpu:nanoseconds"}"#],
            vec!["cart-1"],
        ),
        (
            vec![r#"{pod="cart-1"}"#, r#"{pod="cart-2"}"#],
            vec!["cart-1", "cart-2"],
        ),
    ] {
        let matchers: Vec<String> = matchers.into_iter().map(str::to_owned).collect();
        let request = LabelValuesRequest {
            name: "pod".to_owned(),
            matchers: matchers.clone(),
            start: START_MS,
            end: END_MS,
        };
        for codec in CODECS {
            let found: LabelValuesResponse = fixture
                .call(&path("LabelValues"), codec, &request)
                .await
                .into_body();
            assert_eq!(found.names, values, "{matchers:?}");
        }
    }
    fixture.stop().await;
}

#[tokio::test]
async fn regexes_match_whole_values_here_and_any_part_in_parca_s_api() {
    let fixture = filled().await;
    let mut parca = fixture.parca().await;
    let part = ValuesRequest {
        label_name: "pod".to_owned(),
        r#match: vec![r#"{pod=~"cart"}"#.to_owned()],
        ..ValuesRequest::default()
    };
    let found = parca.values(part).await.unwrap().into_inner();
    assert_eq!(found.label_values, ["cart-1", "cart-2"]);
    let legacy = format!(
        "/pyroscope/label-values?label=pod&query={}",
        encoded(r#"{pod=~"cart"}"#)
    );
    assert_eq!(fixture.json(&legacy).await, serde_json::json!([]));
    for (pattern, total) in [("cart", 0), ("cart-1|cart-2", 150)] {
        let render = format!(
            "/pyroscope/render?query={}&from={}&until={}",
            encoded(&format!("{CPU}{{pod=~\"{pattern}\"}}")),
            START / SECOND,
            START / SECOND + 60
        );
        let found = fixture.json(&render).await;
        assert_eq!(found["flamebearer"]["numTicks"], total, "{pattern}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn types_have_ids_of_five_parts() {
    let fixture = filled().await;
    for (start, end) in [(0, 0), (START_MS, END_MS)] {
        let request = ProfileTypesRequest { start, end };
        for codec in CODECS {
            let found: ProfileTypesResponse = fixture
                .call(&path("ProfileTypes"), codec, &request)
                .await
                .into_body();
            let ids: Vec<&str> = found.profile_types.iter().map(|of| &*of.id).collect();
            assert_eq!(ids, ["memory:inuse_space:bytes:cpu:nanoseconds", CPU]);
            let cpu = &found.profile_types[1];
            let parts = (&*cpu.name, &*cpu.sample_type, &*cpu.sample_unit);
            assert_eq!(parts, ("process_cpu", "cpu", "nanoseconds"));
            assert_eq!(
                (&*cpu.period_type, &*cpu.period_unit),
                ("cpu", "nanoseconds")
            );
        }
    }
    fixture.stop().await;
}

#[tokio::test]
async fn what_is_stored_is_told_without_reading_it() {
    let fixture = Fixture::start().await;
    let stats = async |fixture: &Fixture| -> GetProfileStatsResponse {
        let request = GetProfileStatsRequest {};
        let found = fixture
            .call(&path("GetProfileStats"), Codec::Json, &request)
            .await;
        found.into_body()
    };
    assert_eq!(stats(&fixture).await, GetProfileStatsResponse::default());
    // Recorded only: whoever read the blocks would fail.
    for at in [START, START + 50 * SECOND] {
        let sent = Sent {
            at,
            ..Sent::default()
        };
        fixture.record(&head(&[sent])).await;
    }
    let expected = GetProfileStatsResponse {
        data_ingested: true,
        oldest_profile_time: START_MS,
        newest_profile_time: START_MS + 50_000,
    };
    assert_eq!(stats(&fixture).await, expected);

    fixture.stop().await;
}

#[tokio::test]
async fn queries_are_analyzed_with_true_figures() {
    let fixture = filled().await;
    let mut client = fixture.pyroscope().await;
    for (query, start, blocks, rows, series) in [
        ("{}", START_MS, 2, 5, 2),
        (r#"{pod=~"cart-1"}"#, START_MS, 2, 5, 1),
        (r#"{pod=~"cart"}"#, START_MS, 2, 5, 0),
        ("{}", START_MS + 1, 1, 2, 1),
    ] {
        let request = AnalyzeQueryRequest {
            start,
            end: END_MS,
            query: query.to_owned(),
        };
        let found = client.analyze_query(request.clone()).await.unwrap();
        let found = found.into_inner();
        for codec in CODECS {
            let again: AnalyzeQueryResponse = fixture
                .call(&path("AnalyzeQuery"), codec, &request)
                .await
                .into_body();
            assert_eq!(again, found);
        }
        let stored = &found.query_scopes[0];
        assert_eq!(
            (stored.block_count, stored.sample_count),
            (blocks, rows),
            "{query}"
        );
        let impact = found.query_impact.unwrap();
        let parts = [
            stored.index_bytes,
            stored.profile_bytes,
            stored.symbol_bytes,
        ];
        assert!(parts.iter().all(|bytes| *bytes > 0), "{parts:?}");
        assert_eq!(parts.iter().sum::<u64>(), impact.total_bytes_in_time_range);
        assert_eq!(impact.total_queried_series, series, "{query}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn blocks_that_are_open_are_analyzed_without_the_store() {
    let fixture = Fixture::start().await;
    let id = fixture.add(&head(&[Sent::default()])).await;
    let request = AnalyzeQueryRequest {
        start: START_MS,
        end: END_MS,
        query: "{}".to_owned(),
    };
    let mut client = fixture.pyroscope().await;
    let found = client.analyze_query(request.clone()).await.unwrap();
    assert!(found.get_ref().query_scopes[0].index_bytes > 0);
    let key = Key::Block {
        tenant: &fixture.tenant,
        id,
    };
    fixture.store.delete(key).await.unwrap();
    let again = client.analyze_query(request).await.unwrap();
    assert_eq!(again.into_inner(), found.into_inner());
    fixture.stop().await;
}

#[tokio::test]
async fn label_sets_are_those_of_profiles_and_their_types() {
    let fixture = filled().await;
    let sets = async |matchers: &[&str], names: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let request = SeriesRequest {
            matchers: owned(matchers),
            label_names: owned(names),
            start: START_MS,
            end: END_MS,
        };
        let mut client = fixture.pyroscope().await;
        let found = client.series(request.clone()).await.unwrap().into_inner();
        for codec in CODECS {
            let again: SeriesResponse = fixture
                .call(&path("Series"), codec, &request)
                .await
                .into_body();
            assert_eq!(again, found);
        }
        let shown = |set: cairn_wire::types::v1::Labels| {
            let pairs = set.labels.into_iter();
            let pairs = pairs.map(|pair| format!("{}={}", pair.name, pair.value));
            pairs.collect::<Vec<_>>().join(",")
        };
        found.labels_set.into_iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(
        sets(&[], &["service_name", "__type__"]).await,
        [
            "__type__=cpu,service_name=cart",
            "__type__=inuse_space,service_name=cart"
        ]
    );
    assert_eq!(sets(&[], &["pod"]).await, ["pod=cart-1", "pod=cart-2"]);
    assert_eq!(sets(&[], &["endpoint"]).await, ["endpoint=/buy"]);
    assert_eq!(
        sets(&[r#"{pod=~"cart"}"#], &["pod"]).await,
        Vec::<String>::new()
    );
    let of = |name: &str, id: &str, kind: &str, unit: &str, pod: &str| {
        format!(
            "__name__={name},__period_type__=cpu,__period_unit__=nanoseconds,\
             __profile_type__={id},__type__={kind},__unit__={unit},pod={pod},service_name=cart"
        )
    };
    let heap = "memory:inuse_space:bytes:cpu:nanoseconds";
    let all = [
        of("memory", heap, "inuse_space", "bytes", "cart-1"),
        of("process_cpu", CPU, "cpu", "nanoseconds", "cart-1"),
        of("process_cpu", CPU, "cpu", "nanoseconds", "cart-2"),
    ];
    assert_eq!(sets(&[], &[]).await, all);
    assert_eq!(sets(&[r#"{pod="cart-2"}"#, CPU], &[]).await, all[1..]);
    fixture.stop().await;
}
