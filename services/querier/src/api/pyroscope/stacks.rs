//! Call trees: one, or two beside each other.

use std::collections::BTreeSet;

use cairn_engine::{Flame, GroupBy, KeyBy, Trim, below, callgraph, dot, innermost, largest};
use cairn_pprof::Heading;
use cairn_trie::Partial;
use cairn_wire::EncodedProfile;
use cairn_wire::querier::v1::{
    DiffRequest, DiffResponse, FlameGraph, FlameGraphDiff, Level, PprofProfile, ProfileFormat,
    SelectMergeProfileRequest, SelectMergeSpanProfileRequest, SelectMergeSpanProfileResponse,
    SelectMergeStacktracesRequest, SelectMergeStacktracesResponse,
};
use cairn_wire::types::v1::{GoPgo, StackTraceSelector};

use super::rows::{Asked, Ids, nodes_max};
use super::tree;
use crate::api::export::meta;
use crate::api::flamebearer::{Flamebearer, OTHER};
use crate::api::render::{CALLS_DEFAULT, NODES_DEFAULT};
use crate::error::Error;
use crate::profile_id::{ProfileId, profile_ids};
use crate::querier::{Reply, Rows, Session, Stacks};

/// What a request selects, besides how to show it.
struct Selected {
    rows: Rows,
    stacks: StackTraceSelector,
    profiles: Option<BTreeSet<ProfileId>>,
}

impl Selected {
    fn of(request: &SelectMergeStacktracesRequest) -> Result<Self, Error> {
        let mut rows = Asked {
            profile_type: &request.profile_type_id,
            selector: &request.label_selector,
            start: request.start,
            end: request.end,
        }
        .rows()?;
        Ids {
            traces: &request.trace_id_selector,
            spans: &request.span_selector,
        }
        .restrict(&mut rows)?;
        Ok(Self {
            rows,
            stacks: request.stack_trace_selector.clone().unwrap_or_default(),
            profiles: profile_ids("profile_id_selector", &request.profile_id_selector)?,
        })
    }

    /// The stacks that are selected, under their names.
    async fn ask(self, session: &Session) -> Result<(Rows, Reply<Stacks>), Error> {
        let (rows, mut reply) = match self.profiles {
            None => {
                let rows = session.resolve(self.rows).await?;
                let reply = session.stacks(&rows, GroupBy::Nothing).await?;
                (rows, reply)
            }
            Some(ids) => Box::pin(session.stacks_of(self.rows, &ids)).await?,
        };
        if self.stacks != StackTraceSelector::default() {
            let (partial, stacks) = (reply.value.partial, self.stacks);
            let select = move || select(partial, stacks);
            reply.value.partial = session.compute(select).await;
        }
        Ok((rows, reply))
    }
}

pub(super) fn select(partial: Partial, selector: StackTraceSelector) -> Partial {
    let StackTraceSelector { call_site, go_pgo } = selector;
    if let Some(GoPgo {
        keep_locations,
        aggregate_callees,
    }) = go_pgo
    {
        return innermost(&partial, keep_locations as usize, aggregate_callees);
    }
    let names: Vec<String> = call_site.into_iter().map(|call| call.name).collect();
    below(partial, &names)
}

fn format_of(format: i32) -> Result<ProfileFormat, Error> {
    ProfileFormat::try_from(format)
        .map_err(|_| Error::Invalid(format!("unknown profile format {format}")))
}

pub(super) async fn select_merge_stacktraces(
    session: Session,
    request: SelectMergeStacktracesRequest,
) -> Result<Reply<SelectMergeStacktracesResponse>, Error> {
    let format = format_of(request.format)?;
    let default = match format {
        ProfileFormat::Pprof => usize::MAX,
        ProfileFormat::Dot => CALLS_DEFAULT,
        _ => NODES_DEFAULT,
    };
    let nodes = nodes_max(request.max_nodes, default)?;
    let (rows, reply) = Selected::of(&request)?.ask(&session).await?;
    if format == ProfileFormat::Pprof {
        let profile = encoded(&session, &rows, reply, nodes).await;
        return Ok(profile.map(|profile| SelectMergeStacktracesResponse {
            pprof: Some(PprofProfile {
                profile: Some(profile),
            }),
            ..SelectMergeStacktracesResponse::default()
        }));
    }
    let Reply { value, warnings } = reply;
    let unit = rows.profile_type.sample_unit;
    let notes = session.notes.clone();
    let draw = move || {
        let partial = &value.partial;
        let flame = || {
            let flame = Flame::trimmed(partial, KeyBy::default(), &trim(nodes));
            notes.trimmed(&flame);
            flame
        };
        let mut answer = SelectMergeStacktracesResponse::default();
        match format {
            ProfileFormat::Dot => {
                let whole = Flame::build(partial, KeyBy::default());
                let graph = callgraph(&whole, nodes);
                notes.error(graph.max_error);
                answer.dot = dot(&whole, &graph, &unit);
            }
            ProfileFormat::Tree => answer.tree = tree::encode(&flame()).into(),
            _ => answer.flamegraph = Some(flame_graph(Flamebearer::of(&flame()))),
        }
        answer
    };
    let value = session.compute(draw).await;
    Ok(Reply { value, warnings })
}

fn trim(nodes_max: usize) -> Trim {
    Trim {
        fraction: 0.0,
        nodes_max,
    }
}

fn flame_graph(drawn: Flamebearer) -> FlameGraph {
    let Flamebearer {
        names,
        levels,
        num_ticks,
        max_self,
    } = drawn;
    let levels = levels.into_iter().map(|values| Level { values });
    FlameGraph {
        names,
        levels: levels.collect(),
        total: num_ticks,
        max_self,
    }
}

pub(super) async fn select_merge_span_profile(
    session: Session,
    request: SelectMergeSpanProfileRequest,
) -> Result<Reply<SelectMergeSpanProfileResponse>, Error> {
    let SelectMergeSpanProfileRequest {
        profile_type_id,
        label_selector,
        span_selector,
        start,
        end,
        max_nodes,
        format,
    } = request;
    if span_selector.is_empty() {
        return Err(Error::Invalid("span_selector is required".to_owned()));
    }
    if matches!(
        format_of(format)?,
        ProfileFormat::Dot | ProfileFormat::Pprof
    ) {
        return Err(Error::Invalid(
            "profiles of spans are flame graphs or trees".to_owned(),
        ));
    }
    let request = SelectMergeStacktracesRequest {
        profile_type_id,
        label_selector,
        start,
        end,
        max_nodes,
        format,
        span_selector,
        ..SelectMergeStacktracesRequest::default()
    };
    let reply = select_merge_stacktraces(session, request).await?;
    Ok(reply.map(|answer| SelectMergeSpanProfileResponse {
        flamegraph: answer.flamegraph,
        tree: answer.tree,
    }))
}

pub(super) async fn select_merge_profile(
    session: Session,
    request: SelectMergeProfileRequest,
) -> Result<Reply<EncodedProfile>, Error> {
    let SelectMergeProfileRequest {
        profile_type_id,
        label_selector,
        start,
        end,
        max_nodes,
        stack_trace_selector,
        profile_id_selector,
        trace_id_selector,
    } = request;
    let nodes = nodes_max(max_nodes, usize::MAX)?;
    let request = SelectMergeStacktracesRequest {
        profile_type_id,
        label_selector,
        start,
        end,
        stack_trace_selector,
        profile_id_selector,
        trace_id_selector,
        ..SelectMergeStacktracesRequest::default()
    };
    let (rows, reply) = Selected::of(&request)?.ask(&session).await?;
    Ok(encoded(&session, &rows, reply, nodes).await)
}

/// Straight from the merged tables: this is what is asked for most often, by far.
async fn encoded(
    session: &Session,
    rows: &Rows,
    reply: Reply<Stacks>,
    nodes_max: usize,
) -> Reply<EncodedProfile> {
    let Stacks { mut partial, stats } = reply.value;
    let meta = meta(rows, &stats);
    let notes = session.notes.clone();
    let encode = move || {
        if nodes_max < partial.trie.len() {
            let (kept, max_error) = largest(&partial, nodes_max, OTHER);
            notes.error(max_error);
            partial = kept;
        }
        let of = &meta.profile_type;
        let heading = Heading {
            value_type: (&of.sample_type, &of.sample_unit),
            period_type: (&of.period_type, &of.period_unit),
            period: meta.period,
            time: meta.time,
            duration: meta.duration,
        };
        let symbols = &partial.symbols;
        let tables = cairn_pprof::Rows {
            strings: &symbols.strings,
            functions: &symbols.functions,
            mappings: &symbols.mappings,
            locations: &symbols.locations,
            lines: &symbols.lines,
        };
        let values = partial.values.iter();
        let samples = values.map(|value| (partial.trie.stack(value.node), value.value));
        EncodedProfile(cairn_pprof::encode_stacks(tables, &heading, samples))
    };
    Reply {
        value: session.compute(encode).await,
        warnings: reply.warnings,
    }
}

pub(super) async fn diff(
    session: Session,
    request: DiffRequest,
) -> Result<Reply<DiffResponse>, Error> {
    let DiffRequest { left, right } = request;
    let required = |side: &str| Error::Invalid(format!("{side} is required"));
    let left = left.ok_or_else(|| required("left"))?;
    let right = right.ok_or_else(|| required("right"))?;
    let nodes = nodes_max(left.max_nodes.max(right.max_nodes), NODES_DEFAULT)?;
    let (left, right) = (Selected::of(&left)?, Selected::of(&right)?);
    same_type(&left.rows, &right.rows)?;
    let (left, right) = (left.ask(&session), right.ask(&session));
    let ((_, left), (_, right)) = futures::try_join!(Box::pin(left), Box::pin(right))?;
    let mut warnings = left.warnings;
    warnings.extend(right.warnings);
    let (left, right) = (left.value.partial, right.value.partial);
    let notes = session.notes.clone();
    let draw = move || {
        let trim = trim(nodes);
        let flame = Flame::compare_trimmed(&left, &right, KeyBy::default(), &trim);
        notes.trimmed(&flame);
        compared(&flame)
    };
    let flamegraph = session.compute(draw).await;
    let value = DiffResponse {
        flamegraph: Some(flamegraph),
    };
    Ok(Reply { value, warnings })
}

/// Only values of one type can be compared.
pub(crate) fn same_type(left: &Rows, right: &Rows) -> Result<(), Error> {
    let parts = |rows: &Rows| cairn_model::ProfileType {
        delta: false,
        ..rows.profile_type.clone()
    };
    match parts(left) == parts(right) {
        true => Ok(()),
        false => Err(Error::Invalid(
            "both sides must be of one profile type".to_owned(),
        )),
    }
}

fn compared(flame: &Flame) -> FlameGraphDiff {
    let FlameGraph {
        names,
        levels,
        total,
        max_self,
    } = flame_graph(Flamebearer::compared(flame));
    let root = flame.nodes.first();
    FlameGraphDiff {
        names,
        levels,
        total,
        max_self,
        left_ticks: root.map_or(0, |root| root.base_cumulative),
        right_ticks: root.map_or(0, |root| root.cumulative),
    }
}
