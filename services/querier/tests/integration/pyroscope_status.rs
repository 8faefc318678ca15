//! Which HTTP status Pyroscope's clients get for what.

use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::apis::{CPU, filled};
use crate::fixture::{Fixture, SECOND, START, encoded, send};
use crate::pyroscope::{END_MS, START_MS};

const SERVICE: &str = "/querier.v1.QuerierService";

/// Calls, and a request that each answers.
fn calls() -> Vec<(&'static str, Value)> {
    let (start, end) = (START_MS.to_string(), END_MS.to_string());
    let range = json!({ "start": start, "end": end });
    let with = |base: &Value, more: Value| {
        let mut whole = base.clone();
        let more = more.as_object().cloned().unwrap_or_default();
        whole.as_object_mut().unwrap().extend(more);
        whole
    };
    let typed = with(
        &range,
        json!({ "profileTypeID": CPU, "labelSelector": "{}" }),
    );
    vec![
        ("ProfileTypes", range.clone()),
        ("LabelNames", range.clone()),
        ("Series", range.clone()),
        ("LabelValues", with(&range, json!({ "name": "pod" }))),
        ("SelectMergeStacktraces", typed.clone()),
        ("SelectMergeProfile", typed.clone()),
        (
            "SelectMergeSpanProfile",
            with(&typed, json!({ "spanSelector": ["0123456789abcdef"] })),
        ),
        ("SelectSeries", with(&typed, json!({ "step": 15 }))),
        (
            "SelectHeatmap",
            with(&typed, json!({ "step": 15, "queryType": 1 })),
        ),
        ("Diff", json!({ "left": typed, "right": typed })),
        ("AnalyzeQuery", with(&range, json!({ "query": "{}" }))),
        ("GetProfileStats", json!({})),
    ]
}

/// Of these a profile type and a selector are required.
const TYPED: [&str; 5] = [
    "SelectMergeStacktraces",
    "SelectMergeProfile",
    "SelectMergeSpanProfile",
    "SelectSeries",
    "SelectHeatmap",
];

async fn post(fixture: &Fixture, call: &str, body: impl ToString) -> (u16, String) {
    let path = format!("{SERVICE}/{call}");
    let response = fixture
        .post(&path, "application/json", body.to_string())
        .await;
    let text = String::from_utf8_lossy(response.body()).into_owned();
    (response.status().as_u16(), text)
}

async fn refused(fixture: &Fixture, call: &str, body: impl ToString) {
    let shown = body.to_string();
    let (status, text) = post(fixture, call, body).await;
    assert_eq!(status, 400, "{call} {shown}: {text}");
    let error: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(error["code"], "invalid_argument", "{call} {shown}");
    assert_ne!(error["message"], "", "{call} {shown}");
}

fn changed(request: &Value, key: &str, value: Option<Value>) -> Value {
    let mut changed = request.clone();
    let fields = changed.as_object_mut().unwrap();
    match value {
        Some(value) => fields.insert(key.to_owned(), value),
        None => fields.remove(key),
    };
    changed
}

#[tokio::test]
async fn calls_over_connect_are_answered_with_the_status_that_clients_expect() {
    let fixture = filled().await;
    for (call, request) in calls() {
        let (status, text) = post(&fixture, call, &request).await;
        assert_eq!(status, 200, "{call}: {text}");
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
            let url = format!("http://{}{SERVICE}/{call}", fixture.address());
            let other = Request::builder().method(method.clone()).uri(url);
            let response = send(other.body(Full::default()).unwrap()).await;
            assert_eq!(response.status(), 405, "{method} {call}");
        }
        let path = format!("{SERVICE}/{call}");
        let response = fixture.post(&path, "text/plain", request.to_string()).await;
        assert_eq!(response.status(), 415, "{call}");
        assert!(response.headers().contains_key("accept-post"), "{call}");
        for bad in ["", "{", "[]"] {
            refused(&fixture, call, bad).await;
        }
    }
    fixture.stop().await;
}

#[tokio::test]
async fn requests_without_sense_are_refused_as_invalid() {
    let fixture = filled().await;
    for (call, request) in calls() {
        if !["GetProfileStats", "Diff"].contains(&call) {
            let reversed = changed(&request, "start", Some(json!((END_MS + 1).to_string())));
            refused(&fixture, call, reversed).await;
        }
        if !["GetProfileStats", "Diff", "ProfileTypes"].contains(&call) {
            let timeless = changed(&changed(&request, "start", None), "end", None);
            refused(&fixture, call, timeless).await;
        }
        if TYPED.contains(&call) {
            for (key, bad) in [
                ("profileTypeID", None),
                ("profileTypeID", Some("")),
                ("profileTypeID", Some("cpu")),
                ("labelSelector", None),
                ("labelSelector", Some("")),
                ("labelSelector", Some("{pod=")),
            ] {
                let bad = bad.map(|text| json!(text));
                refused(&fixture, call, changed(&request, key, bad)).await;
            }
        }
    }
    let of = |call| calls().into_iter().find(|of| of.0 == call).unwrap().1;
    let series = of("SelectSeries");
    refused(&fixture, "SelectSeries", changed(&series, "step", None)).await;
    let heatmap = of("SelectHeatmap");
    for (key, value) in [
        ("step", None),
        ("step", Some(json!(0.001))),
        ("queryType", None),
        ("queryType", Some(json!(9))),
        ("exemplarType", Some(json!("EXEMPLAR_TYPE_SPAN"))),
        ("exemplarType", Some(json!(9))),
        ("limit", Some(json!("-1"))),
        ("end", Some(json!(START_MS.to_string()))),
        ("end", Some(json!(i64::MAX.to_string()))),
    ] {
        refused(&fixture, "SelectHeatmap", changed(&heatmap, key, value)).await;
    }
    let values = of("LabelValues");
    refused(&fixture, "LabelValues", changed(&values, "name", None)).await;
    let spans = of("SelectMergeSpanProfile");
    let no_spans = changed(&spans, "spanSelector", None);
    refused(&fixture, "SelectMergeSpanProfile", no_spans).await;
    let stacks = of("SelectMergeStacktraces");
    for (key, value) in [
        ("maxNodes", json!("1048577")),
        ("maxNodes", json!("-1")),
        ("traceIdSelector", json!(["xyz"])),
        ("format", json!(99)),
    ] {
        let bad = changed(&stacks, key, Some(value));
        refused(&fixture, "SelectMergeStacktraces", bad).await;
    }
    let diff = of("Diff");
    refused(&fixture, "Diff", changed(&diff, "left", None)).await;
    refused(&fixture, "Diff", changed(&diff, "right", None)).await;
    let heap = "memory:inuse_space:bytes:cpu:nanoseconds";
    let heap = changed(&diff["left"], "profileTypeID", Some(json!(heap)));
    refused(&fixture, "Diff", changed(&diff, "left", Some(heap))).await;
    fixture.stop().await;
}

#[tokio::test]
async fn what_is_not_served_is_unimplemented_or_empty() {
    let fixture = Fixture::start().await;
    for path in [
        "/vcs.v1.VCSService/GithubApp",
        "/settings.v1.SettingsService/Set",
        "/version.v1.Version/Version",
    ] {
        let response = fixture.post(path, "application/json", "{}").await;
        assert_eq!(response.status(), 501, "{path}");
        let error: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(error["code"], "unimplemented", "{path}");
    }
    for path in [
        "/settings.v1.SettingsService/Get",
        "/capabilities.v1.FeatureFlagsService/GetFeatureFlags",
        "/adhocprofiles.v1.AdHocProfileService/List",
    ] {
        let response = fixture.post(path, "application/json", "{}").await;
        assert_eq!(
            (response.status().as_u16(), &response.body()[..]),
            (200, &b"{}"[..])
        );
    }
    fixture.stop().await;
}

#[tokio::test]
async fn legacy_paths_are_answered_with_the_status_that_clients_expect() {
    let fixture = filled().await;
    let query = encoded(&format!("{CPU}{{}}"));
    let (from, until) = (START / SECOND, START / SECOND + 60);
    let good = format!("query={query}&from={from}&until={until}");
    for (parameters, expected) in [
        (good.clone(), 200),
        (format!("{good}&aggregation=invalid"), 200),
        (format!("{good}&maxNodes=invalid"), 200),
        (format!("{good}&maxNodes=0"), 200),
        (format!("query={query}&from=0&until={until}"), 400),
        (format!("query={query}&from={from}&until=0"), 400),
        (format!("query={query}&from={until}&until={from}"), 400),
        (format!("from={from}&until={until}"), 400),
        (format!("query=&from={from}&until={until}"), 400),
        (format!("query=%7B%7D&from={from}&until={until}"), 400),
        (format!("query={query}%7B&from={from}&until={until}"), 400),
    ] {
        let response = fixture
            .get(&format!("/pyroscope/render?{parameters}"))
            .await;
        assert_eq!(response.status(), expected, "render {parameters}");
    }
    let side = |side: &str, query: &str, from: i64, until: i64| {
        format!("&{side}Query={query}&{side}From={from}&{side}Until={until}")
    };
    let (left, right) = (
        side("left", &query, from, until),
        side("right", &query, from, until),
    );
    let heap = encoded("memory:inuse_space:bytes:cpu:nanoseconds{}");
    for (parameters, expected) in [
        (format!("{left}{right}"), 200),
        (left.clone(), 400),
        (right.clone(), 400),
        (format!("{left}{}", side("right", &query, 0, until)), 400),
        (format!("{left}{}", side("right", &query, from, 0)), 400),
        (format!("{}{right}", side("left", "", from, until)), 400),
        (format!("{}{right}", side("left", "%7B", from, until)), 400),
        (format!("{}{right}", side("left", &heap, from, until)), 400),
    ] {
        let path = format!("/pyroscope/render-diff?{parameters}");
        let response = fixture.get(&path).await;
        assert_eq!(response.status(), expected, "render-diff {parameters}");
    }
    for path in ["render", "render-diff", "label-values"] {
        let path = format!("/pyroscope/{path}");
        let response = fixture.post(&path, "application/json", "{}").await;
        assert_eq!(response.status(), 405, "{path}");
    }
    fixture.stop().await;
}
