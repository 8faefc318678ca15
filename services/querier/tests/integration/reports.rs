//! Asking for reports and reading them.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_ipc::reader::StreamReader;
use cairn_model::{Limits, Profile};
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, Options, ReportType};
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::{
    DiffProfile, MergeProfile, ProfileDiffSelection, QueryRequest, QueryResponse,
    profile_diff_selection,
};

use crate::fixture::{Fixture, SECOND};

pub(crate) const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta";

/// The minute from `start` on.
fn minute(start: i64) -> MergeProfile {
    MergeProfile {
        query: CPU.to_owned(),
        start: Some(cairn_wire::timestamp(start)),
        end: Some(cairn_wire::timestamp(start + 60 * SECOND)),
    }
}

pub(crate) fn merge(start: i64, report: ReportType) -> QueryRequest {
    QueryRequest {
        mode: Mode::Merge.into(),
        options: Some(Options::Merge(minute(start))),
        report_type: report.into(),
        ..QueryRequest::default()
    }
}

/// The minute from `b` on compared with that from `a` on.
pub(crate) fn diff(a: i64, b: i64, absolute: bool, report: ReportType) -> QueryRequest {
    let side = |start| ProfileDiffSelection {
        mode: 1,
        options: Some(profile_diff_selection::Options::Merge(minute(start))),
    };
    QueryRequest {
        mode: Mode::Diff.into(),
        options: Some(Options::Diff(DiffProfile {
            a: Some(side(a)),
            b: Some(side(b)),
            absolute: Some(absolute),
        })),
        report_type: report.into(),
        ..QueryRequest::default()
    }
}

/// The answer, from which nothing may be missing.
pub(crate) async fn ask(fixture: &Fixture, request: QueryRequest) -> QueryResponse {
    let answer = fixture.parca().await.query(request).await.unwrap();
    assert!(!answer.metadata().contains_key("cairn-partial"));
    answer.into_inner()
}

/// The one record of an IPC stream.
pub(crate) fn record(bytes: &[u8]) -> RecordBatch {
    StreamReader::try_new(bytes, None)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
}

/// Whole numbers of whatever width.
pub(crate) fn ints(record: &RecordBatch, column: &str) -> Vec<i64> {
    let array = record.column_by_name(column).unwrap();
    // `-1` stands for what is not there; addresses and lines are never negative.
    macro_rules! widths {
        ($($of:ty),*) => {
            $(if let Some(array) = array.as_primitive_opt::<$of>() {
                return array.iter().map(|v| v.map_or(-1, |v| v as i64)).collect();
            })*
        };
    }
    widths!(UInt8Type, UInt16Type, UInt32Type, UInt64Type);
    widths!(Int8Type, Int16Type, Int32Type, Int64Type);
    panic!("{column} holds no whole numbers")
}

/// Texts of a dictionary of bytes; empty if there is none.
pub(crate) fn texts(record: &RecordBatch, column: &str) -> Vec<String> {
    let array = record.column_by_name(column).unwrap();
    let array = array.as_dictionary::<Int32Type>();
    let values = array.values().as_binary::<i32>();
    let text = |key: Option<usize>| {
        let bytes = key.map_or(&[][..], |key| values.value(key));
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    array.keys_iter().map(text).collect()
}

/// Name, cumulative value and difference of every row of an Arrow flame graph, by name.
pub(crate) fn arrow_rows(answer: QueryResponse) -> Vec<(String, i64, i64)> {
    let Some(Report::FlamegraphArrow(graph)) = answer.report else {
        panic!("another report");
    };
    let record = record(&graph.record);
    let values = ints(&record, "cumulative").into_iter();
    let values = values.zip(ints(&record, "diff"));
    let names = texts(&record, "function_name").into_iter();
    let mut rows: Vec<_> = names.zip(values).map(|(n, (v, d))| (n, v, d)).collect();
    rows.sort();
    rows
}

pub(crate) fn pprof(answer: QueryResponse) -> Profile {
    let Some(Report::Pprof(bytes)) = answer.report else {
        panic!("another report");
    };
    let options = cairn_pprof::Options::default();
    let decoded = cairn_pprof::decode(&bytes, &Limits::default(), &options);
    decoded.unwrap().profile
}
