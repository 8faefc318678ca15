//! The same data through every API.

use cairn_model::{Code, Limits};
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, Options, ReportType};
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::{
    GroupBy, LabelsRequest, MergeProfile, ProfileTypesRequest, QueryRangeRequest, QueryRequest,
    SingleProfile, ValuesRequest,
};

use crate::fixture::{Fixture, SECOND, START, Sent, encoded, head};

pub(crate) const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

pub(crate) fn merge(query: &str, report: ReportType) -> QueryRequest {
    QueryRequest {
        mode: Mode::Merge.into(),
        options: Some(Options::Merge(MergeProfile {
            query: query.to_owned(),
            start: Some(cairn_wire::timestamp(START)),
            end: Some(cairn_wire::timestamp(START + 60 * SECOND)),
        })),
        report_type: report.into(),
        ..QueryRequest::default()
    }
}

/// Two blocks: pod 1 and pod 2 of one service, and a heap snapshot.
pub(crate) async fn filled() -> Fixture {
    let fixture = Fixture::start().await;
    let second = Sent {
        labels: &[("service_name", "cart"), ("pod", "cart-2")],
        at: START + SECOND,
        samples: &[("main;work", "", 100), ("main;0x4010", "", 8)],
        ..Sent::default()
    };
    let heap = Sent {
        name: "memory",
        types: &[("inuse_space", "bytes")],
        duration: 0,
        samples: &[("main;alloc", "", 4096)],
        ..Sent::default()
    };
    fixture.add(&head(&[Sent::default(), heap])).await;
    fixture.add(&head(&[second])).await;
    fixture
}

#[tokio::test]
async fn every_api_gives_the_same_total() {
    let fixture = filled().await;
    let mut parca = fixture.parca().await;
    let total = 30 + 12 + 100 + 8;
    // The agent's profiles have a duration; the query does not say `:delta`.
    let found = parca
        .query(merge(CPU, ReportType::FlamegraphArrow))
        .await
        .unwrap();
    assert_eq!(
        (found.get_ref().total, found.get_ref().filtered),
        (total, 0)
    );
    assert!(!found.metadata().contains_key("cairn-partial"));
    let Some(Report::FlamegraphArrow(graph)) = &found.get_ref().report else {
        panic!("another report");
    };
    assert_eq!((graph.height, graph.unit.as_str()), (4, "nanoseconds"));

    let range = format!(
        "query={}&from={}&until={}",
        encoded(&format!("{CPU}{{}}")),
        START / SECOND,
        START / SECOND + 60
    );
    let page = fixture.json(&format!("/api/v1/flamegraph?{range}")).await;
    assert_eq!(page["total"], total);
    assert!(
        page["names"]
            .as_array()
            .unwrap()
            .contains(&"cart+0x4010".into())
    );
    let render = fixture.json(&format!("/pyroscope/render?{range}")).await;
    assert_eq!(render["flamebearer"]["numTicks"], total);
    let samples = render["timeline"]["samples"].as_array().unwrap();
    let sum: i64 = samples.iter().filter_map(serde_json::Value::as_i64).sum();
    assert_eq!(sum, total);
    let rest = format!(
        "/api/profiles/query?mode=MODE_MERGE&report_type=REPORT_TYPE_TOP&merge.query={}&merge.start={}&merge.end={}",
        encoded(CPU),
        encoded("2026-11-18T00:00:00Z"),
        encoded("2026-11-20T00:00:00Z"),
    );
    assert_eq!(fixture.json(&rest).await["total"], total.to_string());

    let folded = fixture.get(&format!("/api/v1/folded?{range}")).await;
    let text = String::from_utf8(folded.body().to_vec()).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["main;cart+0x4010 8", "main;work 130", "main;work;read 12"]
    );
    fixture.stop().await;
}

#[tokio::test]
async fn downloads_keep_labels_of_samples_and_say_when() {
    let fixture = filled().await;
    let path = format!(
        "/api/v1/profile.pb.gz?query={}&from={}&until={}",
        encoded(CPU),
        START / SECOND,
        START / SECOND + 60
    );
    let response = fixture.get(&path).await;
    assert_eq!(response.status(), 200);
    let decoded = cairn_pprof::decode(
        response.body(),
        &Limits::default(),
        &cairn_pprof::Options::default(),
    )
    .unwrap();
    let profile = &decoded.profile;
    assert_eq!(profile.time, START);
    assert_eq!(profile.duration, 20 * SECOND);
    assert_eq!(profile.period, 10);
    assert_eq!(profile.samples.values.iter().sum::<i64>(), 150);
    let mut texts = profile.tables.strings.iter();
    assert!(texts.any(|text| text == "/buy"));

    let mut parca = fixture.parca().await;
    let report = parca.query(merge(CPU, ReportType::Pprof)).await.unwrap();
    let Some(Report::Pprof(bytes)) = report.into_inner().report else {
        panic!("another report");
    };
    let again =
        cairn_pprof::decode(&bytes, &Limits::default(), &cairn_pprof::Options::default()).unwrap();
    assert_eq!(again.profile.samples.values.iter().sum::<i64>(), 150);
    fixture.stop().await;
}

#[tokio::test]
async fn series_add_up_by_step_and_label() {
    let fixture = filled().await;
    let mut parca = fixture.parca().await;
    let request = |sum_by: &[&str], step: i64| QueryRangeRequest {
        query: CPU.to_owned(),
        start: Some(cairn_wire::timestamp(START)),
        end: Some(cairn_wire::timestamp(START + 60 * SECOND)),
        limit: 0,
        step: Some(cairn_wire::duration(step)),
        sum_by: sum_by.iter().map(|name| (*name).to_owned()).collect(),
    };
    let all = parca
        .query_range(request(&[], 60 * SECOND))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(all.series.len(), 1);
    let sample = &all.series[0].samples[0];
    assert_eq!((sample.value, sample.duration), (150, 60 * SECOND));
    let pods = parca
        .query_range(request(&["pod"], 0))
        .await
        .unwrap()
        .into_inner();
    let values: Vec<(String, i64, i64)> = pods
        .series
        .iter()
        .map(|series| {
            let label = &series.labelset.as_ref().unwrap().labels[0];
            let sample = &series.samples[0];
            (label.value.clone(), sample.value, sample.duration)
        })
        .collect();
    let expected = [("cart-1", 42, 10 * SECOND), ("cart-2", 108, 10 * SECOND)];
    assert_eq!(values, expected.map(|(pod, v, d)| (pod.to_owned(), v, d)));

    let page = format!(
        "/api/v1/series?type={}&from={}&until={}&step=60&group_by=pod",
        encoded("memory:inuse_space:bytes:cpu:nanoseconds"),
        START / SECOND,
        START / SECOND + 60
    );
    let heap = fixture.json(&page).await;
    assert_eq!(heap["series"], serde_json::json!([[4096]]));
    assert_eq!(heap["labels"][0], r#"{pod="cart-1"}"#);

    let mut nothing = request(&[], 0);
    nothing.query = "no:such:type:at:all".to_owned();
    let status = parca.query_range(nothing).await.unwrap_err();
    assert_eq!(cairn_wire::code_of(&status), Code::NotFound);
    assert!(
        status
            .message()
            .starts_with("No data found for the query, try a different")
    );
    for bad in [
        QueryRangeRequest::default(),
        QueryRangeRequest {
            end: Some(cairn_wire::timestamp(START)),
            ..request(&[], 0)
        },
        QueryRangeRequest {
            query: "x".to_owned(),
            ..request(&[], 0)
        },
    ] {
        let status = parca.query_range(bad).await.unwrap_err();
        assert_eq!(cairn_wire::code_of(&status), Code::Invalid);
    }
    fixture.stop().await;
}

#[tokio::test]
async fn names_honour_the_matchers() {
    let fixture = filled().await;
    let mut parca = fixture.parca().await;
    let types = parca
        .profile_types(ProfileTypesRequest::default())
        .await
        .unwrap();
    let types: Vec<(String, bool)> = types
        .into_inner()
        .types
        .into_iter()
        .map(|of| (of.name, of.delta))
        .collect();
    let expected = [
        ("memory".to_owned(), false),
        ("process_cpu".to_owned(), true),
    ];
    assert_eq!(types, expected);
    let labels = parca
        .labels(LabelsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(labels.label_names, ["endpoint", "pod", "service_name"]);
    let values = |matcher: &str| ValuesRequest {
        label_name: "pod".to_owned(),
        r#match: vec![matcher.to_owned()],
        ..ValuesRequest::default()
    };
    let all = parca.values(values("{}")).await.unwrap().into_inner();
    assert_eq!(all.label_values, ["cart-1", "cart-2"]);
    let heap = parca
        .values(values("memory:inuse_space:bytes:cpu:nanoseconds"))
        .await;
    assert_eq!(heap.unwrap().into_inner().label_values, ["cart-1"]);
    let rest = fixture.json("/api/profiles/labels/pod/values").await;
    assert_eq!(rest["labelValues"], serde_json::json!(["cart-1", "cart-2"]));
    let page = fixture.json("/api/v1/labels/pod/values").await;
    assert_eq!(page, serde_json::json!(["cart-1", "cart-2"]));
    let old = fixture.json("/pyroscope/label-values?label=pod").await;
    assert_eq!(old, page);
    let has = fixture.json("/api/profiles/has_profile_data").await;
    assert_eq!(has["hasData"], true);
    fixture.stop().await;
}

#[tokio::test]
async fn one_profile_is_found_by_its_millisecond() {
    let fixture = filled().await;
    let mut parca = fixture.parca().await;
    let single = |time: i64| QueryRequest {
        mode: Mode::SingleUnspecified.into(),
        options: Some(Options::Single(SingleProfile {
            time: Some(cairn_wire::timestamp(time)),
            query: CPU.to_owned(),
        })),
        report_type: ReportType::Top.into(),
        ..QueryRequest::default()
    };
    let found = parca.query(single(START + SECOND + 999_999)).await.unwrap();
    assert_eq!(found.into_inner().total, 108);
    let status = parca.query(single(START + 5 * SECOND)).await.unwrap_err();
    assert_eq!(cairn_wire::code_of(&status), Code::NotFound);
    assert_eq!(
        status.message(),
        "could not find profile at requested time and selectors"
    );
    fixture.stop().await;
}

#[tokio::test]
async fn groups_metadata_and_what_is_not_served() {
    let fixture = filled().await;
    let mut parca = fixture.parca().await;
    let mut grouped = merge(CPU, ReportType::FlamegraphArrow);
    grouped.group_by = Some(GroupBy {
        fields: vec!["labels.pod".to_owned()],
    });
    let found = parca.query(grouped).await.unwrap().into_inner();
    let Some(Report::FlamegraphArrow(graph)) = found.report else {
        panic!("another report");
    };
    assert_eq!(graph.height, 5);
    let found = parca
        .query(merge(CPU, ReportType::ProfileMetadata))
        .await
        .unwrap();
    let Some(Report::ProfileMetadata(metadata)) = found.into_inner().report else {
        panic!("another report");
    };
    assert_eq!(metadata.mapping_files, ["/bin/cart"]);
    assert_eq!(metadata.labels, ["endpoint", "pod", "service_name"]);

    let mut bad = merge(CPU, ReportType::Top);
    bad.group_by = Some(GroupBy {
        fields: vec!["nonsense".to_owned()],
    });
    let status = parca.query(bad).await.unwrap_err();
    assert_eq!(status.message(), "invalid group by field: nonsense");
    let missing = fixture.get("/api/v1/flamegraph?query=%7B%7D").await;
    assert_eq!(missing.status(), 400);
    let body: serde_json::Value = serde_json::from_slice(missing.body()).unwrap();
    assert_eq!(
        body["message"],
        "query must contain a profile-type selection"
    );
    assert_eq!(fixture.get("/").await.status(), 200);
    fixture.stop().await;
}
