//! Call trees through Pyroscope's API in all its encodings, and through Parca's.

use std::io::Read as _;

use cairn_model::Limits;
use cairn_wire::EncodedProfile;
use cairn_wire::connect::Codec;
use cairn_wire::parca::query::v1alpha1::query_request::ReportType;
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::perftools::profiles as pprof;
use cairn_wire::querier::v1::{
    DiffRequest, DiffResponse, FlameGraph, Level, ProfileFormat, SelectMergeProfileRequest,
    SelectMergeSpanProfileRequest, SelectMergeSpanProfileResponse, SelectMergeStacktracesRequest,
    SelectMergeStacktracesResponse,
};
use cairn_wire::types::v1::{GoPgo, Location, StackTraceSelector};
use http::Request;
use prost::Message;

use crate::apis::{CPU, filled, merge};
use crate::fixture::{Fixture, SECOND, START, Sent, encoded, head, send};
use crate::nodes::{Nodes, nodes_of_flame_graph, nodes_of_levels, nodes_of_profile, nodes_of_tree};

pub(crate) const START_MS: i64 = START / 1_000_000;
pub(crate) const END_MS: i64 = START_MS + 60_000;
pub(crate) const CODECS: [Codec; 2] = [Codec::Proto, Codec::Json];

pub(crate) fn path(method: &str) -> String {
    format!("/querier.v1.QuerierService/{method}")
}

fn stacktraces(selector: &str, format: ProfileFormat) -> SelectMergeStacktracesRequest {
    SelectMergeStacktracesRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: selector.to_owned(),
        start: START_MS,
        end: END_MS,
        format: format.into(),
        ..SelectMergeStacktracesRequest::default()
    }
}

fn whole(selector: &str) -> SelectMergeProfileRequest {
    SelectMergeProfileRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: selector.to_owned(),
        start: START_MS,
        end: END_MS,
        ..SelectMergeProfileRequest::default()
    }
}

/// The answer in every encoding, which must be one.
async fn shown(
    fixture: &Fixture,
    request: SelectMergeStacktracesRequest,
) -> SelectMergeStacktracesResponse {
    let mut client = fixture.pyroscope().await;
    let answer = client.select_merge_stacktraces(request.clone()).await;
    let answer = answer.unwrap().into_inner();
    for codec in CODECS {
        let again = fixture
            .call::<_, SelectMergeStacktracesResponse>(
                &path("SelectMergeStacktraces"),
                codec,
                &request,
            )
            .await;
        assert_eq!(known(again.body()), known(&answer));
    }
    answer
}

/// With the profile as a message: JSON has its fields in another order.
fn known(
    answer: &SelectMergeStacktracesResponse,
) -> (SelectMergeStacktracesResponse, Option<pprof::Profile>) {
    let mut rest = answer.clone();
    let profile = rest.pprof.take().map(|pprof| pprof.profile.unwrap());
    let profile = profile.map(|profile| pprof::Profile::decode(&profile.0[..]).unwrap());
    (rest, profile)
}

async fn flame_graph(fixture: &Fixture, request: SelectMergeStacktracesRequest) -> FlameGraph {
    shown(fixture, request).await.flamegraph.unwrap()
}

#[tokio::test]
async fn call_trees_are_those_of_parca_s_api_node_by_node() {
    let fixture = filled().await;
    let mut parca = fixture.parca().await;
    let report = parca.query(merge(CPU, ReportType::Pprof)).await.unwrap();
    let Some(Report::Pprof(bytes)) = report.into_inner().report else {
        panic!("another report");
    };
    let expected = nodes_of_profile(&bytes);
    assert_eq!(expected["main"], (150, 0));
    assert_eq!(expected["main;cart+0x4010"], (8, 8));
    assert_eq!(expected.len(), 4);

    let graph = flame_graph(&fixture, stacktraces("{}", ProfileFormat::Unspecified)).await;
    assert_eq!((graph.total, graph.max_self), (150, 130));
    assert_eq!(nodes_of_flame_graph(&graph), expected);
    let tree = shown(&fixture, stacktraces("{}", ProfileFormat::Tree)).await;
    assert_eq!(nodes_of_tree(&tree.tree), expected);
    let profile = shown(&fixture, stacktraces("{}", ProfileFormat::Pprof)).await;
    let profile = profile.pprof.unwrap().profile.unwrap();
    assert_eq!(nodes_of_profile(&profile.0), expected);

    let mut client = fixture.pyroscope().await;
    let whole_profile = client.select_merge_profile(whole("{}")).await;
    assert_eq!(whole_profile.unwrap().into_inner(), profile);
    for codec in CODECS {
        let again = fixture
            .call::<_, EncodedProfile>(&path("SelectMergeProfile"), codec, &whole("{}"))
            .await;
        let again = again.body();
        assert_eq!(nodes_of_profile(&again.0), expected);
    }
    // What it says of itself is what a download says.
    let decoded = cairn_pprof::decode(
        &profile.0,
        &Limits::default(),
        &cairn_pprof::Options::default(),
    );
    let decoded = decoded.unwrap().profile;
    assert_eq!((decoded.time, decoded.duration), (START, 20 * SECOND));
    let texts = &decoded.tables.strings;
    let unit = decoded.types[0].unit;
    assert_eq!((decoded.period, texts.get(unit)), (10, "nanoseconds"));

    let few = SelectMergeStacktracesRequest {
        max_nodes: Some(2),
        ..stacktraces("{}", ProfileFormat::Flamegraph)
    };
    let few = flame_graph(&fixture, few).await;
    assert_eq!(few.total, 150);
    assert!(few.names.contains(&"other".to_owned()), "{:?}", few.names);
    let few = SelectMergeProfileRequest {
        max_nodes: Some(2),
        ..whole("{}")
    };
    let few = client.select_merge_profile(few).await.unwrap().into_inner();
    let few = nodes_of_profile(&few.0);
    assert_eq!(few["main;other"], (8, 8));
    assert_eq!(few["main"], (150, 0));
    fixture.stop().await;
}

#[tokio::test]
async fn graphs_of_calls_are_the_same_here_and_from_render() {
    let fixture = filled().await;
    let found = shown(&fixture, stacktraces("{}", ProfileFormat::Dot))
        .await
        .dot;
    assert!(found.starts_with("digraph"), "{found}");
    // Four functions, three calls.
    let lines = |part: &str| found.lines().filter(|line| line.contains(part)).count();
    assert_eq!((lines("label=\"main"), lines(" -> ")), (1, 3), "{found}");
    let render = format!(
        "/pyroscope/render?format=dot&query={}&from={}&until={}",
        encoded(CPU),
        START / SECOND,
        START / SECOND + 60
    );
    let rendered = fixture.get(&render).await;
    assert_eq!(rendered.status(), 200);
    assert_eq!(rendered.body(), found.as_bytes());
    let few = SelectMergeStacktracesRequest {
        max_nodes: Some(2),
        ..stacktraces("{}", ProfileFormat::Dot)
    };
    let few = shown(&fixture, few).await.dot;
    assert!(!few.contains("read"), "{few}");
    fixture.stop().await;
}

#[tokio::test]
async fn comparisons_hold_each_side_as_it_is_alone() {
    let fixture = filled().await;
    let side = |pod: &str| stacktraces(&format!("{{pod=\"{pod}\"}}"), ProfileFormat::Unspecified);
    let (left, right) = (side("cart-1"), side("cart-2"));
    let expected = [
        nodes_of_flame_graph(&flame_graph(&fixture, left.clone()).await),
        nodes_of_flame_graph(&flame_graph(&fixture, right.clone()).await),
    ];
    let request = DiffRequest {
        left: Some(left),
        right: Some(right),
    };
    for codec in CODECS {
        let found: DiffResponse = fixture
            .call(&path("Diff"), codec, &request)
            .await
            .into_body();
        let graph = found.flamegraph.unwrap();
        let side = |at| nodes_of_levels(&graph.names, &graph.levels, 7, at);
        assert_eq!([side(0), side(3)], expected);
        assert_eq!((graph.left_ticks, graph.right_ticks), (42, 108));
        assert_eq!((graph.total, graph.max_self), (150, 100));
    }
    let query = |pod: &str| encoded(&format!("{CPU}{{pod=\"{pod}\"}}"));
    let (from, until) = (START / SECOND, START / SECOND + 60);
    let rendered = fixture
        .json(&format!(
            "/pyroscope/render-diff?leftQuery={}&leftFrom={from}&leftUntil={until}\
             &rightQuery={}&rightFrom={from}&rightUntil={until}",
            query("cart-1"),
            query("cart-2")
        ))
        .await;
    assert_eq!(rendered["metadata"]["format"], "double");
    assert_eq!(
        (&rendered["leftTicks"], &rendered["rightTicks"]),
        (&42.into(), &108.into())
    );
    let names: Vec<String> =
        serde_json::from_value(rendered["flamebearer"]["names"].clone()).unwrap();
    let levels: Vec<Vec<i64>> =
        serde_json::from_value(rendered["flamebearer"]["levels"].clone()).unwrap();
    let levels: Vec<Level> = levels.into_iter().map(|values| Level { values }).collect();
    let side = |at| nodes_of_levels(&names, &levels, 7, at);
    assert_eq!([side(0), side(3)], expected);
    fixture.stop().await;
}

#[tokio::test]
async fn stacks_are_selected_by_call_site_and_cut_for_go_s_compiler() {
    let fixture = filled().await;
    let selector = |names: &[&str]| StackTraceSelector {
        call_site: names
            .iter()
            .map(|name| Location {
                name: (*name).to_owned(),
            })
            .collect(),
        go_pgo: None,
    };
    for (names, total) in [
        (&["main"][..], 150),
        (&["main", "work"], 142),
        (&["main", "work", "read"], 12),
        (&["main", "cart+0x4010"], 8),
        (&["work"], 0),
    ] {
        let request = SelectMergeStacktracesRequest {
            stack_trace_selector: Some(selector(names)),
            ..stacktraces("{}", ProfileFormat::Unspecified)
        };
        let found = flame_graph(&fixture, request).await;
        assert_eq!(found.total, total, "{names:?}");
    }
    let pgo = StackTraceSelector {
        go_pgo: Some(GoPgo {
            keep_locations: 1,
            aggregate_callees: true,
        }),
        ..selector(&["ignored"])
    };
    let request = SelectMergeProfileRequest {
        stack_trace_selector: Some(pgo),
        ..whole("{}")
    };
    let mut client = fixture.pyroscope().await;
    let found = client.select_merge_profile(request).await.unwrap();
    let found = nodes_of_profile(&found.into_inner().0);
    let expected = [("cart+0x4010", 8), ("read", 12), ("work", 130)];
    let expected = expected.map(|(name, value)| (name.to_owned(), (value, value)));
    assert_eq!(found, Nodes::from(expected));
    fixture.stop().await;
}

#[tokio::test]
async fn spans_and_traces_are_selected_by_their_ids() {
    let fixture = Fixture::start().await;
    for (span, samples) in [
        (0xab, &[("main;a", "", 1)][..]),
        (0xcd, &[("main;b", "", 2)][..]),
        (0, &[("main;c", "", 4)][..]),
    ] {
        let sent = Sent {
            span,
            at: START + i64::from(span),
            samples,
            ..Sent::default()
        };
        fixture.add(&head(&[sent])).await;
    }
    let hex = |byte: &str, bytes: usize| byte.repeat(bytes);
    for (spans, total) in [
        (vec![hex("ab", 8)], 1),
        (vec![hex("AB", 8), hex("cd", 8)], 3),
        (vec![hex("01", 8)], 0),
    ] {
        let request = SelectMergeSpanProfileRequest {
            profile_type_id: CPU.to_owned(),
            label_selector: "{}".to_owned(),
            span_selector: spans.clone(),
            start: START_MS,
            end: END_MS,
            ..SelectMergeSpanProfileRequest::default()
        };
        for codec in CODECS {
            let found: SelectMergeSpanProfileResponse = fixture
                .call(&path("SelectMergeSpanProfile"), codec, &request)
                .await
                .into_body();
            assert_eq!(found.flamegraph.unwrap().total, total, "{spans:?}");
        }
        let request = SelectMergeStacktracesRequest {
            span_selector: spans,
            ..stacktraces("{}", ProfileFormat::Unspecified)
        };
        assert_eq!(flame_graph(&fixture, request).await.total, total);
    }
    let request = SelectMergeProfileRequest {
        trace_id_selector: vec![hex("cd", 16)],
        ..whole("{}")
    };
    let mut client = fixture.pyroscope().await;
    let found = client.select_merge_profile(request).await.unwrap();
    let found = nodes_of_profile(&found.into_inner().0);
    let expected = [("main", (2, 0)), ("main;b", (2, 2))];
    let expected = expected.map(|(name, values)| (name.to_owned(), values));
    assert_eq!(found, Nodes::from(expected));
    fixture.stop().await;
}

#[tokio::test]
async fn partial_answers_are_flagged_in_every_encoding() {
    let fixture = filled().await;
    let (missing, _) = fixture.record(&head(&[Sent::default()])).await;
    let request = stacktraces("{}", ProfileFormat::Unspecified);
    let flagged = |headers: &http::HeaderMap| {
        let warning = headers["cairn-warning"].to_str().unwrap();
        headers["cairn-partial"] == "true" && warning.contains(&missing.to_string())
    };
    for codec in CODECS {
        let found = fixture
            .call::<_, SelectMergeStacktracesResponse>(
                &path("SelectMergeStacktraces"),
                codec,
                &request,
            )
            .await;
        assert!(flagged(found.headers()), "{:?}", found.headers());
        assert_eq!(found.body().flamegraph.as_ref().unwrap().total, 150);
    }
    let mut client = fixture.pyroscope().await;
    let found = client.select_merge_stacktraces(request).await.unwrap();
    assert!(flagged(found.metadata().as_ref()));
    fixture.stop().await;
}

#[tokio::test]
async fn bodies_are_compressed_both_ways() {
    let fixture = filled().await;
    let request = stacktraces("{}", ProfileFormat::Unspecified);
    let plain: SelectMergeStacktracesResponse = fixture
        .call(&path("SelectMergeStacktraces"), Codec::Proto, &request)
        .await
        .into_body();
    for codec in CODECS {
        let body = codec.encode(&request);
        let mut sent = Vec::new();
        flate2::read::GzEncoder::new(&body[..], flate2::Compression::fast())
            .read_to_end(&mut sent)
            .unwrap();
        let url = format!(
            "http://{}{}",
            fixture.address(),
            path("SelectMergeStacktraces")
        );
        let request = Request::post(url)
            .header("content-type", codec.content_type())
            .header("content-encoding", "gzip")
            .header("accept-encoding", "gzip")
            .header("connect-protocol-version", "1");
        let response = send(
            request
                .body(http_body_util::Full::new(sent.into()))
                .unwrap(),
        )
        .await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-encoding"], "gzip");
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&response.body()[..])
            .read_to_end(&mut read)
            .unwrap();
        let answer: SelectMergeStacktracesResponse = codec.decode(read.into()).unwrap();
        assert_eq!(answer.encode_to_vec(), plain.encode_to_vec());
    }
    fixture.stop().await;
}
