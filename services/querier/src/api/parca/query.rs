//! Query: one report over the profiles of a range, of an instant, or of two of those compared.

use cairn_engine::{Flame, GroupBy, Question, Trim};
use cairn_model::{NONE, Selector, TimeRange};
use cairn_trie::{Partial, Symbols};
use cairn_wire::parca::query::v1alpha1 as wire;
use cairn_wire::parca::query::v1alpha1::query_request::{Mode, Options, ReportType};
use cairn_wire::parca::query::v1alpha1::query_response::Report;
use cairn_wire::parca::query::v1alpha1::{
    FlamegraphArrow, MergeProfile, ProfileMetadata, QueryRequest, QueryResponse, SingleProfile,
    TableArrow,
};

use super::filter::Filters;
use super::group::Grouping;
use super::types::nanos;
use super::{arrow, diff, table, top};
use crate::api::export;
use crate::error::{Error, Warning};
use crate::querier::{Reply, Rows, Session, Stacks};

/// Clients compare this text.
const NO_PROFILE: &str = "could not find profile at requested time and selectors";
const NANOS_PER_MILLI: i64 = 1_000_000;

pub(super) async fn query(
    session: Session,
    request: QueryRequest,
) -> Result<Reply<QueryResponse>, Error> {
    let ask = Ask::read(request)?;
    let b = side(&session, &ask, ask.b.clone()).await?;
    let a = match &ask.a {
        Some(a) => Some(side(&session, &ask, a.clone()).await?),
        None => None,
    };
    let mut warnings = b.warnings.clone();
    warnings.extend(a.iter().flat_map(|a| a.warnings.clone()));
    if ask.report == ReportType::ProfileMetadata {
        return metadata(&session, b, warnings).await;
    }
    let report = session
        .querier
        .cx()
        .compute(move || report(&ask, a, b))
        .await?;
    Ok(Reply {
        value: report,
        warnings,
    })
}

/// A request that was found to make sense.
#[derive(Clone, Debug)]
struct Ask {
    report: ReportType,
    b: Selection,
    /// The base of a comparison.
    a: Option<Selection>,
    absolute: bool,
    grouping: Grouping,
    filters: Filters,
    trim: f64,
    inverted: bool,
}

#[derive(Clone, Debug)]
struct Selection {
    rows: Rows,
    single: bool,
}

/// What was found of one selection.
#[derive(Debug)]
struct Side {
    rows: Rows,
    stacks: Stacks,
    warnings: Vec<Warning>,
}

impl Ask {
    fn read(request: QueryRequest) -> Result<Self, Error> {
        let report = report_type(&request)?;
        let mode = request.mode();
        #[expect(
            deprecated,
            reason = "two of the fields are, and they are not looked at"
        )]
        let QueryRequest {
            mode: _,
            options,
            report_type: _,
            filter_query: _,
            node_trim_threshold,
            group_by,
            source_reference: _,
            runtime_filter: _,
            invert_call_stack,
            filter,
            sandwich_by_function,
        } = request;
        if sandwich_by_function.is_some_and(|function| !function.is_empty()) {
            return Err(Error::Invalid(
                "sandwich_by_function is not supported by this server".to_owned(),
            ));
        }
        let trim = f64::from(node_trim_threshold.unwrap_or(0.0)) / 100.0;
        if !trim.is_finite() || trim < 0.0 {
            return Err(Error::Invalid(
                "node_trim_threshold must be a percentage".to_owned(),
            ));
        }
        let (b, a, absolute) = selections(mode, options)?;
        let inverted = invert_call_stack.unwrap_or(false);
        if inverted && a.is_some() {
            return Err(Error::Invalid(
                "invert_call_stack is not supported by this server in comparisons".to_owned(),
            ));
        }
        let mut grouping = Grouping::read(group_by)?;
        if mode != Mode::Merge {
            grouping.labels.clear();
        }
        Ok(Self {
            report,
            b,
            a,
            absolute,
            grouping,
            filters: Filters::read(filter)?,
            trim,
            inverted,
        })
    }
}

/// The report, if it is one of those that are served.
fn report_type(request: &QueryRequest) -> Result<ReportType, Error> {
    let report = ReportType::try_from(request.report_type)
        .map_err(|_| Error::Invalid(format!("unknown report type {}", request.report_type)))?;
    let compared = request.mode() == Mode::Diff;
    match report {
        ReportType::Pprof if compared => {
            Err(Error::Unsupported("PPROF of a comparison".to_owned()))
        }
        ReportType::Pprof
        | ReportType::Top
        | ReportType::FlamegraphArrow
        | ReportType::TableArrow
        | ReportType::ProfileMetadata => Ok(report),
        report => {
            let name = report.as_str_name();
            let name = name.strip_prefix("REPORT_TYPE_").unwrap_or(name);
            Err(Error::Unsupported(format!("the report {name}")))
        }
    }
}

/// What is shown, what it is compared with, and whether absolute values are.
fn selections(
    mode: Mode,
    options: Option<Options>,
) -> Result<(Selection, Option<Selection>, bool), Error> {
    let invalid = |text: &str| Error::Invalid(text.to_owned());
    match (mode, options) {
        (Mode::Merge, Some(Options::Merge(profile))) => Ok((merge(profile)?, None, false)),
        (Mode::SingleUnspecified, Some(Options::Single(profile))) => {
            Ok((single(profile)?, None, false))
        }
        (Mode::Diff, Some(Options::Diff(sides))) => {
            let wire::DiffProfile { a, b, absolute } = sides;
            let side = |side: Option<wire::ProfileDiffSelection>| {
                side.ok_or_else(|| invalid("a comparison needs both a and b"))
            };
            let (a, b) = (diff_side(side(a)?)?, diff_side(side(b)?)?);
            Ok((b, Some(a), absolute.unwrap_or(false)))
        }
        (Mode::Merge, _) => Err(invalid(
            "requested merge mode, but did not provide parameters",
        )),
        (Mode::SingleUnspecified, _) => Err(invalid(
            "requested single mode, but did not provide parameters",
        )),
        (Mode::Diff, _) => Err(invalid(
            "requested diff mode, but did not provide parameters",
        )),
    }
}

fn diff_side(side: wire::ProfileDiffSelection) -> Result<Selection, Error> {
    use wire::profile_diff_selection::Options;
    match side.options {
        Some(Options::Merge(profile)) => merge(profile),
        Some(Options::Single(profile)) => single(profile),
        None => Err(Error::Invalid(
            "a side of the comparison names no profiles".to_owned(),
        )),
    }
}

fn merge(profile: MergeProfile) -> Result<Selection, Error> {
    let MergeProfile { query, start, end } = profile;
    let required = |name: &str| Error::Invalid(format!("{name} is required"));
    let range = TimeRange {
        start: nanos(&start.ok_or_else(|| required("start"))?)?,
        end: nanos(&end.ok_or_else(|| required("end"))?)?,
    };
    if range.end < range.start {
        return Err(Error::Invalid("end must not be before start".to_owned()));
    }
    Ok(Selection {
        rows: rows(&query, range)?,
        single: false,
    })
}

/// Clients know times in milliseconds, so any profile of that millisecond is meant.
fn single(profile: SingleProfile) -> Result<Selection, Error> {
    let SingleProfile { time, query } = profile;
    let time = time.ok_or_else(|| Error::Invalid("time is required".to_owned()))?;
    let start = nanos(&time)?.div_euclid(NANOS_PER_MILLI) * NANOS_PER_MILLI;
    let range = TimeRange {
        start,
        end: start.saturating_add(NANOS_PER_MILLI - 1),
    };
    Ok(Selection {
        rows: rows(&query, range)?,
        single: true,
    })
}

fn rows(query: &str, range: TimeRange) -> Result<Rows, Error> {
    let (profile_type, matchers) = Selector::parse_typed(query)?;
    Ok(Rows {
        profile_type,
        matchers,
        range,
    })
}

async fn side(session: &Session, ask: &Ask, selection: Selection) -> Result<Side, Error> {
    let rows = session.resolve(selection.rows).await?;
    let group_by = match ask.report {
        ReportType::Pprof => GroupBy::SampleLabels,
        ReportType::FlamegraphArrow => ask.grouping.of_stacks(),
        _ => GroupBy::Nothing,
    };
    let Reply { value, warnings } = session.stacks(&rows, group_by).await?;
    if selection.single && value.stats.profiles == 0 {
        return Err(match warnings.first() {
            None => Error::NotFound(NO_PROFILE),
            Some(first) => Error::Unread(first.to_string()),
        });
    }
    Ok(Side {
        rows,
        stacks: value,
        warnings,
    })
}

fn report(ask: &Ask, a: Option<Side>, b: Side) -> Result<QueryResponse, Error> {
    let unit = b.rows.profile_type.sample_unit.clone();
    let meta = export::meta(&b.rows, &b.stacks.stats);
    let (compare, filtered) = ask.filters.apply(b.stacks.partial);
    let total = compare.total();
    let flame = match a {
        None if ask.report == ReportType::Pprof => {
            let profile = cairn_engine::profile(&compare, &meta);
            let report = Report::Pprof(cairn_pprof::encode_gzip(&profile).into());
            return Ok(response(report, total, filtered));
        }
        None if ask.inverted => Flame::inverted(&compare, ask.grouping.key_by),
        None => Flame::build(&compare, ask.grouping.key_by),
        Some(a) => {
            let (base, _) = ask.filters.apply(a.stacks.partial);
            let (base, compare) = diff::scale(base, compare, ask.absolute);
            Flame::compare(&base, &compare, ask.grouping.key_by)
        }
    };
    let compared = ask.a.is_some();
    let report = match ask.report {
        ReportType::Top => Report::Top(top::report(&flame, unit, compared)),
        ReportType::TableArrow => Report::TableArrow(TableArrow {
            record: table::encode(&flame, compared)?.into(),
            unit,
        }),
        _ => {
            let flame = flame.trim(&Trim {
                fraction: ask.trim,
                nodes_max: usize::MAX,
            });
            let height = flame.depths().into_iter().max().unwrap_or(0) + 1;
            Report::FlamegraphArrow(FlamegraphArrow {
                record: arrow::encode(&flame, &ask.grouping.labels, compared)?.into(),
                unit,
                height: i32::try_from(height).unwrap_or(i32::MAX),
                trimmed: flame.trimmed,
            })
        }
    };
    Ok(response(report, total, filtered))
}

fn response(report: Report, total: i64, filtered: i64) -> QueryResponse {
    QueryResponse {
        report: Some(report),
        total,
        filtered,
    }
}

async fn metadata(
    session: &Session,
    side: Side,
    mut warnings: Vec<Warning>,
) -> Result<Reply<QueryResponse>, Error> {
    let labels = session
        .names(&side.rows.query(Question::LabelNames))
        .await?;
    warnings.extend(labels.warnings);
    let partial = &side.stacks.partial;
    let report = Report::ProfileMetadata(ProfileMetadata {
        mapping_files: mapping_files(partial),
        labels: labels.value,
    });
    Ok(Reply {
        value: response(report, partial.total(), 0),
        warnings,
    })
}

fn mapping_files(partial: &Partial) -> Vec<String> {
    let Symbols {
        strings,
        mappings,
        locations,
        ..
    } = &partial.symbols;
    let used = partial.trie.frames().iter().filter(|frame| **frame != NONE);
    let mut files: Vec<&str> = used
        .map(|frame| locations[*frame as usize].mapping)
        .filter(|mapping| *mapping != NONE)
        .map(|mapping| strings.get(mappings[mapping as usize].file))
        .filter(|file| !file.is_empty())
        .collect();
    files.sort_unstable();
    files.dedup();
    files.into_iter().map(str::to_owned).collect()
}
