//! What Parca's query path gets wrong, one test each. The symbolizer that names native frames here
//! knows every address.

use std::collections::BTreeSet;

use cairn_wire::parca::query::v1alpha1::query_request::ReportType;
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::{HasProfileDataRequest, SourceReference, ValuesRequest};

use crate::fixture::{Fixture, SECOND, START, Sent, head};
use crate::reports::{arrow_rows, ask, diff, ints, merge, pprof, record, texts};
use crate::symbols;

const LATER: i64 = START + 3600 * SECOND;

#[tokio::test]
async fn a_download_says_when_how_long_and_how_often() {
    let fixture = Fixture::start().await;
    let second = Sent {
        at: START + 20 * SECOND,
        ..Sent::default()
    };
    fixture.add(&head(&[Sent::default(), second])).await;
    let profile = pprof(ask(&fixture, merge(START - SECOND, ReportType::Pprof)).await);
    let said = (profile.time, profile.duration, profile.period);
    assert_eq!(said, (START, 20 * SECOND, 10));
    fixture.stop().await;
}

#[tokio::test]
async fn equal_stacks_are_one_sample_of_a_download() {
    let fixture = Fixture::start().await;
    for at in 0..3 {
        let sent = Sent {
            at: START + at * SECOND,
            ..Sent::default()
        };
        fixture.add(&head(&[sent])).await;
    }
    let profile = pprof(ask(&fixture, merge(START, ReportType::Pprof)).await);
    let mut values = profile.samples.values.clone();
    values.sort_unstable();
    // One has a label, the other none.
    assert_eq!(values, [36, 90]);
    fixture.stop().await;
}

#[tokio::test]
async fn differences_are_as_wide_as_the_smallest_needs() {
    let fixture = Fixture::start().await;
    let before = Sent {
        samples: &[("main;gone", "", 3_000_000_000), ("main;work", "", 1)],
        ..Sent::default()
    };
    let after = Sent {
        at: LATER,
        samples: &[("main;work", "", 2)],
        ..Sent::default()
    };
    fixture.add(&head(&[before, after])).await;
    let request = diff(START, LATER, true, ReportType::FlamegraphArrow);
    let rows = arrow_rows(ask(&fixture, request).await);
    assert!(rows.contains(&("gone".to_owned(), 0, -3_000_000_000)));
    assert!(rows.contains(&("work".to_owned(), 2, 1)));
    fixture.stop().await;
}

#[tokio::test]
async fn equal_addresses_of_two_binaries_stay_apart_and_have_differences() {
    let fixture = Fixture::start().await;
    let sent = |build_id, at, samples| Sent {
        build_id,
        at,
        samples,
        ..Sent::default()
    };
    let all = [
        sent("aa11", START, &[("main;0x4010", "", 5)]),
        sent("bb22", START, &[("main;0x4010", "", 7)]),
        sent("aa11", LATER, &[("main;0x4010", "", 6)]),
    ];
    for sent in &all {
        fixture.add(&head(&[*sent])).await;
    }
    let request = diff(START, LATER, true, ReportType::FlamegraphArrow);
    let answer = fixture.parca().await.query(request).await.unwrap();
    // Nobody symbolizes here, which the answer says.
    let Some(Report::FlamegraphArrow(graph)) = answer.into_inner().report else {
        panic!("another report");
    };
    let graph = record(&graph.record);
    let mut rows = Vec::new();
    let addresses = ints(&graph, "location_address");
    let builds = texts(&graph, "mapping_build_id");
    let (values, diffs) = (ints(&graph, "cumulative"), ints(&graph, "diff"));
    for at in (0..graph.num_rows()).filter(|at| addresses[*at] == 0x4010) {
        rows.push((builds[at].as_str(), values[at], diffs[at]));
    }
    rows.sort_unstable();
    assert_eq!(rows, [("aa11", 6, 1), ("bb22", 0, -7)]);
    fixture.stop().await;
}

#[tokio::test]
async fn recursion_counts_once_in_tables() {
    let fixture = Fixture::start().await;
    let sent = Sent {
        samples: &[("main;walk;step;walk;walk", "", 9)],
        ..Sent::default()
    };
    fixture.add(&head(&[sent])).await;
    let answer = ask(&fixture, merge(START, ReportType::Top)).await;
    let Some(Report::Top(top)) = answer.report else {
        panic!("another report");
    };
    assert!(top.list.iter().all(|node| node.cumulative == 9));
    let answer = ask(&fixture, merge(START, ReportType::TableArrow)).await;
    let Some(Report::TableArrow(table)) = answer.report else {
        panic!("another report");
    };
    assert_eq!(ints(&record(&table.record), "cumulative"), [9, 9, 9]);
    fixture.stop().await;
}

/// A profile of addresses without names, and somebody who names them.
async fn native() -> (Fixture, cairn_chassis::Process) {
    let symbolizer = symbols::start().await;
    let address = format!("http://{}", symbolizer.address());
    let fixture = Fixture::with(|config, _| config.symbolizer = address).await;
    let sent = Sent {
        build_id: "aa11",
        samples: &[("main;0x4010", "", 8), ("main;0x4010;work", "", 3)],
        ..Sent::default()
    };
    fixture.add(&head(&[sent])).await;
    (fixture, symbolizer)
}

#[tokio::test]
async fn a_sandwich_knows_the_names_that_a_symbolizer_gave() {
    let (fixture, symbolizer) = native().await;
    let names = |inverted: bool, function: &str| {
        let mut request = merge(START, ReportType::FlamegraphArrow);
        request.sandwich_by_function = Some(function.to_owned());
        request.invert_call_stack = Some(inverted);
        request
    };
    let row = |name: &str, value| (name.to_owned(), value, 0);
    // `inner` is inlined into `outer`: the cut goes through one location.
    let answer = ask(&fixture, names(false, "inner")).await;
    assert_eq!((answer.total, answer.filtered), (11, 0));
    let callees = arrow_rows(answer);
    assert_eq!(callees, [row("", 11), row("inner", 11), row("work", 3)]);
    let callers = arrow_rows(ask(&fixture, names(true, "outer")).await);
    assert_eq!(callers, [row("", 11), row("main", 11), row("outer", 11)]);
    let answer = ask(&fixture, names(false, "work")).await;
    assert_eq!((answer.total, answer.filtered), (3, 8));
    // Part of a name is no name.
    assert_eq!(ask(&fixture, names(false, "inn")).await.total, 0);
    fixture.stop().await;
    symbolizer.stop().await.unwrap();
}

#[tokio::test]
async fn a_relative_comparison_leaves_values_alone() {
    let fixture = Fixture::start().await;
    let sent = |at, samples| Sent {
        at,
        samples,
        ..Sent::default()
    };
    let small = sent(LATER, &[("main", "", 10)]);
    fixture
        .add(&head(&[sent(START, &[("main", "", 70)]), small]))
        .await;
    let request = diff(START, LATER, false, ReportType::FlamegraphArrow);
    let answer = ask(&fixture, request).await;
    assert_eq!(answer.total, 10);
    assert_eq!(
        arrow_rows(answer),
        [("".to_owned(), 10, 0), ("main".to_owned(), 10, 0)]
    );
    fixture.stop().await;
}

#[tokio::test]
async fn what_an_answer_of_a_symbolizer_has_no_room_for_is_asked_for_again() {
    let symbolizer = symbols::start().await;
    let address = format!("http://{}", symbolizer.address());
    let fixture = Fixture::with(|config, _| config.symbolizer = address).await;
    let sent = Sent {
        build_id: symbols::LONG,
        samples: &[
            ("main;0x4010", "", 8),
            ("main;0x4020;work", "", 3),
            ("main;0x4030", "", 2),
        ],
        ..Sent::default()
    };
    fixture.add(&head(&[sent])).await;
    let mut request = merge(START, ReportType::FlamegraphArrow);
    request.sandwich_by_function = Some("inner".to_owned());
    let answer = ask(&fixture, request).await;
    assert_eq!((answer.total, answer.filtered), (13, 0));
    fixture.stop().await;
    symbolizer.stop().await.unwrap();
}

#[tokio::test]
async fn columns_that_a_symbolizer_gave_are_kept() {
    let (fixture, symbolizer) = native().await;
    let profile = pprof(ask(&fixture, merge(START, ReportType::Pprof)).await);
    let lines: BTreeSet<(i64, i64)> = profile
        .tables
        .lines
        .iter()
        .map(|line| (line.line, line.column))
        .collect();
    assert!(lines.is_superset(&[(7, 3), (20, 9)].into()), "{lines:?}");
    fixture.stop().await;
    symbolizer.stop().await.unwrap();
}

#[tokio::test]
async fn values_honour_matchers_and_having_data_opens_no_block() {
    let fixture = Fixture::start().await;
    let mut parca = fixture.parca().await;
    let has_data = async |parca: &mut cairn_wire::parca::query::v1alpha1::query_service_client::QueryServiceClient<_>| {
        let answer = parca.has_profile_data(HasProfileDataRequest::default());
        answer.await.unwrap().into_inner().has_data
    };
    assert!(!has_data(&mut parca).await);
    // Known to the catalog, but not in the store: whoever opened it would fail.
    let (id, bytes) = fixture.record(&head(&[Sent::default()])).await;
    assert!(has_data(&mut parca).await);

    let key = cairn_store::Key::Block {
        tenant: &fixture.tenant,
        id,
    };
    fixture.store.create(key, bytes).await.unwrap();
    let values = |matchers: &[&str]| ValuesRequest {
        label_name: "pod".to_owned(),
        r#match: matchers.iter().map(|m| (*m).to_owned()).collect(),
        ..ValuesRequest::default()
    };
    let found = parca.values(values(&[r#"{service_name="other"}"#])).await;
    assert_eq!(found.unwrap().into_inner().label_values, [""; 0]);
    let either = values(&[r#"{service_name="other"}"#, r#"{service_name="cart"}"#]);
    let found = parca.values(either).await;
    assert_eq!(found.unwrap().into_inner().label_values, ["cart-1"]);
    fixture.stop().await;
}

#[tokio::test]
async fn sources_have_values_per_line_and_the_text_that_was_uploaded() {
    let (fixture, symbolizer) = native().await;
    let request = |build_id: &str, filename: &str, source_only| {
        let mut request = merge(START, ReportType::Source);
        request.source_reference = Some(SourceReference {
            build_id: build_id.to_owned(),
            filename: filename.to_owned(),
            source_only,
        });
        request
    };
    for (build_id, file) in [("aa11", "/src/app.c"), ("", "app.c"), ("", "src/app.c")] {
        let answer = ask(&fixture, request(build_id, file, false)).await;
        let Some(Report::Source(source)) = answer.report else {
            panic!("another report");
        };
        let text = if build_id == "aa11" {
            symbols::TEXT
        } else {
            ""
        };
        assert_eq!(
            (source.source.as_str(), source.unit.as_str()),
            (text, "nanoseconds")
        );
        let lines = record(&source.record);
        assert_eq!(ints(&lines, "line_number"), [7, 20]);
        assert_eq!(ints(&lines, "cumulative"), [11, 11]);
        assert_eq!(ints(&lines, "flat"), [8, 0]);
    }
    for (build_id, file) in [("bb22", "/src/app.c"), ("aa11", "pp.c")] {
        let answer = ask(&fixture, request(build_id, file, false)).await;
        let Some(Report::Source(source)) = answer.report else {
            panic!("another report");
        };
        assert_eq!(record(&source.record).num_rows(), 0);
    }
    let only = ask(&fixture, request("aa11", "/src/app.c", true)).await;
    let Some(Report::Source(source)) = only.report else {
        panic!("another report");
    };
    assert_eq!(source.source, symbols::TEXT);
    let mut parca = fixture.parca().await;
    let only = parca
        .query(request("aa11", "other.c", true))
        .await
        .unwrap_err();
    assert_eq!(only.code(), tonic::Code::NotFound);
    assert_eq!(
        only.message(),
        "no sources for this build id have been uploaded"
    );
    let none = parca.query(merge(START, ReportType::Source)).await;
    assert_eq!(none.unwrap_err().code(), tonic::Code::InvalidArgument);
    fixture.stop().await;
    symbolizer.stop().await.unwrap();
}
