//! Call trees through Pyroscope's API against what the rows add up to, and against Parca's answers.

use cairn_engine::GroupBy;
use cairn_wire::EncodedProfile;
use cairn_wire::querier::v1::{
    DiffRequest, DiffResponse, FlameGraph, ProfileFormat, SelectMergeProfileRequest,
    SelectMergeSpanProfileRequest, SelectMergeSpanProfileResponse, SelectMergeStacktracesRequest,
    SelectMergeStacktracesResponse,
};
use cairn_wire::types::v1::{GoPgo, Location, StackTraceSelector};

use futures::future::{BoxFuture, join_all};

use super::case::Asked;
use super::expected::{self, Bars, Paths};
use super::stacks::{Stack, below, innermost, stacks, total};
use super::{Place, client::Client, parca, read, trimmed};
use super::{pyroscope_exemplars, pyroscope_heatmap, pyroscope_names, pyroscope_series};
use crate::model::{self, Row, Sums};

pub(crate) const NANOS_PER_MILLI: i64 = 1_000_000;

/// All of them, from one querier.
pub(crate) async fn check(place: &Place<'_>, asked: &Asked) {
    let parca = &Box::pin(parca::told(place, asked)).await;
    let rows = asked.matching();
    let pyroscope = Pyroscope::of(place, asked, &rows);
    let all: [BoxFuture<'_, ()>; 11] = [
        Box::pin(pyroscope.trees(parca)),
        Box::pin(pyroscope.profiles(parca)),
        Box::pin(pyroscope.graph_of_calls()),
        Box::pin(pyroscope.below()),
        Box::pin(pyroscope.for_go()),
        Box::pin(pyroscope.of_ids(&rows)),
        Box::pin(pyroscope.unsigned(&rows)),
        Box::pin(pyroscope_series::check(&pyroscope, &rows)),
        Box::pin(pyroscope_names::check(&pyroscope, &rows)),
        Box::pin(pyroscope_heatmap::check(&pyroscope, &rows)),
        Box::pin(pyroscope_exemplars::check(&pyroscope, &rows)),
    ];
    join_all(all).await;
}

/// One client of one querier.
pub(crate) struct Pyroscope<'a> {
    pub(crate) client: Client<'a>,
    pub(crate) asked: &'a Asked,
    /// The stacks of the rows asked for.
    all: Vec<Stack<'a>>,
}

impl<'a> Pyroscope<'a> {
    pub(crate) fn of(place: &'a Place<'a>, asked: &'a Asked, rows: &[&'a Row]) -> Self {
        Self {
            client: Client::new(place, asked.shape.nodes_max),
            asked,
            all: stacks(rows),
        }
    }

    pub(crate) fn said(&self, what: &str) -> String {
        self.client.place.said(what)
    }

    pub(crate) fn has_no_sign(&self) -> bool {
        self.all.iter().all(|stack| stack.value() >= 0)
    }

    pub(crate) fn stacks(&self) -> &[Stack<'a>] {
        &self.all
    }

    /// The outermost calls of some stacks, as a selector.
    pub(crate) fn call_site(&self) -> (Vec<String>, StackTraceSelector) {
        let names = self.asked.shape.prefix(&self.all);
        let location = |name: &String| Location { name: name.clone() };
        let selector = StackTraceSelector {
            call_site: names.iter().map(location).collect(),
            go_pgo: None,
        };
        (names, selector)
    }

    pub(crate) fn request(&self, format: ProfileFormat) -> SelectMergeStacktracesRequest {
        let (start, end) = self.asked.millis();
        SelectMergeStacktracesRequest {
            profile_type_id: self.asked.profile_type.to_string(),
            label_selector: self.asked.label_selector(),
            start,
            end,
            format: format.into(),
            ..SelectMergeStacktracesRequest::default()
        }
    }

    async fn ask(&self, request: SelectMergeStacktracesRequest) -> SelectMergeStacktracesResponse {
        self.client.ask("SelectMergeStacktraces", request).await
    }

    async fn whole(&self, request: SelectMergeProfileRequest) -> Sums {
        let (start, end) = self.asked.millis();
        let request = SelectMergeProfileRequest {
            profile_type_id: self.asked.profile_type.to_string(),
            label_selector: self.asked.label_selector(),
            start,
            end,
            ..request
        };
        let profile: EncodedProfile = self.client.ask("SelectMergeProfile", request).await;
        read::samples_of(&profile.0)
    }

    async fn trees(&self, parca: &parca::Told) {
        let expected = expected::paths(&self.all);
        let (found, tree) = futures::join!(
            self.ask(self.request(ProfileFormat::Unspecified)),
            self.ask(self.request(ProfileFormat::Tree)),
        );
        let graph = found.flamegraph.unwrap();
        let said = self.said("SelectMergeStacktraces");
        assert_eq!(graph.total, total(&self.all), "{said}");
        assert_eq!(bars(&graph), expected::bars(&expected), "{said}");
        if self.has_no_sign() {
            let paths = read::levels(&graph.names, &graph.levels, (4, 0));
            assert_eq!(paths, expected, "{said}");
            assert_eq!(paths, parca.paths, "{said}");
        }
        let said = self.said("SelectMergeStacktraces as a tree");
        assert_eq!(read::tree(&tree.tree), expected, "{said}");
    }

    async fn profiles(&self, parca: &parca::Told) {
        let expected = expected::samples(&self.all, &GroupBy::Nothing);
        let (found, whole) = futures::join!(
            self.ask(self.request(ProfileFormat::Pprof)),
            self.whole(SelectMergeProfileRequest::default()),
        );
        let profile = found.pprof.unwrap().profile.unwrap();
        let said = self.said("SelectMergeStacktraces as pprof");
        assert_eq!(read::samples_of(&profile.0), expected, "{said}");
        assert_eq!(whole, expected, "{}", self.said("SelectMergeProfile"));
        assert_eq!(whole, parca.samples, "{}", self.said("SelectMergeProfile"));
    }

    async fn graph_of_calls(&self) {
        let found = self.ask(self.request(ProfileFormat::Dot)).await;
        let (calls, edges) = read::dot(&found.dot);
        let said = self.said("SelectMergeStacktraces as dot");
        let expected = expected::table(&self.all);
        assert_eq!(calls, expected, "{said}");
        let names = self.all.iter().flat_map(Stack::names).collect();
        assert_eq!(edges, expected::edges(&self.all, &names), "{said}");
    }

    async fn below(&self) {
        let (names, selector) = self.call_site();
        let request = SelectMergeStacktracesRequest {
            stack_trace_selector: Some(selector),
            ..self.request(ProfileFormat::Tree)
        };
        let found = self.ask(request).await;
        let expected = expected::paths(&below(&self.all, &names));
        let said = self.said(&format!("a tree below {names:?}"));
        assert_eq!(read::tree(&found.tree), expected, "{said}");
    }

    async fn for_go(&self) {
        let (keep, without_line) = (self.asked.shape.keep, self.asked.shape.without_line);
        let selector = StackTraceSelector {
            call_site: Vec::new(),
            go_pgo: Some(GoPgo {
                keep_locations: keep as u32,
                aggregate_callees: without_line,
            }),
        };
        let request = SelectMergeProfileRequest {
            stack_trace_selector: Some(selector),
            ..SelectMergeProfileRequest::default()
        };
        let expected = expected::ungrouped(innermost(&self.all, keep, without_line));
        let said = self.said("a profile for Go's compiler");
        assert_eq!(self.whole(request).await, expected, "{said}");
    }

    /// Of a trace, and of a span.
    async fn of_ids(&self, rows: &[&Row]) {
        let (trace, span) = self.asked.shape.ids;
        let trace = format!("{:0<32}", format!("{trace:02x}"));
        let span = format!("{:0<16}", format!("{span:02x}"));
        let of = |label: &str, id: &str| {
            let has = |row: &&&Row| {
                row.label(label)
                    .iter()
                    .any(|value| model::text(value) == id)
            };
            rows.iter().filter(has).copied().collect::<Vec<_>>()
        };
        let of_trace = of("trace_id", &trace);
        if self.asked.stays_itself(&of_trace) {
            let request = SelectMergeStacktracesRequest {
                trace_id_selector: vec![trace.to_uppercase()],
                ..self.request(ProfileFormat::Tree)
            };
            let found = self.ask(request).await;
            let expected = expected::paths(&stacks(&of_trace));
            assert_eq!(
                read::tree(&found.tree),
                expected,
                "{}",
                self.said("a trace")
            );
        }
        let of_span = of("span_id", &span);
        if self.asked.stays_itself(&of_span) {
            let whole = self.request(ProfileFormat::Tree);
            let request = SelectMergeSpanProfileRequest {
                profile_type_id: whole.profile_type_id,
                label_selector: whole.label_selector,
                span_selector: vec!["f".repeat(16), span],
                start: whole.start,
                end: whole.end,
                max_nodes: None,
                format: whole.format,
            };
            let found: SelectMergeSpanProfileResponse =
                self.client.ask("SelectMergeSpanProfile", request).await;
            let expected = expected::paths(&stacks(&of_span));
            assert_eq!(read::tree(&found.tree), expected, "{}", self.said("a span"));
        }
    }

    /// Whose child a bar is is only to be seen where no bar is narrower than nothing.
    async fn unsigned(&self, rows: &[&Row]) {
        if self.has_no_sign() {
            futures::join!(Box::pin(self.trimmed()), Box::pin(self.diff(rows)));
        }
    }

    async fn trimmed(&self) {
        let nodes_max = self.asked.shape.nodes_max;
        let request = SelectMergeStacktracesRequest {
            max_nodes: Some(nodes_max as i64),
            ..self.request(ProfileFormat::Flamegraph)
        };
        let found = self.ask(request).await.flamegraph.unwrap();
        let said = self.said("SelectMergeStacktraces, trimmed");
        let found = read::levels(&found.names, &found.levels, (4, 0));
        let whole = expected::paths(&self.all);
        trimmed::check(&found, &whole, (nodes_max, "other"), &said);

        let found = self.whole(SelectMergeProfileRequest {
            max_nodes: Some(nodes_max as i64),
            ..SelectMergeProfileRequest::default()
        });
        let said = self.said("SelectMergeProfile, trimmed");
        let outermost_first = |stack: &[String]| stack.iter().rev().cloned().collect();
        let found = found.await.into_iter();
        let found = found.map(|((stack, _), value)| (outermost_first(&stack), value));
        let whole = self.all.iter();
        let whole = whole.map(|stack| (outermost_first(&stack.texts()), stack.value()));
        // Besides the root.
        let nodes_max = nodes_max + 1;
        let (found, whole) = (expected::tree(found), expected::tree(whole));
        trimmed::check(&found, &whole, (nodes_max, " 0 other/::0"), &said);
    }

    /// The last millisecond of the first half of the range.
    fn middle(asked: &Asked) -> i64 {
        let (start, end) = asked.millis();
        start + (end - start) / 2
    }

    /// Rows of the first half of the range, and of the second.
    pub(super) fn halves<'r>(asked: &Asked, rows: &[&'r Row]) -> (Vec<&'r Row>, Vec<&'r Row>) {
        let end = (Self::middle(asked) + 1) * NANOS_PER_MILLI;
        rows.iter().copied().partition(|row| row.time < end)
    }

    /// What is said of the first half of the range, and of the second: the sum, and all calls.
    pub(super) async fn compared(&self) -> [(i64, Paths); 2] {
        let middle = Self::middle(self.asked);
        let whole = self.request(ProfileFormat::Unspecified);
        let request = DiffRequest {
            left: Some(SelectMergeStacktracesRequest {
                end: middle,
                ..whole.clone()
            }),
            right: Some(SelectMergeStacktracesRequest {
                start: middle + 1,
                ..whole
            }),
        };
        let found: DiffResponse = self.client.ask("Diff", request).await;
        let found = found.flamegraph.unwrap();
        [(found.left_ticks, 0), (found.right_ticks, 3)].map(|(ticks, at)| {
            let paths = read::levels(&found.names, &found.levels, (7, at));
            (ticks, paths)
        })
    }

    async fn diff(&self, rows: &[&Row]) {
        let (left, right) = Self::halves(self.asked, rows);
        if !self.asked.stays_itself(&left) || !self.asked.stays_itself(&right) {
            return;
        }
        let said = self.said("Diff");
        for (rows, (ticks, found)) in [left, right].into_iter().zip(self.compared().await) {
            let stacks = stacks(&rows);
            assert_eq!(ticks, total(&stacks), "{said}");
            assert_eq!(found, expected::paths(&stacks), "{said}");
        }
    }
}

fn bars(graph: &FlameGraph) -> Bars {
    let mut all = Bars::new();
    for (depth, level) in graph.levels.iter().enumerate() {
        for bar in level.values.chunks(4) {
            let name = match depth {
                0 => String::new(),
                _ => graph.names[bar[3] as usize].clone(),
            };
            expected::add(&mut all, (depth, name), (bar[1], bar[2]));
        }
    }
    expected::without_zeros(all)
}
