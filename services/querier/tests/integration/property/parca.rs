//! Every report of Parca's API against what the rows add up to.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::types::{UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_schema::DataType;
use cairn_block::{Head, Origin};
use cairn_engine::{Answer, GroupBy, Query, Question, Source, scan_head};
use cairn_model::{Code, Labels, Limits, NONE, TimeRange};
use cairn_wire::parca::query::v1alpha1 as wire;
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, Options, ReportType};
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::query_service_client::QueryServiceClient;
use cairn_wire::parca::query::v1alpha1::{
    DiffProfile, LabelsRequest, MergeProfile, ProfileDiffSelection, ProfileTypesRequest,
    QueryRangeRequest, QueryRequest, SingleProfile, ValuesRequest, profile_diff_selection,
};
use tonic::Response;
use tonic::transport::Channel;

use super::case::Asked;
use super::expected::{self, Paths, Points, Table};
use super::{Place, names_agree};
use crate::model::{self, Row, Sums};

type Client = QueryServiceClient<Channel>;

/// All of them, from one querier.
pub(crate) async fn check(place: &Place<'_>, asked: &Asked) {
    let mut client = QueryServiceClient::connect(place.url()).await.unwrap();
    let rows = asked.matching();
    let total: i64 = rows.iter().map(|row| row.value()).sum();
    let parca = &mut Parca {
        client: &mut client,
        place,
        asked,
    };

    let graph = parca.merged(ReportType::FlamegraphArrow, None).await;
    assert_eq!(graph.total, total, "{}", place.said("total"));
    let expected = expected::unsigned(expected::paths(&rows, None));
    assert_eq!(
        flame(graph).0,
        expected,
        "{}",
        place.said("FLAMEGRAPH_ARROW")
    );
    // Several groups may show the same value, and columns without a sign hold no less than nothing.
    if rows.iter().all(|row| row.value() >= 0) {
        let by_label = parca
            .merged(ReportType::FlamegraphArrow, Some(asked.label))
            .await;
        let expected = expected::paths(&rows, Some(asked.label));
        assert_eq!(
            flame(by_label).0,
            expected,
            "{}",
            place.said("FLAMEGRAPH_ARROW by label")
        );
    }

    let table = expected::table(&rows);
    let top = parca.merged(ReportType::Top, None).await;
    assert_eq!(top_rows(top), table, "{}", place.said("TOP"));
    let arrow = parca.merged(ReportType::TableArrow, None).await;
    assert_eq!(table_rows(arrow), table, "{}", place.said("TABLE_ARROW"));

    let pprof = parca.merged(ReportType::Pprof, None).await;
    assert_eq!(
        samples(pprof),
        expected::samples(&rows),
        "{}",
        place.said("PPROF")
    );

    parca.single(&rows).await;
    parca.diff(&rows).await;
    parca.range(&rows).await;
    parca.names(&rows).await;
}

struct Parca<'a> {
    client: &'a mut Client,
    place: &'a Place<'a>,
    asked: &'a Asked,
}

impl Parca<'_> {
    /// The answer, whose flags are as they must be.
    fn flagged<T>(&self, response: Response<T>) -> T {
        let headers = response.metadata().clone().into_headers();
        self.place.check_flags(&headers);
        response.into_inner()
    }

    async fn query(
        &mut self,
        (mode, options): (Mode, Options),
        report: ReportType,
    ) -> wire::QueryResponse {
        let request = QueryRequest {
            mode: mode.into(),
            options: Some(options),
            report_type: report.into(),
            ..QueryRequest::default()
        };
        let response = self.client.query(request).await.unwrap();
        self.flagged(response)
    }

    async fn merged(&mut self, report: ReportType, label: Option<&str>) -> wire::QueryResponse {
        let request = QueryRequest {
            mode: Mode::Merge.into(),
            options: Some(Options::Merge(merge(self.asked, self.asked.range))),
            report_type: report.into(),
            group_by: label.map(|label| wire::GroupBy {
                fields: vec![format!("labels.{label}")],
            }),
            ..QueryRequest::default()
        };
        let response = self.client.query(request).await.unwrap();
        self.flagged(response)
    }

    /// The profiles of the first time of all.
    async fn single(&mut self, rows: &[&Row]) {
        let Some(time) = rows.iter().map(|row| row.time).min() else {
            return;
        };
        let of_time: Vec<&Row> = rows
            .iter()
            .copied()
            .filter(|row| row.time == time)
            .collect();
        let options = Options::Single(SingleProfile {
            time: Some(cairn_wire::timestamp(time)),
            query: self.asked.selector(),
        });
        let request = QueryRequest {
            mode: Mode::SingleUnspecified.into(),
            options: Some(options),
            report_type: ReportType::Top.into(),
            ..QueryRequest::default()
        };
        // What is damaged may not reach that far.
        let found = self.client.query(request).await.unwrap().into_inner();
        assert_eq!(
            top_rows(found),
            expected::table(&of_time),
            "{}",
            self.place.said("SINGLE")
        );
    }

    /// The first half of the range, then the second.
    async fn diff(&mut self, rows: &[&Row]) {
        let TimeRange { start, end } = self.asked.range;
        let middle = start + (end - start) / 2;
        let half = |start, end| ProfileDiffSelection {
            mode: profile_diff_selection::Mode::Merge.into(),
            options: Some(profile_diff_selection::Options::Merge(merge(
                self.asked,
                TimeRange { start, end },
            ))),
        };
        let sides = DiffProfile {
            a: Some(half(start, middle)),
            b: Some(half(middle + 1, end)),
            absolute: Some(true),
        };
        let (base, compare): (Vec<&Row>, Vec<&Row>) =
            rows.iter().partition(|row| row.time <= middle);
        if !self.asked.stays_itself(&base) || !self.asked.stays_itself(&compare) {
            return;
        }
        let options = (Mode::Diff, Options::Diff(sides));
        let found = self.query(options, ReportType::FlamegraphArrow).await;
        let (base, compare) = (
            expected::paths(&base, None),
            expected::paths(&compare, None),
        );
        let (shown, diffs) = flame(found);
        assert_eq!(
            shown,
            expected::unsigned(compare.clone()),
            "{}",
            self.place.said("DIFF")
        );
        let mut expected: BTreeMap<Vec<String>, i64> = BTreeMap::new();
        for (paths, sign) in [(base, -1), (compare, 1)] {
            for (path, (cumulative, _)) in paths {
                *expected.entry(path).or_default() += sign * cumulative;
            }
        }
        expected.retain(|_, diff| *diff != 0);
        assert_eq!(diffs, expected, "{}", self.place.said("diff of DIFF"));
    }

    async fn range(&mut self, rows: &[&Row]) {
        let Asked {
            range,
            step,
            sum_by,
            profile_type,
            ..
        } = self.asked;
        let request = QueryRangeRequest {
            query: self.asked.selector(),
            start: Some(cairn_wire::timestamp(range.start)),
            end: Some(cairn_wire::timestamp(range.end)),
            limit: 0,
            step: Some(cairn_wire::duration(*step)),
            sum_by: sum_by.clone(),
        };
        let found = match self.client.query_range(request).await {
            Ok(found) => points(self.flagged(found)),
            Err(status) => {
                let expected = match self.place.missing.is_empty() {
                    true => Code::NotFound,
                    false => Code::Unavailable,
                };
                assert_eq!(cairn_wire::code_of(&status), expected, "{status}");
                Points::new()
            }
        };
        let expected = expected::points(rows, profile_type, (*step, sum_by));
        assert_eq!(found, expected, "{}", self.place.said("QueryRange"));
    }

    async fn names(&mut self, rows: &[&Row]) {
        let TimeRange { start, end } = self.asked.range;
        let (start, end) = (
            cairn_wire::timestamp(start - 1),
            cairn_wire::timestamp(end + 1),
        );
        let types = ProfileTypesRequest {
            start: Some(start),
            end: Some(end),
        };
        let types = self.client.profile_types(types).await.unwrap();
        let found: BTreeSet<(String, String, bool)> = self
            .flagged(types)
            .types
            .into_iter()
            .map(|of| (of.name, of.sample_type, of.delta))
            .collect();
        let expected = self.asked.in_range().into_iter().map(|row| {
            let of = &row.profile_type;
            (of.name.to_string(), of.sample_type.to_string(), of.delta)
        });
        assert_eq!(
            found,
            expected.collect(),
            "{}",
            self.place.said("ProfileTypes")
        );

        let matching = vec![self.asked.selector()];
        let labels = LabelsRequest {
            r#match: matching.clone(),
            start: Some(start),
            end: Some(end),
            profile_type: None,
        };
        let labels = self.client.labels(labels).await.unwrap();
        let found = self.flagged(labels).label_names;
        names_agree(
            found,
            expected::names(rows, None),
            self.asked,
            &self.place.said("Labels"),
        );
        let values = ValuesRequest {
            label_name: self.asked.label.to_owned(),
            r#match: matching,
            start: Some(start),
            end: Some(end),
            profile_type: None,
        };
        let values = self.client.values(values).await.unwrap();
        let found = self.flagged(values).label_values;
        let expected = expected::names(rows, Some(self.asked.label));
        names_agree(found, expected, self.asked, &self.place.said("Values"));
    }
}

fn merge(asked: &Asked, range: TimeRange) -> MergeProfile {
    MergeProfile {
        query: asked.selector(),
        start: Some(cairn_wire::timestamp(range.start)),
        end: Some(cairn_wire::timestamp(range.end)),
    }
}

// === What reports say ===

/// Sums by path, and differences.
fn flame(response: wire::QueryResponse) -> (Paths, BTreeMap<Vec<String>, i64>) {
    let Some(Report::FlamegraphArrow(graph)) = response.report else {
        panic!("another report");
    };
    let record = record(&graph.record);
    let column = |name: &str| ints(record.column_by_name(name).unwrap());
    let (parents, cumulative, flat) = (column("parent"), column("cumulative"), column("flat"));
    let diffs = column("diff");
    let names = node_names(&record);
    let mut of_row: Vec<Vec<String>> = Vec::new();
    let (mut sums, mut changes) = (Paths::new(), BTreeMap::new());
    for row in 0..record.num_rows() {
        let mut path = match parents[row] {
            -1 => Vec::new(),
            parent => of_row[parent as usize].clone(),
        };
        path.extend((row > 0).then(|| names[row].clone()));
        expected::add(&mut sums, path.clone(), (cumulative[row], flat[row]));
        *changes.entry(path.clone()).or_default() += diffs[row];
        of_row.push(path);
    }
    changes.retain(|_, diff| *diff != 0);
    (expected::without_zeros(sums), changes)
}

/// Of a function, an address without a name, or a label.
fn node_names(record: &RecordBatch) -> Vec<String> {
    let column = |name: &str| texts(record.column_by_name(name).unwrap());
    let (functions, files) = (column("function_name"), column("mapping_file"));
    let addresses = ints(record.column_by_name("location_address").unwrap());
    let schema = record.schema();
    let label = schema
        .fields()
        .iter()
        .find(|field| field.name().starts_with("labels."));
    let labels = label.map(|field| column(field.name()));
    let is_label = record.column_by_name("labels_only");
    let name = |row: usize| {
        if is_label.is_some_and(|column| column.as_boolean().value(row)) {
            return labels
                .as_ref()
                .and_then(|labels| labels[row].clone())
                .unwrap();
        }
        match (&functions[row], &files[row]) {
            (Some(function), _) => function.clone(),
            (None, Some(file)) => format!("{file}+{:#x}", addresses[row]),
            // A function of which not even the name is known.
            (None, None) if addresses[row] == 0 => String::new(),
            (None, None) => format!("{:#x}", addresses[row]),
        }
    };
    (0..record.num_rows()).map(name).collect()
}

fn top_rows(response: wire::QueryResponse) -> Table {
    let Some(Report::Top(top)) = response.report else {
        panic!("another report");
    };
    let mut table = Table::new();
    for node in top.list {
        let function = node.meta.and_then(|meta| meta.function);
        let before = table.insert(function.unwrap().name, (node.cumulative, node.flat));
        assert_eq!(before, None, "a function twice");
    }
    expected::without_zeros(table)
}

fn table_rows(response: wire::QueryResponse) -> Table {
    let Some(Report::TableArrow(table)) = response.report else {
        panic!("another report");
    };
    let record = record(&table.record);
    let column = |name: &str| ints(record.column_by_name(name).unwrap());
    let (cumulative, flat) = (column("cumulative"), column("flat"));
    let mut rows = Table::new();
    for (row, name) in node_names(&record).into_iter().enumerate() {
        let before = rows.insert(name, (cumulative[row], flat[row]));
        assert_eq!(before, None, "a function twice");
    }
    expected::without_zeros(rows)
}

/// A download as the rows that it holds.
fn samples(response: wire::QueryResponse) -> Sums {
    let Some(Report::Pprof(bytes)) = response.report else {
        panic!("another report");
    };
    let decoded = cairn_pprof::decode(&bytes, &Limits::default(), &cairn_pprof::Options::default());
    let origin = Origin {
        name: "download".into(),
        labels: Labels::default(),
        time: 1,
        lsn: 1,
        batch: 0,
    };
    let mut head = Head::default();
    head.append(&decoded.unwrap().profile, &origin).unwrap();
    let query = Query {
        profile_type: None,
        matchers: Vec::new(),
        range: TimeRange::ALL,
        weights: None,
        question: Question::Stacks(GroupBy::SampleLabels),
    };
    let Answer::Stacks(partial) = scan_head(&head, 0, &query, Source::ALONE).answer else {
        panic!("another answer");
    };
    assert!(
        partial
            .trie
            .frames()
            .iter()
            .skip(1)
            .all(|frame| *frame != NONE)
    );
    expected::without_empty(model::sums(&partial))
}

fn points(response: wire::QueryRangeResponse) -> Points {
    let mut points = Points::new();
    for series in response.series {
        let labels = series.labelset.unwrap().labels.into_iter();
        let labels = labels.map(|label| (label.name, label.value)).collect();
        let of_time = series.samples.iter().map(|sample| {
            let time = cairn_wire::nanos(sample.timestamp.as_ref().unwrap()).unwrap();
            (time, (sample.value, sample.count, sample.duration))
        });
        let before = points.insert(labels, of_time.collect());
        assert_eq!(before, None, "a series twice");
    }
    points
}

// === Arrow ===

fn record(bytes: &[u8]) -> RecordBatch {
    let mut reader = StreamReader::try_new(bytes, None).unwrap();
    let record = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    record
}

/// Numbers of any width; absent ones are 0.
fn ints(column: &ArrayRef) -> Vec<i64> {
    fn of<T: ArrowPrimitiveType>(column: &ArrayRef) -> Vec<i64>
    where
        i128: From<T::Native>,
    {
        let values = column.as_primitive::<T>().iter();
        let value = |value: T::Native| i64::try_from(i128::from(value)).unwrap();
        values.map(|found| found.map_or(0, value)).collect()
    }
    match column.data_type() {
        DataType::UInt8 => of::<UInt8Type>(column),
        DataType::UInt16 => of::<UInt16Type>(column),
        DataType::UInt32 => of::<UInt32Type>(column),
        DataType::UInt64 => of::<UInt64Type>(column),
        DataType::Int8 => of::<Int8Type>(column),
        DataType::Int16 => of::<Int16Type>(column),
        DataType::Int32 => of::<Int32Type>(column),
        DataType::Int64 => of::<Int64Type>(column),
        other => panic!("{other} is no number"),
    }
}

/// Texts of a dictionary, of bytes or of strings.
fn texts(column: &ArrayRef) -> Vec<Option<String>> {
    let dictionary = column.as_any_dictionary();
    let values = dictionary.values();
    if values.is_empty() {
        return vec![None; column.len()];
    }
    let keys = dictionary.normalized_keys();
    let text = |key: usize| match values.data_type() {
        DataType::Binary => {
            String::from_utf8(values.as_binary::<i32>().value(key).to_vec()).unwrap()
        }
        _ => values.as_string::<i32>().value(key).to_owned(),
    };
    let rows = keys.into_iter().enumerate();
    rows.map(|(row, key)| (!column.is_null(row)).then(|| text(key)))
        .collect()
}
