//! Every report of Parca's API against what the rows add up to.

use cairn_engine::{GroupBy, KeyBy};
use cairn_model::Code;
use cairn_wire::parca::query::v1alpha1 as wire;
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, Options, ReportType};
use cairn_wire::parca::query::v1alpha1::query_service_client::QueryServiceClient;
use cairn_wire::parca::query::v1alpha1::{
    MergeProfile, QueryRangeRequest, QueryRequest, QueryResponse, SingleProfile, SourceReference,
};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use tonic::Response;
use tonic::transport::Channel;

use super::case::Asked;
use super::expected::{self, Paths, Points};
use super::stacks::{Stack, stacks, total};
use super::{Place, parca_chart, parca_diff, parca_names, parca_share, read};
use crate::model::{Row, Sums};

/// What other APIs must say as well.
pub(crate) struct Told {
    pub(crate) paths: Paths,
    /// Stacks, whatever the labels of samples.
    pub(crate) samples: Sums,
}

/// All of them, from one querier.
pub(crate) async fn check(place: &Place<'_>, asked: &Asked) {
    let rows = asked.matching();
    let parca = Parca::connect(place, asked, &rows).await;
    let all: [BoxFuture<'_, ()>; 9] = [
        Box::pin(parca.whole().map(|_| ())),
        Box::pin(parca.parts()),
        Box::pin(parca.graphs()),
        Box::pin(parca.single(&rows)),
        Box::pin(parca.range(&rows)),
        Box::pin(parca_diff::check(&parca, &rows)),
        Box::pin(parca_chart::check(&parca, &rows)),
        Box::pin(parca_share::check(&parca)),
        Box::pin(parca_names::check(&parca, &rows)),
    ];
    join_all(all).await;
}

/// What the API says without being asked for anything special.
pub(crate) async fn told(place: &Place<'_>, asked: &Asked) -> Told {
    let rows = asked.matching();
    Parca::connect(place, asked, &rows).await.whole().await
}

/// Both forms of the flame graph of nested messages.
#[expect(deprecated, reason = "old clients name no report")]
pub(crate) const NESTED: [(ReportType, &str); 2] = [
    (ReportType::FlamegraphTable, "FLAMEGRAPH_TABLE"),
    (ReportType::FlamegraphUnspecified, "FLAMEGRAPH_UNSPECIFIED"),
];

/// One client of one querier.
pub(crate) struct Parca<'a> {
    pub(crate) client: QueryServiceClient<Channel>,
    pub(crate) place: &'a Place<'a>,
    pub(crate) asked: &'a Asked,
    /// The stacks of the rows asked for.
    pub(crate) all: Vec<Stack<'a>>,
}

impl<'a> Parca<'a> {
    pub(crate) async fn connect(place: &'a Place<'a>, asked: &'a Asked, rows: &[&'a Row]) -> Self {
        Self {
            client: QueryServiceClient::connect(place.url()).await.unwrap(),
            place,
            asked,
            all: stacks(rows),
        }
    }

    /// The answer, whose flags are as they must be.
    pub(crate) fn flagged<T>(&self, response: Response<T>) -> T {
        let headers = response.metadata().clone().into_headers();
        self.place.check_flags(&headers);
        response.into_inner()
    }

    pub(crate) async fn query(&self, request: QueryRequest) -> QueryResponse {
        let response = self.client.clone().query(request).await.unwrap();
        self.flagged(response)
    }

    /// Of the whole range.
    pub(crate) async fn merged(&self, report: ReportType, request: QueryRequest) -> QueryResponse {
        self.query(QueryRequest {
            mode: Mode::Merge.into(),
            options: Some(Options::Merge(merge(
                self.asked,
                (self.asked.range.start, self.asked.range.end),
            ))),
            report_type: report.into(),
            ..request
        })
        .await
    }

    pub(crate) fn said(&self, what: &str) -> String {
        self.place.said(what)
    }

    /// What the shape of the case leaves.
    pub(crate) fn cut(&self) -> Vec<Stack<'a>> {
        self.asked.shape.cut(&self.all)
    }

    /// As reports without a sign can hold it.
    pub(crate) fn has_no_sign(&self) -> bool {
        self.all.iter().all(|stack| stack.value() >= 0)
    }

    async fn whole(&self) -> Told {
        let default = QueryRequest::default;
        let (graph, found) = futures::join!(
            self.merged(ReportType::FlamegraphArrow, default()),
            self.merged(ReportType::Pprof, default()),
        );
        let said = self.said("FLAMEGRAPH_ARROW");
        let sums = (graph.total, graph.filtered);
        assert_eq!(sums, (total(&self.all), 0), "{said}");
        let expected = expected::unsigned(expected::paths(&self.all));
        let graph = read::flame(graph, KeyBy::default());
        assert_eq!(graph.sums, expected, "{said}");
        assert_eq!(graph.trimmed, 0, "{said}");
        let expected = expected::samples(&self.all, &GroupBy::SampleLabels);
        let found = read::samples(found);
        assert_eq!(found, expected, "{}", self.said("PPROF"));
        let stacks = found.into_iter().map(|((stack, _), value)| (stack, value));
        Told {
            paths: graph.sums,
            samples: expected::ungrouped(stacks),
        }
    }

    /// Filters, and halves of stacks, in reports of functions, lines and samples.
    async fn parts(&self) {
        let shape = &self.asked.shape;
        let source = QueryRequest {
            source_reference: Some(SourceReference {
                build_id: shape.build_id.to_owned(),
                filename: shape.file.to_owned(),
                source_only: false,
            }),
            ..shape.request()
        };
        let (top, arrow, pprof, source) = futures::join!(
            self.merged(ReportType::Top, shape.request()),
            self.merged(ReportType::TableArrow, shape.request()),
            self.merged(ReportType::Pprof, shape.request()),
            self.merged(ReportType::Source, source),
        );
        let cut = self.cut();
        let sums = (total(&cut), total(&self.all) - total(&cut));
        let all = [
            (&top, "TOP"),
            (&arrow, "TABLE_ARROW"),
            (&pprof, "PPROF of parts"),
            (&source, "SOURCE"),
        ];
        for (found, name) in all {
            assert_eq!((found.total, found.filtered), sums, "{}", self.said(name));
        }
        let table = expected::table(&cut);
        assert_eq!(read::top_rows(top).0, table, "{}", self.said("TOP"));
        let said = self.said("TABLE_ARROW");
        assert_eq!(read::table_rows(arrow).0, table, "{said}");
        let expected = expected::samples(&cut, &GroupBy::SampleLabels);
        let said = self.said("PPROF of parts");
        assert_eq!(read::samples(pprof), expected, "{said}");
        let expected = expected::lines(&cut, shape.build_id, shape.file);
        let unit = &self.asked.profile_type.sample_unit;
        let said = self.said("SOURCE");
        assert_eq!(read::source_lines(source, unit), expected, "{said}");
    }

    /// The profiles of the first time of all.
    async fn single(&self, rows: &[&Row]) {
        let Some(time) = rows.iter().map(|row| row.time).min() else {
            return;
        };
        let of_time = rows.iter().copied().filter(|row| row.time == time);
        let of_time = stacks(&of_time.collect::<Vec<_>>());
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
        let found = self
            .client
            .clone()
            .query(request)
            .await
            .unwrap()
            .into_inner();
        let expected = expected::table(&of_time);
        assert_eq!(read::top_rows(found).0, expected, "{}", self.said("SINGLE"));
    }

    async fn range(&self, rows: &[&Row]) {
        let Asked {
            step,
            sum_by,
            profile_type,
            ..
        } = self.asked;
        let points = expected::points(rows, profile_type, (*step, sum_by));
        self.check_range(points, "QueryRange").await;
    }

    /// `points` are those of all series.
    pub(crate) async fn check_range(&self, points: Points, what: &str) {
        let Asked {
            range,
            step,
            sum_by,
            profile_type,
            shape,
            ..
        } = self.asked;
        let request = QueryRangeRequest {
            query: self.asked.selector(),
            start: Some(cairn_wire::timestamp(range.start)),
            end: Some(cairn_wire::timestamp(range.end)),
            limit: shape.limit as u32,
            step: Some(cairn_wire::duration(*step)),
            sum_by: sum_by.clone(),
        };
        let found = match self.client.clone().query_range(request).await {
            Ok(found) => {
                let found = self.flagged(found);
                check_rates(&found, profile_type.delta);
                read::points(found)
            }
            Err(status) => {
                let expected = match self.place.missing.is_empty() {
                    true => Code::NotFound,
                    false => Code::Unavailable,
                };
                assert_eq!(cairn_wire::code_of(&status), expected, "{status}");
                Points::new()
            }
        };
        let expected = expected::largest(points, shape.limit);
        assert_eq!(found, expected, "{}", self.said(what));
    }
}

/// Values per second are those of the time covered.
fn check_rates(found: &wire::QueryRangeResponse, is_delta: bool) {
    for sample in found.series.iter().flat_map(|series| &series.samples) {
        let rate = match (is_delta, sample.duration) {
            (false, _) => sample.value as f64,
            (true, 0) => 0.0,
            (true, duration) => sample.value as f64 / (duration as f64 / 1e9),
        };
        assert_eq!(sample.value_per_second, rate, "{sample:?}");
    }
}

pub(crate) fn merge(asked: &Asked, (start, end): (i64, i64)) -> MergeProfile {
    MergeProfile {
        query: asked.selector(),
        start: Some(cairn_wire::timestamp(start)),
        end: Some(cairn_wire::timestamp(end)),
    }
}
