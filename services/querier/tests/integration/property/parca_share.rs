//! What somebody shares says the same as what was asked for.

use std::collections::BTreeMap;

use cairn_engine::GroupBy;
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, Options, ReportType};
use cairn_wire::parca::query::v1alpha1::query_response as direct;
use cairn_wire::parca::query::v1alpha1::{QueryRequest, QueryResponse, ShareProfileRequest};
use cairn_wire::parca::share::v1alpha1 as wire;
use cairn_wire::parca::share::v1alpha1::query_response::Report;
use cairn_wire::parca::share::v1alpha1::share_service_client::ShareServiceClient;
use tonic::transport::Channel;

use super::expected;
use super::filters::{self, Filter};
use super::parca::{NESTED, Parca, merge};
use super::read;
use super::stacks::{Stack, total};

/// A function that some stacks have, for the filter of an opened share.
const FUNCTION: &str = "g";

pub(crate) async fn check(parca: &Parca<'_>) {
    let range = parca.asked.range;
    let request = ShareProfileRequest {
        query_request: Some(QueryRequest {
            mode: Mode::Merge.into(),
            options: Some(Options::Merge(merge(parca.asked, (range.start, range.end)))),
            ..parca.asked.shape.request()
        }),
        description: None,
    };
    let link = parca.client.clone().share_profile(request).await;
    let link = parca.flagged(link.unwrap()).link;
    let id = link.strip_prefix("/api/v1/share/").unwrap();
    let file = parca.place.whole().get(&link).await;
    let shared = parca.cut();
    let expected = expected::samples(&shared, &GroupBy::SampleLabels);
    let said = parca.said("the file of a share");
    assert_eq!(read::samples_of(&file), expected, "{said}");
    // Nothing says of which type a profile without samples is.
    if expected.is_empty() {
        return;
    }
    let named = Filter::Function {
        name: FUNCTION,
        exclude: false,
    };
    let left = filters::left(&[named], &shared);
    let client = ShareServiceClient::connect(parca.place.url()).await;
    let opened = Opened {
        parca,
        client: client.unwrap(),
        id,
    };
    futures::join!(
        Box::pin(opened.reports("", &shared, total(&shared))),
        Box::pin(opened.reports(FUNCTION, &left, total(&shared))),
    );
}

struct Opened<'a> {
    parca: &'a Parca<'a>,
    client: ShareServiceClient<Channel>,
    id: &'a str,
}

impl Opened<'_> {
    async fn ask(&self, report: ReportType, filter: &str) -> QueryResponse {
        let request = wire::QueryRequest {
            id: self.id.to_owned(),
            profile_type: Some(self.parca.asked.profile_type.to_string()),
            report_type: report.into(),
            filter_query: Some(filter.to_owned()),
            node_trim_threshold: Some(0.0),
        };
        let answer = self.client.clone().query(request).await.unwrap();
        // Whatever was missing when it was shared.
        let headers = answer.metadata().clone().into_headers();
        self.parca.place.whole().check_flags(&headers);
        let wire::QueryResponse {
            report,
            total,
            filtered,
        } = answer.into_inner();
        QueryResponse {
            report: report.map(as_direct),
            total,
            filtered,
        }
    }

    async fn reports(&self, filter: &str, left: &[Stack<'_>], whole: i64) {
        let (top, pprof, one, other) = futures::join!(
            self.ask(ReportType::Top, filter),
            self.ask(ReportType::Pprof, filter),
            self.ask(NESTED[0].0, filter),
            self.ask(NESTED[1].0, filter),
        );
        let said = |what: &str| self.parca.said(&format!("{what} of a share by {filter:?}"));
        let sums = (total(left), whole - total(left));
        for found in [&top, &pprof, &one, &other] {
            assert_eq!((found.total, found.filtered), sums, "{}", said("a report"));
        }
        let table = expected::table(left);
        assert_eq!(read::top_rows(top).0, table, "{}", said("TOP"));
        let samples = expected::samples(left, &GroupBy::SampleLabels);
        assert_eq!(read::samples(pprof), samples, "{}", said("PPROF"));
        let mut values = BTreeMap::new();
        for (path, (cumulative, _)) in expected::paths(left) {
            values.insert(path, cumulative);
        }
        values.retain(|_, value| *value != 0);
        for (found, (_, name)) in [one, other].into_iter().zip(NESTED) {
            assert_eq!(read::nested(found).0, values, "{}", said(name));
        }
    }
}

fn as_direct(report: Report) -> direct::Report {
    match report {
        Report::Flamegraph(graph) => direct::Report::Flamegraph(graph),
        Report::Pprof(bytes) => direct::Report::Pprof(bytes),
        Report::Top(top) => direct::Report::Top(top),
        Report::Callgraph(graph) => direct::Report::Callgraph(graph),
    }
}
