//! All that one request did: the profiles of a trace, of every service and type, in one answer.

use std::collections::BTreeMap;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use cairn_engine::{Answer, Flame, GroupBy, KeyBy, Query, Question, Trim};
use cairn_model::{MatchOp, Matcher, ProfileType};
use cairn_trie::{Group, GroupValue, Partial, Value};
use http::Extensions;
use serde::Serialize;

use super::flame::{self, FlameColumns};
use super::{json, trim, unit};
use crate::api::handle::respond;
use crate::api::params::Params;
use crate::api::texts;
use crate::error::Error;
use crate::notes::Notes;
use crate::querier::{Querier, Session};
use crate::symbolize::symbolize;

/// The labels that an answer keeps apart.
const TYPE: &str = "__profile_type__";
const SERVICE: &str = "service_name";
/// Hex digits of a trace id.
const ID_DIGITS: usize = 32;

#[derive(Serialize)]
struct Trace {
    trace_id: String,
    types: Vec<OfType>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// What the request took of one kind, such as CPU time.
#[derive(Serialize)]
struct OfType {
    #[serde(rename = "type")]
    profile_type: String,
    unit: &'static str,
    total: i64,
    /// Total by service.
    services: BTreeMap<String, i64>,
    flamegraph: FlameColumns,
}

/// `GET /api/v1/traces/{trace_id}`
pub(super) async fn trace(
    State(querier): State<Querier>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    extensions: Extensions,
) -> Response {
    let params = Params::parse(&query.unwrap_or_default());
    respond(&querier, &extensions, params, async |session, params| {
        answer(session, params, &id).await
    })
    .await
}

async fn answer(session: Session, params: Params, id: &str) -> Result<Response, Error> {
    let trace_id = id.to_ascii_lowercase();
    if trace_id.len() != ID_DIGITS || !trace_id.bytes().all(|b| b.is_ascii_hexdigit()) {
        let text = format!("a trace id has {ID_DIGITS} hex digits");
        return Err(Error::Invalid(text));
    }
    let matcher = Matcher::new("trace_id", MatchOp::Equal, &trace_id);
    let query = Query {
        profile_type: None,
        matchers: vec![matcher.map_err(|error| Error::Invalid(error.to_string()))?],
        range: params.range_or_all(&session)?,
        weights: None,
        question: Question::Stacks(GroupBy::Labels(vec![TYPE.to_owned(), SERVICE.to_owned()])),
    };
    let trim = trim(&session, &params)?;
    let reply = session.ask(&query).await?;
    let mut warnings = reply.warnings;
    let Answer::Stacks(partial) = reply.value.answer else {
        return Err(cairn_engine::WrongAnswer.into());
    };
    let (partial, unnamed) = symbolize(&session, partial).await;
    warnings.extend(unnamed);
    let notes = session.notes.clone();
    let types = session.compute(move || types(&partial, &trim, &notes));
    let value = Trace {
        trace_id,
        types: types.await,
        warnings: texts(&warnings),
    };
    json(&value, &warnings)
}

fn types(partial: &Partial, trim: &Trim, notes: &Notes) -> Vec<OfType> {
    let of_groups: Vec<String> = partial.groups.iter().map(|of| text(of, TYPE)).collect();
    let groups: Vec<Group> = partial.groups.iter().map(without_type).collect();
    let mut values: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for value in &partial.values {
        let of_type = values.entry(&of_groups[value.group as usize]).or_default();
        of_type.push(*value);
    }
    let of_type = |(profile_type, values): (&str, Vec<Value>)| {
        let mut services: BTreeMap<String, i64> = BTreeMap::new();
        for value in &values {
            let service = text(&partial.groups[value.group as usize], SERVICE);
            let sum = services.entry(service).or_default();
            *sum = sum.wrapping_add(value.value);
        }
        let own = Partial::pruned(&partial.symbols, &partial.trie, groups.clone(), values);
        let parsed = profile_type.parse::<ProfileType>();
        let unit = parsed.map_or("short", |of| unit(&of));
        let flame = Flame::trimmed(&own, KeyBy::default(), trim);
        notes.trimmed(&flame);
        OfType {
            total: own.total(),
            flamegraph: flame::single(&flame, unit, Vec::new()),
            profile_type: profile_type.to_owned(),
            unit,
            services,
        }
    };
    values.into_iter().map(of_type).collect()
}

/// Every graph is of one type, so only services are a level of it.
fn without_type(Group(pairs): &Group) -> Group {
    let rest = pairs.iter().filter(|(name, _)| **name != *TYPE);
    Group(rest.cloned().collect())
}

fn text(group: &Group, name: &str) -> String {
    let mut pairs = group.0.iter();
    let found = pairs.find(|(key, _)| **key == *name);
    match found {
        Some((_, GroupValue::Str(text))) => text.to_string(),
        _ => String::new(),
    }
}
