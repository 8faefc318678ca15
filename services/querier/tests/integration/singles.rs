//! Single profiles and spans through Pyroscope's API: heatmaps, exemplars, selection by id.

use std::collections::BTreeMap;

use cairn_wire::EncodedProfile;
use cairn_wire::querier::v1::{
    HeatmapQueryType, ProfileFormat, SelectHeatmapRequest, SelectHeatmapResponse,
    SelectMergeProfileRequest, SelectMergeStacktracesRequest, SelectSeriesRequest,
    SelectSeriesResponse,
};
use cairn_wire::types::v1::{
    Exemplar, ExemplarType, Location, StackTraceSelector, TimeSeriesAggregationType,
};

use crate::apis::CPU;
use crate::fixture::{Fixture, SECOND, START, Sent, encoded, head, stood};
use crate::nodes::{Nodes, nodes_of_flame_graph, nodes_of_profile};
use crate::pyroscope::{CODECS, END_MS, START_MS, path};

const PODS: [&[(&str, &str)]; 3] = [
    &[("service_name", "cart"), ("pod", "a")],
    &[("service_name", "cart"), ("pod", "b")],
    &[("service_name", "till")],
];

/// What was sent: pod, milliseconds after the start, value, every byte of its span.
type Sending = (usize, i64, i64, u8);

/// Forty profiles of all sizes in three blocks, not in order; every fourth is of a span.
fn sendings() -> Vec<Sending> {
    let sending = |at: i64| {
        let value = 2 + at * at * 37 % 1_000;
        let span = if at % 4 == 0 { 1 + (at % 3) as u8 } else { 0 };
        ((at % 3) as usize, at * 7_919 % 60_000, value, span)
    };
    (0..40).map(sending).collect()
}

async fn sent(all: &[Sending]) -> Fixture {
    let fixture = Fixture::start().await;
    for block in all.chunks(15) {
        let samples: Vec<[(&str, &str, i64); 2]> = block
            .iter()
            .map(|(_, _, value, _)| [("main;work", "/buy", value - 1), ("main;idle", "", 1)])
            .collect();
        let profiles = block.iter().zip(&samples);
        let profile = |((pod, at, _, span), samples): (&Sending, &'static [_])| Sent {
            labels: PODS[*pod],
            at: START + at * 1_000_000,
            samples,
            span: *span,
            ..Sent::default()
        };
        let leaked = profiles.map(|(sending, samples)| {
            let samples: &'static [_] = Box::leak(Box::new(*samples));
            profile((sending, samples))
        });
        fixture.add(&head(&leaked.collect::<Vec<_>>())).await;
    }
    fixture
}

fn heatmap(of: HeatmapQueryType, exemplars: ExemplarType, by: &[&str]) -> SelectHeatmapRequest {
    SelectHeatmapRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start: START_MS,
        end: END_MS,
        step: 7.0,
        group_by: by.iter().map(|name| (*name).to_owned()).collect(),
        query_type: of.into(),
        exemplar_type: exemplars.into(),
        limit: None,
    }
}

async fn drawn(fixture: &Fixture, request: &SelectHeatmapRequest) -> SelectHeatmapResponse {
    let mut client = fixture.pyroscope().await;
    let answer = client.select_heatmap(request.clone()).await.unwrap();
    let answer = answer.into_inner();
    for codec in CODECS {
        let again: SelectHeatmapResponse = fixture
            .call(&path("SelectHeatmap"), codec, request)
            .await
            .into_body();
        assert_eq!(again, answer);
    }
    answer
}

/// By pod, end of slot in milliseconds after the start, and bucket: how many, and the largest.
type Cells = BTreeMap<(String, i64, usize), (i32, i64)>;

fn cells_of(answer: &SelectHeatmapResponse) -> Cells {
    let mut cells = Cells::new();
    for series in &answer.series {
        let pod = series.labels.iter().map(|pair| &*pair.value);
        let pod = pod.collect::<Vec<_>>().join(",");
        for slot in &series.slots {
            assert_eq!(slot.counts.len(), slot.y_min.len());
            let mut exemplars = slot.exemplars.iter();
            for (bucket, count) in slot.counts.iter().enumerate().filter(|of| *of.1 > 0) {
                let largest = exemplars.next().map_or(0, |exemplar| exemplar.value);
                let cell = (pod.clone(), slot.timestamp - START_MS, bucket);
                assert_eq!(cells.insert(cell, (*count, largest)), None);
            }
            assert_eq!(exemplars.next(), None);
        }
    }
    cells
}

/// The same by a loop over what was sent.
fn expected(values: &[(String, i64, i64)]) -> Cells {
    let all = || values.iter().map(|(_, _, value)| *value);
    let (min, max) = (all().min().unwrap(), all().max().unwrap());
    let mut cells = Cells::new();
    for (pod, at, value) in values {
        let slot = (at + 6_999) / 7_000 * 7_000;
        let bucket = ((value - min) * 20 / (max - min)).min(19) as usize;
        let cell = cells.entry((pod.clone(), slot, bucket)).or_default();
        cell.0 += 1;
        cell.1 = cell.1.max(*value);
    }
    cells
}

#[tokio::test]
async fn heatmaps_count_every_profile_and_every_span_once() {
    let all = sendings();
    let fixture = sent(&all).await;
    let pod = |of: usize| PODS[of].get(1).map_or("", |(_, pod)| *pod).to_owned();
    let profiles: Vec<_> = all.iter().map(|of| (pod(of.0), of.1, of.2)).collect();
    let request = heatmap(
        HeatmapQueryType::Individual,
        ExemplarType::Individual,
        &["pod"],
    );
    let found = drawn(&fixture, &request).await;
    assert_eq!(cells_of(&found), expected(&profiles));
    let ungrouped: Vec<_> = profiles
        .iter()
        .map(|of| (String::new(), of.1, of.2))
        .collect();
    let request = heatmap(HeatmapQueryType::Individual, ExemplarType::Individual, &[]);
    let found = drawn(&fixture, &request).await;
    assert_eq!(cells_of(&found), expected(&ungrouped));

    // Labels of samples divide a profile.
    let request = SelectHeatmapRequest {
        label_selector: "{pod=\"a\"}".to_owned(),
        ..heatmap(
            HeatmapQueryType::Individual,
            ExemplarType::Individual,
            &["endpoint"],
        )
    };
    let found = drawn(&fixture, &request).await;
    let parts = all.iter().filter(|of| of.0 == 0);
    let parts = parts.flat_map(|of| {
        [
            ("/buy".to_owned(), of.1, of.2 - 1),
            (String::new(), of.1, 1),
        ]
    });
    assert_eq!(cells_of(&found), expected(&parts.collect::<Vec<_>>()));

    let spans: Vec<_> = all.iter().filter(|of| of.3 > 0).collect();
    let request = heatmap(HeatmapQueryType::Span, ExemplarType::Span, &["pod"]);
    let found = drawn(&fixture, &request).await;
    let values: Vec<_> = spans.iter().map(|of| (pod(of.0), of.1, of.2)).collect();
    assert_eq!(cells_of(&found), expected(&values));
    let exemplars = found.series.iter().flat_map(|of| &of.slots);
    for exemplar in exemplars.flat_map(|slot| &slot.exemplars) {
        let at = exemplar.timestamp - START_MS;
        let span = spans.iter().find(|of| (of.1, of.2) == (at, exemplar.value));
        let span = span.unwrap().3;
        assert_eq!(exemplar.span_id, format!("{span:02x}").repeat(8));
        assert_eq!(exemplar.trace_id, format!("{span:02x}").repeat(16));
        assert_eq!(exemplar.profile_id, "");
        assert!(exemplar.labels.iter().all(|pair| pair.name != "pod"));
        assert!(
            exemplar
                .labels
                .iter()
                .any(|pair| pair.name == "service_name")
        );
    }
    fixture.stop().await;
}

fn by_id(ids: &[String]) -> SelectMergeStacktracesRequest {
    SelectMergeStacktracesRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start: START_MS,
        end: END_MS,
        profile_id_selector: ids.to_vec(),
        ..SelectMergeStacktracesRequest::default()
    }
}

/// The same through both calls and all encodings.
async fn selected(fixture: &Fixture, request: &SelectMergeStacktracesRequest) -> Nodes {
    let mut client = fixture.pyroscope().await;
    let graph = client.select_merge_stacktraces(request.clone()).await;
    let nodes = nodes_of_flame_graph(&graph.unwrap().into_inner().flamegraph.unwrap());
    let whole = SelectMergeProfileRequest {
        profile_type_id: request.profile_type_id.clone(),
        label_selector: request.label_selector.clone(),
        start: request.start,
        end: request.end,
        profile_id_selector: request.profile_id_selector.clone(),
        ..SelectMergeProfileRequest::default()
    };
    for codec in CODECS {
        let found = fixture
            .call::<_, EncodedProfile>(&path("SelectMergeProfile"), codec, &whole)
            .await;
        assert_eq!(nodes_of_profile(&found.body().0), nodes);
    }
    nodes
}

#[tokio::test]
async fn ids_of_exemplars_select_their_profiles() {
    let all = sendings();
    let fixture = sent(&all).await;
    let request = heatmap(HeatmapQueryType::Individual, ExemplarType::Individual, &[]);
    let found = drawn(&fixture, &request).await;
    let slots = found.series.into_iter().flat_map(|series| series.slots);
    let exemplars: Vec<Exemplar> = slots.flat_map(|slot| slot.exemplars).collect();
    assert!(exemplars.len() > 10);
    for exemplar in &exemplars {
        let nodes = selected(&fixture, &by_id(std::slice::from_ref(&exemplar.profile_id))).await;
        assert_eq!(nodes["main"].0, exemplar.value);
        assert_eq!(nodes["main;idle"], (1, 1));
        // The first slot begins before the range does, and so may what it holds.
        let other_time = SelectMergeStacktracesRequest {
            start: 1,
            end: 2,
            ..by_id(std::slice::from_ref(&exemplar.profile_id))
        };
        assert_eq!(selected(&fixture, &other_time).await, nodes);
    }
    let ids: Vec<String> = exemplars.iter().map(|of| of.profile_id.clone()).collect();
    let sum: i64 = exemplars.iter().map(|of| of.value).sum();
    assert_eq!(selected(&fixture, &by_id(&ids)).await["main"].0, sum);

    // The selector restricts what ids select.
    let one = exemplars.iter().find(|of| of.labels.len() == 1).unwrap();
    let elsewhere = SelectMergeStacktracesRequest {
        label_selector: "{service_name=\"cart\"}".to_owned(),
        ..by_id(std::slice::from_ref(&one.profile_id))
    };
    assert_eq!(selected(&fixture, &elsewhere).await, Nodes::new());
    let strange = "7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned();
    let mut moved = one.profile_id.clone();
    let last = if moved.ends_with('0') { "1" } else { "0" };
    moved.replace_range(35.., last);
    for unknown in [strange, moved] {
        assert_eq!(selected(&fixture, &by_id(&[unknown])).await, Nodes::new());
    }
    let mut client = fixture.pyroscope().await;
    let bad = by_id(&["seven".to_owned()]);
    let status = client.select_merge_stacktraces(bad).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let pprof = SelectMergeStacktracesRequest {
        format: ProfileFormat::Pprof.into(),
        ..by_id(&ids[..1])
    };
    let found = client.select_merge_stacktraces(pprof).await.unwrap();
    let profile = found.into_inner().pprof.unwrap().profile.unwrap();
    assert_eq!(nodes_of_profile(&profile.0)["main"].0, exemplars[0].value);
    fixture.stop().await;
}

#[tokio::test]
async fn points_are_illustrated_with_their_largest_profile_or_span() {
    let all = sendings();
    let fixture = sent(&all).await;
    let mut client = fixture.pyroscope().await;
    for (exemplar_type, only_spans) in [
        (ExemplarType::Individual, false),
        (ExemplarType::Span, true),
    ] {
        let mut request = SelectSeriesRequest {
            profile_type_id: CPU.to_owned(),
            label_selector: "{}".to_owned(),
            start: START_MS,
            end: END_MS,
            group_by: vec!["service_name".to_owned()],
            step: 10.0,
            exemplar_type: exemplar_type.into(),
            ..SelectSeriesRequest::default()
        };
        let answer = client.select_series(request.clone()).await.unwrap();
        let answer = answer.into_inner();
        for codec in CODECS {
            let again: SelectSeriesResponse = fixture
                .call(&path("SelectSeries"), codec, &request)
                .await
                .into_body();
            assert_eq!(again, answer);
        }
        let mut told = 0;
        for series in &answer.series {
            for point in &series.points {
                let service = &*series.labels[0].value;
                let of_point = all.iter().filter(|(pod, at, _, span)| {
                    PODS[*pod][0].1 == service
                        && at / 10_000 == (point.timestamp - START_MS) / 10_000
                        && (*span > 0 || !only_spans)
                });
                let largest = of_point.map(|of| of.2).max();
                let found = point.exemplars.first().map(|exemplar| exemplar.value);
                assert_eq!(found, largest);
                told += point.exemplars.len();
            }
        }
        assert!(told > 5, "{told}");
        request.exemplar_type = ExemplarType::None.into();
        let without = client.select_series(request).await.unwrap().into_inner();
        let mut bare = answer;
        let points = bare.series.iter_mut().flat_map(|series| &mut series.points);
        points.for_each(|point| point.exemplars.clear());
        assert_eq!(without, bare);
    }
    fixture.stop().await;
}

#[tokio::test]
async fn averages_of_selected_stacks_are_over_all_profiles() {
    let all = sendings();
    let fixture = sent(&all).await;
    let call = |name: &str| Location {
        name: name.to_owned(),
    };
    let mut request = SelectSeriesRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start: START_MS,
        end: END_MS,
        step: 60.0,
        stack_trace_selector: Some(StackTraceSelector {
            call_site: vec![call("main"), call("work")],
            go_pgo: None,
        }),
        ..SelectSeriesRequest::default()
    };
    request.set_aggregation(TimeSeriesAggregationType::Average);
    let mut client = fixture.pyroscope().await;
    let found = client.select_series(request.clone()).await.unwrap();
    let points = found.into_inner().series.remove(0).points;
    let found: Vec<f64> = points.iter().map(|point| point.value).collect();
    // The step begins at a multiple of its length.
    let first = 60_000 - START_MS % 60_000;
    let average = |is_first: bool| {
        let values = all.iter().filter(|of| (of.1 < first) == is_first);
        let values: Vec<i64> = values.map(|of| of.2 - 1).collect();
        values.iter().sum::<i64>() as f64 / values.len() as f64
    };
    assert_eq!(found, [average(true), average(false)]);
    request.set_exemplar_type(ExemplarType::Individual);
    let found = client.select_series(request).await.unwrap().into_inner();
    let points = found.series.iter().flat_map(|series| &series.points);
    let told: Vec<&Exemplar> = points.flat_map(|point| &point.exemplars).collect();
    let largest = |is_first: bool| {
        let values = all.iter().filter(|of| (of.1 < first) == is_first);
        values.map(|of| of.2 - 1).max().unwrap()
    };
    let values: Vec<i64> = told.iter().map(|of| of.value).collect();
    assert_eq!(values, [largest(true), largest(false)]);
    // The id is that of the whole profile.
    let whole = by_id(std::slice::from_ref(&told[0].profile_id));
    let nodes = selected(&fixture, &whole).await;
    assert_eq!(nodes["main"].0, told[0].value + 1);
    assert_eq!(nodes["main;work"].0, told[0].value);
    fixture.stop().await;
}

#[tokio::test]
async fn what_counters_grew_by_is_told_and_selected_one_by_one() {
    let fixture = Fixture::start().await;
    let profiles = [
        stood(10, &[("main;a", "", 3), ("main;b", "", 20)]),
        stood(20, &[("main;a", "", 5), ("main;b", "", 30)]),
        // Restarted.
        stood(30, &[("main;a", "", 4)]),
    ];
    fixture.add(&head(&profiles[1..])).await;
    fixture.add(&head(&profiles[..1])).await;
    let delta = "memory:alloc_space:bytes:cpu:nanoseconds:delta".to_owned();
    let request = SelectHeatmapRequest {
        profile_type_id: delta.clone(),
        step: 10.0,
        ..heatmap(HeatmapQueryType::Individual, ExemplarType::Individual, &[])
    };
    let found = drawn(&fixture, &request).await;
    let slots = found.series.into_iter().flat_map(|series| series.slots);
    let exemplars: Vec<Exemplar> = slots.flat_map(|slot| slot.exemplars).collect();
    let values: Vec<i64> = exemplars.iter().map(|of| of.value).collect();
    assert_eq!(values, [12, 4]);
    for (exemplar, stacks) in exemplars.iter().zip([
        vec![("main", 12, 0), ("main;a", 2, 2), ("main;b", 10, 10)],
        vec![("main", 4, 0), ("main;a", 4, 4)],
    ]) {
        let request = SelectMergeStacktracesRequest {
            profile_type_id: delta.clone(),
            ..by_id(std::slice::from_ref(&exemplar.profile_id))
        };
        let expected = stacks.into_iter();
        let expected: Nodes = expected
            .map(|(stack, total, own)| (stack.to_owned(), (total, own)))
            .collect();
        assert_eq!(selected(&fixture, &request).await, expected);
    }
    let (query, mut after, mut listed) = (encoded(&delta), String::new(), Vec::new());
    let range = format!("from={}&until={}", START / SECOND, START / SECOND + 60);
    while listed.len() < 5 {
        let path = format!("/api/v1/profiles?query={query}&{range}&order=oldest&limit=1{after}");
        let page = fixture.json(&path).await;
        listed.extend(page["profiles"][0]["total"].as_i64());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(listed, values);
    fixture.stop().await;
}

/// One page of single profiles, and where the next one begins.
async fn page(fixture: &Fixture, more: &str) -> (Vec<serde_json::Value>, Option<String>) {
    let query = encoded(&format!("{CPU}{{}}"));
    let (from, until) = (START / SECOND, START / SECOND + 60);
    let path = format!("/api/v1/profiles?query={query}&from={from}&until={until}{more}");
    let mut page = fixture.json(&path).await;
    let next = page["next"].as_str().map(str::to_owned);
    (
        page["profiles"].as_array_mut().unwrap().drain(..).collect(),
        next,
    )
}

#[tokio::test]
async fn profiles_are_listed_by_time_page_by_page() {
    let all = sendings();
    let fixture = sent(&all).await;
    // Two at one time, so that pages may end between them.
    let twin = |pod: usize| Sent {
        labels: PODS[pod],
        at: START + 59_999_000_000,
        samples: &[("main;work", "", 5)],
        ..Sent::default()
    };
    fixture.add(&head(&[twin(0), twin(1), twin(2)])).await;
    let millis = |of: &serde_json::Value| {
        let seconds = of["time"].as_f64().unwrap();
        (seconds * 1e3).round() as i64 - START_MS
    };
    let mut times: Vec<i64> = all.iter().map(|of| of.1).collect();
    times.extend([59_999; 3]);
    times.sort_unstable();
    for (order, limit) in [("oldest", 7), ("newest", 2), ("newest", 1), ("oldest", 100)] {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let asked = format!("&order={order}&limit={limit}{after}");
            let (profiles, next) = page(&fixture, &asked).await;
            assert!(profiles.len() <= limit);
            found.extend(profiles);
            match next {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        let mut expected = times.clone();
        if order == "newest" {
            expected.reverse();
        }
        assert_eq!(found.iter().map(millis).collect::<Vec<_>>(), expected);
        let ids: std::collections::BTreeSet<_> = found.iter().map(|of| of["id"].as_str()).collect();
        assert_eq!(ids.len(), found.len());
    }
    let (profiles, _) = page(&fixture, "&limit=3&order=oldest").await;
    for profile in &profiles {
        let sent = all.iter().find(|of| of.1 == millis(profile)).unwrap();
        assert_eq!(profile["total"], sent.2);
        assert_eq!(profile["duration"], 10.0);
        assert_eq!(profile["type"], format!("{CPU}:delta"));
        let labels: BTreeMap<&str, &str> = PODS[sent.0].iter().copied().collect();
        assert_eq!(profile["labels"], serde_json::json!(labels));
        let id = profile["id"].as_str().unwrap();
        let query = encoded(&format!("{CPU}{{}}"));
        let graph = format!("/api/v1/flamegraph?query={query}&profile_id={id}");
        assert_eq!(fixture.json(&graph).await["total"], sent.2);
    }
    let query = encoded(&format!("{CPU}{{}}"));
    for bad in ["&order=largest", "&after=7", "&limit=-1"] {
        let path = format!("/api/v1/profiles?query={query}{bad}");
        assert_eq!(fixture.get(&path).await.status(), 400, "{bad}");
    }
    fixture.stop().await;
}
