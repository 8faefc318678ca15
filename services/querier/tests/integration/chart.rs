//! Calls over time: the flame chart, and flame graphs grouped by timestamp.

use cairn_wire::parca::query::v1alpha1::GroupBy;
use cairn_wire::parca::query::v1alpha1::query_request::ReportType;
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::{QueryRequest, QueryResponse};

use crate::apis::{CPU, merge};
use crate::fixture::{Fixture, START, Sent, head};
use crate::reports::{ask, diff, ints, record, texts};

const MILLI: i64 = 1_000_000;

fn stack(
    pod: &'static [(&'static str, &'static str)],
    millis: i64,
    stack: &'static str,
) -> Sent<'static> {
    let samples: &[(&str, &str, i64); 1] = Box::leak(Box::new([(stack, "", 50 * MILLI)]));
    Sent {
        labels: pod,
        at: START + millis * MILLI,
        duration: 50 * MILLI,
        samples,
        ..Sent::default()
    }
}

const A: &[(&str, &str)] = &[("pod", "a")];
const B: &[(&str, &str)] = &[("pod", "b")];

/// Stacks of 50 ms each: `main;work` until 150 ms, then a pause, all in two blocks.
async fn filled() -> Fixture {
    let fixture = Fixture::start().await;
    let first = [
        stack(A, 100, "main;work;read"),
        stack(A, 0, "main;work"),
        stack(B, 0, "idle"),
    ];
    fixture.add(&head(&first)).await;
    fixture
        .add(&head(&[
            stack(A, 50, "main;work"),
            stack(A, 300, "main;work"),
        ]))
        .await;
    fixture
}

fn of(query: &str, report: ReportType, fields: &[&str]) -> QueryRequest {
    QueryRequest {
        group_by: (!fields.is_empty()).then(|| GroupBy {
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        }),
        ..merge(query, report)
    }
}

/// Rows as they come: parent, name, milliseconds after the start, value in milliseconds.
fn rows(answer: QueryResponse) -> (i32, Vec<(i64, String, i64, i64)>) {
    let Some(Report::FlamegraphArrow(graph)) = answer.report else {
        panic!("another report");
    };
    let record = record(&graph.record);
    let times = ints(&record, "timestamp");
    let columns = ints(&record, "parent")
        .into_iter()
        .zip(texts(&record, "function_name"));
    let values = ints(&record, "cumulative").into_iter().zip(times);
    let rows = columns.zip(values).map(|((parent, name), (value, time))| {
        let millis = if time == 0 {
            -1
        } else {
            (time - START) / MILLI
        };
        (parent, name, millis, value / MILLI)
    });
    (graph.height, rows.collect())
}

#[tokio::test]
async fn calls_are_drawn_in_the_order_of_time() {
    let fixture = filled().await;
    let query = format!("{CPU}{{pod=\"a\"}}");
    let row = |parent: i64, name: &str, at: i64, value: i64| (parent, name.to_owned(), at, value);
    let expected = vec![
        row(-1, "", -1, 200),
        row(0, "main", 0, 150),
        row(0, "main", 300, 50),
        row(1, "work", 0, 150),
        row(2, "work", 300, 50),
        row(3, "read", 100, 50),
    ];
    let chart = ask(&fixture, of(&query, ReportType::Flamechart, &[])).await;
    assert_eq!((chart.total, chart.filtered), (200 * MILLI, 0));
    assert_eq!(rows(chart), (4, expected.clone()));
    let grouped = of(
        &query,
        ReportType::FlamegraphArrow,
        &["function_name", "timestamp"],
    );
    assert_eq!(rows(ask(&fixture, grouped).await), (4, expected));
    fixture.stop().await;
}

#[tokio::test]
async fn what_happened_at_one_time_needs_charts_of_its_own() {
    let fixture = filled().await;
    let mut client = fixture.parca().await;
    let both = client.query(of(CPU, ReportType::Flamechart, &[])).await;
    let status = both.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert_eq!(
        status.message(),
        format!("multiple samples for the same timestamp is not allowed: {START}")
    );
    let by_pod = of(CPU, ReportType::Flamechart, &["labels.pod"]);
    let (height, found) = rows(ask(&fixture, by_pod).await);
    assert_eq!(height, 5);
    // Two charts below the root, one of four calls at two times, one of a single call.
    let below = |parent: i64| found.iter().filter(|row| row.0 == parent).count();
    assert_eq!((below(0), below(1), below(2)), (2, 2, 1));
    assert_eq!(found.iter().map(|row| row.3).max(), Some(250));

    let compared = diff(START, START, false, ReportType::Flamechart);
    let status = client.query(compared).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unimplemented);
    let outside = of(CPU, ReportType::Flamechart, &[]);
    let mut empty = outside.clone();
    empty.options = merge(&format!("{CPU}{{pod=\"c\"}}"), ReportType::Flamechart).options;
    let (height, found) = rows(ask(&fixture, empty).await);
    assert_eq!((height, found.len()), (1, 1));
    fixture.stop().await;
}
