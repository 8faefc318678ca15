//! One report of stacks that are merged and named.

use cairn_engine::{Flame, Half, Meta, Pace, Trim};
use cairn_model::Code;
use cairn_trie::Partial;
use cairn_wire::parca::query::v1alpha1::query_request::ReportType;
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::{
    FlamegraphArrow, QueryRequest, QueryResponse, Source, TableArrow,
};

use super::diff::Diff;
use super::filter::Filters;
use super::flamegraph::Form;
use super::group::Grouping;
use super::source::SourceFile;
use super::{arrow, callgraph, flamegraph, table, top};
use crate::error::{Error, Warning};
use crate::notes::Notes;
use crate::querier::Reply;

/// What the answer looks like, whatever profiles it is about.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) report: ReportType,
    /// Whether differences are those of the values themselves.
    pub(super) absolute: bool,
    pub(super) grouping: Grouping,
    filters: Filters,
    trim: f64,
    inverted: bool,
    /// The function whose callers or callees alone are shown.
    sandwiched: Option<String>,
    source: Option<SourceFile>,
}

/// The stacks that a report is about.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) meta: Meta,
    pub(super) compare: Partial,
    /// What it is compared with.
    pub(super) base: Option<Partial>,
}

/// Nodes of the old forms of the flame graph, where each is a message with texts of its own.
const NESTED_NODES_MAX: usize = 100_000;

impl Shape {
    pub(super) fn read(request: QueryRequest) -> Result<Self, Error> {
        let report = report_type(&request)?;
        #[expect(
            deprecated,
            reason = "two of the fields are, and they are not looked at"
        )]
        let QueryRequest {
            mode: _,
            options: _,
            report_type: _,
            filter_query: _,
            node_trim_threshold,
            group_by,
            source_reference,
            runtime_filter: _,
            invert_call_stack,
            filter,
            sandwich_by_function,
        } = request;
        let trim = f64::from(node_trim_threshold.unwrap_or(0.0)) / 100.0;
        if !trim.is_finite() || trim < 0.0 {
            return Err(Error::Invalid(
                "node_trim_threshold must be a percentage".to_owned(),
            ));
        }
        let source = match report {
            ReportType::Source => Some(SourceFile::read(source_reference)?),
            _ => None,
        };
        let mut grouping = Grouping::read(group_by)?;
        grouping.timed |= report == ReportType::Flamechart;
        Ok(Self {
            report,
            absolute: false,
            grouping,
            filters: Filters::read(filter)?,
            trim,
            inverted: invert_call_stack.unwrap_or(false),
            sandwiched: sandwich_by_function.filter(|function| !function.is_empty()),
            source,
        })
    }

    /// The file that the report is about, if it is about one.
    pub(super) fn source(&self) -> Option<&SourceFile> {
        self.source.as_ref()
    }

    /// The report, and what is missing from it.
    pub(super) fn report(
        &self,
        subject: Subject,
        notes: &Notes,
    ) -> Result<Reply<QueryResponse>, Error> {
        let Subject {
            meta,
            compare,
            base,
        } = subject;
        // Sides are put on one scale as they are asked for, whatever filters leave of them.
        let (before, base_before) = (compare.total(), base.as_ref().map(Partial::total));
        let compare = self.kept(compare);
        let base = base.map(|base| self.kept(base));
        let total = compare.total();
        let diff = match base_before {
            Some(base) => Diff::between(base, before, self.absolute),
            None => Diff::None,
        };
        let mut warnings = Vec::new();
        let report = match (self.report, &self.source) {
            (ReportType::Pprof, _) => {
                let partial = match base {
                    Some(base) => diff.merged(base, compare),
                    None => compare,
                };
                let profile = cairn_engine::profile(&partial, &meta);
                Report::Pprof(cairn_pprof::encode_gzip(&profile).into())
            }
            (ReportType::Source, Some(file)) => Report::Source(Source {
                record: file.encode(&compare)?.into(),
                source: String::new(),
                unit: meta.profile_type.sample_unit,
            }),
            _ => {
                let flame = self.flame(base.as_ref(), &compare, pace(&meta))?;
                let unit = meta.profile_type.sample_unit;
                let (report, missing) = self.graph(flame, (unit, &diff), notes)?;
                warnings.extend(missing);
                report
            }
        };
        Ok(Reply {
            value: QueryResponse {
                report: Some(report),
                total,
                filtered: before.wrapping_sub(total),
            },
            warnings,
        })
    }

    fn kept(&self, partial: Partial) -> Partial {
        let partial = self.filters.apply(partial);
        match &self.sandwiched {
            None => partial,
            Some(function) => {
                let half = match self.inverted {
                    true => Half::Callers,
                    false => Half::Callees,
                };
                cairn_engine::sandwich(&partial, function, half)
            }
        }
    }

    /// Only flame graphs are turned over: a table of callers and callees has no direction.
    fn flame(&self, base: Option<&Partial>, compare: &Partial, pace: Pace) -> Result<Flame, Error> {
        let (key_by, trim) = (self.grouping.key_by, &self.trim());
        if self.grouping.timed
            && matches!(
                self.report,
                ReportType::FlamegraphArrow | ReportType::Flamechart
            )
        {
            let chart = Flame::chart(compare, (key_by, self.inverted), pace);
            let chart = chart.map_err(|error| Error::Invalid(error.to_string()))?;
            return Ok(chart.trim(trim));
        }
        Ok(match (base, self.inverted && self.is_flame_graph()) {
            (None, false) => Flame::trimmed(compare, key_by, trim),
            (None, true) => Flame::inverted(compare, key_by).trim(trim),
            (Some(base), false) => Flame::compare_trimmed(base, compare, key_by, trim),
            (Some(base), true) => Flame::compare_inverted(base, compare, key_by).trim(trim),
        })
    }

    fn graph(
        &self,
        flame: Flame,
        (unit, diff): (String, &Diff),
        notes: &Notes,
    ) -> Result<(Report, Option<Warning>), Error> {
        let report = match self.report {
            ReportType::Top => Report::Top(top::report(&flame, unit, diff)),
            ReportType::Callgraph => Report::Callgraph(callgraph::report(&flame, self.trim, notes)),
            ReportType::TableArrow => Report::TableArrow(TableArrow {
                record: table::encode(&flame, diff)?.into(),
                unit,
            }),
            ReportType::FlamegraphTable => {
                notes.trimmed(&flame);
                return Ok(nested(&flame, unit, diff, Form::Tables));
            }
            ReportType::FlamegraphArrow | ReportType::Flamechart => {
                notes.trimmed(&flame);
                let height = flame.depths().into_iter().max().unwrap_or(0) + 1;
                Report::FlamegraphArrow(FlamegraphArrow {
                    record: arrow::encode(&flame, &self.grouping.labels, diff)?.into(),
                    unit,
                    height: i32::try_from(height).unwrap_or(i32::MAX),
                    trimmed: flame.trimmed,
                })
            }
            // What old clients ask for, who name no report.
            _ => {
                notes.trimmed(&flame);
                return Ok(nested(&flame, unit, diff, Form::InPlace));
            }
        };
        Ok((report, None))
    }

    fn is_flame_graph(&self) -> bool {
        !matches!(
            self.report,
            ReportType::Top | ReportType::TableArrow | ReportType::Callgraph
        )
    }

    /// Only flame graphs are trimmed.
    fn trim(&self) -> Trim {
        let (fraction, nodes_max) = match self.report {
            _ if !self.is_flame_graph() => (0.0, usize::MAX),
            ReportType::FlamegraphArrow | ReportType::Flamechart => (self.trim, usize::MAX),
            _ => (self.trim, NESTED_NODES_MAX),
        };
        Trim {
            fraction,
            nodes_max,
        }
    }
}

fn nested(flame: &Flame, unit: String, diff: &Diff, form: Form) -> (Report, Option<Warning>) {
    let (graph, left_out) = flamegraph::report(flame, unit, diff, form);
    let warning = (left_out > 0).then(|| {
        let text = format!(
            "{left_out} calls deeper than {} are left out: this form of the flame graph can't \
             hold them, FLAMEGRAPH_ARROW can",
            flamegraph::DEPTH_MAX
        );
        Warning::new("", Code::Exhausted, text)
    });
    (Report::Flamegraph(graph), warning)
}

fn report_type(request: &QueryRequest) -> Result<ReportType, Error> {
    ReportType::try_from(request.report_type)
        .map_err(|_| Error::Invalid(format!("unknown report type {}", request.report_type)))
}

/// A chart is drawn over time: values that are no time stand for a period each.
fn pace(meta: &Meta) -> Pace {
    let of = &meta.profile_type;
    let period = match of.period_unit.as_str() {
        "nanoseconds" => meta.period,
        _ => 0,
    };
    Pace {
        unit: match of.sample_unit.as_str() {
            "nanoseconds" => 1,
            _ => period.max(1),
        },
        jitter: period / 10,
    }
}
