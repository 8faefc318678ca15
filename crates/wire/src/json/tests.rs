//! JSON and query strings by example and at random. What clients really send is in `tests/integration`.

use proptest::prelude::*;

use super::*;
use crate::parca::profilestore::v1alpha1::{Label, LabelSet};
use crate::parca::query::v1alpha1 as query;
use crate::push::v1 as push;

fn parsed<M: Message + Name + Default>(text: &str) -> M {
    from_query(
        text.split('&')
            .map(|pair| pair.split_once('=').expect("a pair")),
    )
    .expect("valid")
}

fn refused<M: Message + Name + Default + std::fmt::Debug>(text: &str) -> String {
    let pairs = text
        .split('&')
        .map(|pair| pair.split_once('=').expect("a pair"));
    from_query::<M, _, _>(pairs)
        .expect_err("refused")
        .to_string()
}

#[test]
fn json_is_canonical() {
    let response = query::QueryRangeResponse {
        series: vec![query::MetricsSeries {
            labelset: Some(LabelSet {
                labels: vec![Label {
                    name: "pod".into(),
                    value: "a\"b".into(),
                }],
            }),
            samples: vec![query::MetricsSample {
                timestamp: Some(crate::timestamp(1_700_000_000_500_000_000)),
                value: i64::MAX,
                value_per_second: 1.5,
                duration: 0,
                count: 0,
            }],
            period_type: None,
            sample_type: None,
        }],
    };
    assert_eq!(
        to_json(&response, Defaults::Omitted),
        r#"{"series":[{"labelset":{"labels":[{"name":"pod","value":"a\"b"}]},"samples":[{"timestamp":"2023-11-14T22:13:20.500Z","value":"9223372036854775807","valuePerSecond":1.5}]}]}"#
    );
    assert!(to_json(&response, Defaults::Shown).contains(r#""duration":"0","count":0"#));
    assert_eq!(
        to_json(&query::LabelsResponse::default(), Defaults::Shown),
        r#"{"labelNames":[],"warnings":[]}"#
    );
    assert_eq!(to_json(&push::PushResponse {}, Defaults::Omitted), "{}");
}

#[test]
fn a_time_that_no_calendar_has_does_not_panic() {
    let sample = query::MetricsSample {
        timestamp: Some(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: -1,
        }),
        ..Default::default()
    };
    to_json(&sample, Defaults::Shown);
}

#[test]
fn connect_json_of_a_push_is_read() {
    let text = br#"{"series":[{"labels":[{"name":"service_name","value":"x"}],"samples":[{"rawProfile":"H4sI","ID":"1"}],"future":{"a":[1]}}]}"#;
    let request: push::PushRequest = from_json(text).expect("valid");
    assert_eq!(
        &request.series[0].samples[0].raw_profile[..],
        b"\x1f\x8b\x08"
    );
    assert_eq!(request.series[0].samples[0].id, "1");
    assert_eq!(request.series[0].labels[0].name, "service_name");
}

#[test]
fn bad_json_is_refused_with_a_reason() {
    for text in ["", "[]", "{", r#"{"series":1}"#, "{} x"] {
        let error = from_json::<push::PushRequest>(text.as_bytes()).expect_err(text);
        assert_eq!(error.code(), Code::Invalid);
        let shown = error.to_string();
        assert!(
            shown.starts_with("not the JSON of a push.v1.PushRequest: "),
            "{shown}"
        );
    }
    let deep = "[".repeat(100_000);
    assert!(from_json::<push::PushRequest>(deep.as_bytes()).is_err());
}

#[test]
fn query_strings_are_read_as_grpc_gateway_reads_them() {
    let range: query::QueryRangeRequest = parsed(
        "query=a:b:c:d:e{}&start=2023-11-14T22:13:20Z&end=2023-11-14T22:14:20.5Z&limit=7&step=1m30s&sum_by=pod&sumBy=node&unknown=1",
    );
    assert_eq!(range.query, "a:b:c:d:e{}");
    assert_eq!(
        range.start,
        Some(crate::timestamp(1_700_000_000_000_000_000))
    );
    assert_eq!(range.end, Some(crate::timestamp(1_700_000_060_500_000_000)));
    assert_eq!(
        (range.limit, range.step),
        (7, Some(crate::duration(90_000_000_000)))
    );
    assert_eq!(range.sum_by, ["pod", "node"]);

    let report: query::QueryRequest = parsed(
        "mode=MODE_MERGE&merge.query=q&merge.start.seconds=5&merge.end=1970-01-01T00:00:09Z&reportType=5&nodeTrimThreshold=0.5&invert_call_stack=true&group_by.fields=labels.pod&group_by.fields=x",
    );
    assert_eq!(report.mode(), query::query_request::Mode::Merge);
    assert_eq!(
        report.report_type(),
        query::query_request::ReportType::FlamegraphArrow
    );
    assert_eq!(report.node_trim_threshold, Some(0.5));
    assert_eq!(report.invert_call_stack, Some(true));
    assert_eq!(report.group_by.expect("set").fields, ["labels.pod", "x"]);
    let Some(query::query_request::Options::Merge(merge)) = report.options else {
        panic!("merge was set");
    };
    assert_eq!(merge.query, "q");
    assert_eq!(merge.start, Some(crate::timestamp(5_000_000_000)));
    assert_eq!(merge.end, Some(crate::timestamp(9_000_000_000)));
}

#[test]
fn bad_query_strings_are_refused_with_a_reason() {
    type Report = query::QueryRequest;
    assert_eq!(
        refused::<Report>("merge.query=a&single.query=b"),
        r#"query parameter "single.query": "merge" is set already"#
    );
    assert_eq!(
        refused::<Report>("mode=1&mode=2"),
        r#"query parameter "mode": is given twice"#
    );
    assert_eq!(
        refused::<Report>("mode.x=1"),
        r#"query parameter "mode.x": "mode" has no fields"#
    );
    assert!(refused::<Report>("mode=MODE_X").starts_with(r#"query parameter "mode": "#));
    assert!(refused::<Report>("filter=x").contains("has no spelling"));
    assert!(refused::<Report>("filter.a=x").contains("has no fields"));
    assert!(refused::<query::QueryRangeRequest>("limit=-1").contains("limit"));
    assert!(refused::<query::QueryRangeRequest>("start=yesterday").contains("start"));
    assert!(refused::<query::QueryRangeRequest>("step=1").contains("is not a duration"));
    assert!(refused::<Report>("invert_call_stack=maybe").contains("neither"));
}

#[test]
fn empty_times_are_absent_ones() {
    let range: query::QueryRangeRequest = parsed("start=&end=null&step=");
    assert_eq!(range, query::QueryRangeRequest::default());
}

proptest! {
    #[test]
    fn json_round_trips(
        name in ".{0,12}",
        value in any::<i64>(),
        per_second in any::<i32>().prop_map(f64::from),
        time in any::<i64>(),
    ) {
        let message = query::MetricsSeries {
            labelset: Some(LabelSet { labels: vec![Label { name, value: String::new() }] }),
            samples: vec![query::MetricsSample {
                timestamp: Some(crate::timestamp(time)),
                value,
                value_per_second: per_second,
                duration: value,
                count: value as i32,
            }],
            ..Default::default()
        };
        for defaults in [Defaults::Shown, Defaults::Omitted] {
            let text = to_json(&message, defaults);
            prop_assert_eq!(&from_json::<query::MetricsSeries>(text.as_bytes()).expect("own JSON"), &message);
        }
    }

    #[test]
    fn query_strings_never_panic(name in "[a-z_.A-Z]{0,30}", value in ".{0,20}") {
        let names = ["", "merge.", "diff.a.", "filter.", "group_by.", "merge.start."];
        for prefix in names {
            let _ = from_query::<query::QueryRequest, _, _>([(format!("{prefix}{name}"), value.as_str())]);
        }
        for field in ["mode", "merge.start", "report_type", "node_trim_threshold", "invert_call_stack", "group_by.fields"] {
            let _ = from_query::<query::QueryRequest, _, _>([(field, value.as_str())]);
        }
    }
}
