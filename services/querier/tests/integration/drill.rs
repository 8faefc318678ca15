//! Whatever a trimmed graph leaves out is bounded by what it tells, and is found by looking closer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use cairn_wire::parca::query::v1alpha1::query_request::ReportType;
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::{
    Filter, FilterCriteria, QueryRequest, StackFilter, StringCondition, filter, stack_filter,
    string_condition,
};
use cairn_wire::querier::v1::{
    ProfileFormat, SelectMergeProfileRequest, SelectMergeStacktracesRequest,
};
use cairn_wire::types::v1::{Location, StackTraceSelector};

use crate::apis::{CPU, merge};
use crate::fixture::{Fixture, SECOND, START, Sent, encoded, head};
use crate::nodes::{Nodes, nodes_of_flame_graph, nodes_of_profile};
use crate::pyroscope::{END_MS, START_MS};
use crate::reports::{ints, record, texts};

/// Below each of four calls thirty others of all sizes, each with one more below it.
async fn filled() -> Fixture {
    let fixture = Fixture::start().await;
    let mut samples = Vec::new();
    for (at, outer) in ["get", "put", "list", "gc"].into_iter().enumerate() {
        for inner in 0..30 {
            let size = 1 + (inner * 37 + at as i64 * 11) % 101;
            samples.push((format!("main;{outer};{outer}{inner};{outer}{inner}x"), size));
            samples.push((format!("main;{outer};{outer}{inner}"), 1 + size % 7));
        }
    }
    for samples in samples.chunks(100) {
        let samples: Vec<(&str, &str, i64)> = samples
            .iter()
            .map(|(stack, value)| (stack.as_str(), "", *value))
            .collect();
        let sent = Sent {
            samples: &samples,
            ..Sent::default()
        };
        fixture.add(&head(&[sent])).await;
    }
    fixture
}

/// The flame graph below some calls, and how large a call may be that it does not show.
async fn select(fixture: &Fixture, below: &str, max_nodes: Option<i64>) -> (Nodes, i64) {
    let calls = below.split(';').filter(|call| !call.is_empty());
    let request = SelectMergeStacktracesRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start: START_MS,
        end: END_MS,
        max_nodes,
        stack_trace_selector: Some(StackTraceSelector {
            call_site: calls
                .map(|name| Location {
                    name: name.to_owned(),
                })
                .collect(),
            go_pgo: None,
        }),
        ..SelectMergeStacktracesRequest::default()
    };
    let mut client = fixture.pyroscope().await;
    let answer = client.select_merge_stacktraces(request).await.unwrap();
    let max_error = answer.metadata().get("cairn-max-error");
    let max_error = max_error.map_or(0, |of| of.to_str().unwrap().parse().unwrap());
    let graph = answer.into_inner().flamegraph.unwrap();
    (nodes_of_flame_graph(&graph), max_error)
}

/// The parents of what was summed up.
fn lossy(nodes: &Nodes) -> Vec<String> {
    let paths = nodes.keys().filter_map(|path| path.strip_suffix(";other"));
    paths.map(str::to_owned).collect()
}

#[tokio::test]
async fn what_pyroscope_s_graph_leaves_out_is_found_below_its_call_sites() {
    let fixture = filled().await;
    let (whole, none) = select(&fixture, "", None).await;
    assert_eq!((whole.len(), none), (1 + 4 + 4 * 60, 0));
    let (mut found, max_error) = select(&fixture, "", Some(20)).await;
    let hidden = whole.iter().filter(|(path, _)| !found.contains_key(*path));
    let largest = hidden.map(|(_, (total, _))| *total).max().unwrap();
    assert_eq!(max_error, largest);
    let mut budget = 20;
    loop {
        let open = lossy(&found);
        if open.is_empty() {
            break;
        }
        budget += 20;
        for site in open {
            let (closer, max_error) = select(&fixture, &site, Some(budget)).await;
            assert_eq!(closer[&site].0, whole[&site].0, "{site}");
            let is_whole = lossy(&closer).is_empty();
            assert_eq!(max_error == 0, is_whole, "{site}");
            found.retain(|path, _| !path.starts_with(&format!("{site};")));
            let below = closer
                .into_iter()
                .filter(|(path, _)| path.starts_with(&format!("{site};")));
            found.extend(below);
        }
    }
    assert_eq!(found, whole);
    assert!(budget < whole.len() as i64, "{budget}");
    fixture.stop().await;
}

#[tokio::test]
async fn every_trimmed_answer_tells_its_error() {
    let fixture = filled().await;
    let (whole, _) = select(&fixture, "", None).await;
    let range = format!("from={}&until={}", START / SECOND, START / SECOND + 60);
    let side = |side: &str| {
        format!(
            "{side}Query={}&{side}From={}&{side}Until={}",
            encoded(&format!("{CPU}{{}}")),
            START / SECOND,
            START / SECOND + 60
        )
    };
    let query = format!("query={}&{range}", encoded(&format!("{CPU}{{}}")));
    let (_, expected) = select(&fixture, "", Some(20)).await;
    for path in [
        format!("/pyroscope/render?{query}&maxNodes="),
        format!(
            "/pyroscope/render-diff?{}&{}&maxNodes=",
            side("left"),
            side("right")
        ),
        format!("/api/v1/flamegraph?{query}&max_nodes="),
        format!("/api/v1/diff?{query}&max_nodes="),
        format!("/api/v1/flamegraph.svg?{query}&max_nodes="),
    ] {
        // The root is one of the nodes of the page's graphs as well.
        let trimmed = fixture.get(&format!("{path}20")).await;
        assert_eq!(trimmed.status(), 200, "{path}");
        let told = trimmed.headers().get("cairn-max-error");
        let told = told.map(|of| of.to_str().unwrap().parse::<i64>().unwrap());
        assert_eq!(told, Some(expected), "{path}");
        let all = fixture.get(&format!("{path}1000")).await;
        assert!(!all.headers().contains_key("cairn-max-error"), "{path}");
    }
    // A profile counts locations, here one for each call.
    let request = SelectMergeProfileRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: "{}".to_owned(),
        start: START_MS,
        end: END_MS,
        max_nodes: Some(20),
        ..SelectMergeProfileRequest::default()
    };
    let mut client = fixture.pyroscope().await;
    let answer = client.select_merge_profile(request).await.unwrap();
    let told = answer.metadata().get("cairn-max-error").unwrap();
    let told: i64 = told.to_str().unwrap().parse().unwrap();
    let shown = nodes_of_profile(&answer.get_ref().0);
    let hidden = whole.iter().filter(|(path, _)| !shown.contains_key(*path));
    assert_eq!(Some(told), hidden.map(|(_, (total, _))| *total).max());
    fixture.stop().await;
}

#[tokio::test]
async fn graphs_of_calls_tell_the_largest_function_that_they_leave_out() {
    let fixture = filled().await;
    let (whole, _) = select(&fixture, "", None).await;
    // Each function has one place.
    let mut sums: Vec<i64> = whole.values().map(|(total, _)| *total).collect();
    sums.sort_unstable_by_key(|sum| Reverse(*sum));
    let told = |headers: &http::HeaderMap| {
        let told = headers.get("cairn-max-error");
        told.map(|of| of.to_str().unwrap().parse::<i64>().unwrap())
    };

    let query = encoded(&format!("{CPU}{{}}"));
    let (from, until) = (START / SECOND, START / SECOND + 60);
    let path = format!("/pyroscope/render?query={query}&from={from}&until={until}&format=dot");
    let mut client = fixture.pyroscope().await;
    for count in [1, 20, 1_000] {
        let expected = sums.get(count).copied();
        let rendered = fixture.get(&format!("{path}&maxNodes={count}")).await;
        assert_eq!(rendered.status(), 200);
        assert_eq!(told(rendered.headers()), expected, "{count}");
        let mut request = SelectMergeStacktracesRequest {
            profile_type_id: CPU.to_owned(),
            label_selector: "{}".to_owned(),
            start: START_MS,
            end: END_MS,
            max_nodes: Some(count as i64),
            ..SelectMergeStacktracesRequest::default()
        };
        request.set_format(ProfileFormat::Dot);
        let answer = client.select_merge_stacktraces(request).await.unwrap();
        let metadata = answer.metadata().clone().into_headers();
        assert_eq!(told(&metadata), expected, "{count}");
    }

    let mut client = fixture.parca().await;
    for percent in [0.01, 5.0] {
        let request = QueryRequest {
            node_trim_threshold: Some(percent),
            ..merge(&format!("{CPU}:delta{{}}"), ReportType::Callgraph)
        };
        // Asked again, it is what was kept.
        for _ in 0..2 {
            let answer = client.query(request.clone()).await.unwrap();
            let least = (sums[0] as f64 * f64::from(percent) / 100.0) as i64;
            let expected = sums.iter().copied().find(|sum| *sum <= least);
            let metadata = answer.metadata().clone().into_headers();
            assert_eq!(told(&metadata), expected, "{percent}");
        }
    }
    fixture.stop().await;
}

#[tokio::test]
async fn pictures_show_every_call() {
    let fixture = filled().await;
    let query = encoded(&format!("{CPU}{{}}"));
    let asked = |more: &str| {
        let (from, until) = (START / SECOND, START / SECOND + 60);
        format!("/api/v1/flamegraph.svg?query={query}&from={from}&until={until}{more}")
    };
    let picture = fixture.get(&asked("")).await;
    assert_eq!(picture.status(), 200);
    assert_eq!(picture.headers()["content-type"], "image/svg+xml");
    let text = String::from_utf8(picture.body().to_vec()).unwrap();
    assert!(text.contains("<svg") && text.contains("put7x"), "{text}");
    assert!(text.contains("nanoseconds"));
    let few = fixture.get(&asked("&max_nodes=3")).await;
    let text = String::from_utf8(few.body().to_vec()).unwrap();
    assert!(!text.contains("put7x"));
    let nothing = format!("/api/v1/flamegraph.svg?query={query}&from=1&until=2");
    assert_eq!(fixture.get(&nothing).await.status(), 404);
    fixture.stop().await;
}

/// Total by path of an Arrow flame graph, and how large a call may be that it does not show.
async fn arrow(fixture: &Fixture, request: QueryRequest) -> (BTreeMap<String, (i64, i64)>, i64) {
    let answer = fixture.parca().await.query(request).await.unwrap();
    let max_error = answer.metadata().get("cairn-max-error");
    let max_error = max_error.map_or(0, |of| of.to_str().unwrap().parse().unwrap());
    let Some(Report::FlamegraphArrow(graph)) = answer.into_inner().report else {
        panic!("another report");
    };
    let record = record(&graph.record);
    let (parents, names) = (ints(&record, "parent"), texts(&record, "function_name"));
    let values = ints(&record, "cumulative")
        .into_iter()
        .zip(ints(&record, "flat"));
    let mut paths: Vec<String> = Vec::new();
    for (parent, name) in parents.iter().zip(&names) {
        paths.push(match usize::try_from(*parent) {
            Err(_) => String::new(),
            Ok(0) => name.clone(),
            Ok(parent) => format!("{};{name}", paths[parent]),
        });
    }
    (paths.into_iter().zip(values).collect(), max_error)
}

fn by_function(name: &str) -> Filter {
    let criteria = FilterCriteria {
        function_name: Some(StringCondition {
            condition: Some(string_condition::Condition::Equal(name.to_owned())),
        }),
        ..FilterCriteria::default()
    };
    Filter {
        filter: Some(filter::Filter::StackFilter(StackFilter {
            filter: Some(stack_filter::Filter::Criteria(criteria)),
        })),
    }
}

#[tokio::test]
async fn what_parca_s_graph_leaves_out_is_found_by_its_filters() {
    let fixture = filled().await;
    let request = || merge(CPU, ReportType::FlamegraphArrow);
    let (whole, none) = arrow(&fixture, request()).await;
    assert_eq!((whole.len(), none), (2 + 4 + 4 * 60, 0));
    let trimmed = QueryRequest {
        node_trim_threshold: Some(5.0),
        ..request()
    };
    let (found, max_error) = arrow(&fixture, trimmed).await;
    let hidden: BTreeSet<&String> = whole
        .keys()
        .filter(|path| !found.contains_key(*path))
        .collect();
    assert!(hidden.len() > 40, "{}", hidden.len());
    let largest = hidden.iter().map(|path| whole[*path].0).max().unwrap();
    assert_eq!(max_error, largest);
    for outer in ["get", "put", "list", "gc"] {
        let site = format!("main;{outer}");
        let below: BTreeMap<_, _> = whole
            .iter()
            .filter(|(path, _)| path.starts_with(&format!("{site};")))
            .collect();
        let filtered = QueryRequest {
            filter: vec![by_function(outer)],
            ..request()
        };
        let (filtered, none) = arrow(&fixture, filtered).await;
        assert_eq!(none, 0);
        let closer: BTreeMap<_, _> = filtered
            .iter()
            .filter(|(path, _)| path.starts_with(&format!("{site};")))
            .collect();
        assert_eq!(closer, below);
        assert_eq!(filtered[&site], whole[&site]);
        let sandwiched = QueryRequest {
            sandwich_by_function: Some(outer.to_owned()),
            ..request()
        };
        let (sandwiched, _) = arrow(&fixture, sandwiched).await;
        let prefixed = sandwiched.iter().filter(|(path, _)| path.contains(';'));
        let prefixed: BTreeMap<String, _> = prefixed
            .map(|(path, values)| (format!("main;{path}"), values))
            .collect();
        let prefixed: BTreeMap<_, _> = prefixed.iter().map(|(path, v)| (path, *v)).collect();
        assert_eq!(prefixed, below);
    }
    fixture.stop().await;
}
