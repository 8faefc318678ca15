//! Files for other programs, what a trace took, and looking closer, against what the rows add up to.

use std::collections::BTreeMap;

use cairn_engine::{GroupBy, KeyBy};
use serde_json::Value;

use super::case::Asked;
use super::expected::{self, Paths};
use super::pages::{columns, range};
use super::pyroscope_names::type_id;
use super::stacks::{Stack, below, innermost, stacks, total};
use super::{Place, read, trimmed};
use crate::fixture::encoded;
use crate::model::{self, Row};

/// Innermost places of a stack that Go's compiler gets.
const GO_PLACES: usize = 5;

pub(crate) async fn check(place: &Place<'_>, asked: &Asked) {
    let rows = asked.matching();
    let all = stacks(&rows);
    let range = range("from", "until", (asked.range.start, asked.range.end));
    let selected = format!("query={}&{range}", encoded(&asked.selector()));
    futures::join!(
        Box::pin(files(place, &all, &selected)),
        Box::pin(closer(place, asked, (&all, &selected))),
        Box::pin(trace(place, asked)),
    );
}

async fn files(place: &Place<'_>, all: &[Stack<'_>], selected: &str) {
    let path = |name: &str| format!("/api/v1/{name}?{selected}");
    let paths = ["speedscope.json", "profile.pb.gz", "pgo.pb.gz"].map(path);
    let (file, profile, pgo) = futures::join!(
        place.json(&paths[0]),
        place.get(&paths[1]),
        place.get(&paths[2])
    );
    let said = place.said("speedscope");
    let values = total(all) - at_root(all);
    assert_eq!(file["profiles"][0]["endValue"], values, "{said}");
    let mut expected = expected::paths(all);
    expected.retain(|path, (_, flat)| *flat != 0 && !path.is_empty());
    let expected = expected.into_iter().map(|(path, (_, flat))| (path, flat));
    assert_eq!(speedscope(&file), expected.collect(), "{said}");
    let expected = expected::samples(all, &GroupBy::SampleLabels);
    let said = place.said("profile.pb.gz");
    assert_eq!(read::samples_of(&profile), expected, "{said}");
    let expected = expected::ungrouped(innermost(all, GO_PLACES, true));
    let said = place.said("pgo.pb.gz");
    assert_eq!(read::samples_of(&pgo), expected, "{said}");
}

/// The largest nodes below some call.
async fn closer(place: &Place<'_>, asked: &Asked, (all, selected): (&[Stack<'_>], &str)) {
    let prefix = asked.shape.prefix(all);
    let calls: String = prefix
        .iter()
        .map(|call| format!("&stack_prefix={}", encoded(call)))
        .collect();
    let (max, few) = (asked.shape.nodes_max, below(all, &prefix));
    let path = format!("/api/v1/flamegraph?{selected}&max_nodes={max}{calls}");
    let graph = place.json(&path).await;
    let said = place.said(&format!("the page below {prefix:?}"));
    assert_eq!(graph["total"], total(&few), "{said}");
    let (found, whole) = (columns(&graph, "value", "self"), expected::paths(&few));
    let largest = graph.get("maxError");
    let largest = largest.map_or(0, |value| value.as_i64().unwrap());
    if few.iter().all(|stack| stack.value() > 0) {
        let hidden = trimmed::check(&found, &whole, (max, "(trimmed)"), &said);
        assert_eq!(graph["trimmed"], hidden.summed, "{said}");
        assert_eq!(largest, hidden.largest, "{said}");
    }
    for (path, (cumulative, _)) in &whole {
        let is_bounded = found.contains_key(path) || cumulative.abs() <= largest;
        assert!(is_bounded, "{said}: {path:?}");
    }
}

fn at_root(stacks: &[Stack<'_>]) -> i64 {
    let empty = stacks.iter().filter(|stack| stack.places.is_empty());
    empty.map(|stack| stack.value()).sum()
}

fn speedscope(file: &Value) -> BTreeMap<Vec<String>, i64> {
    let frames = file["shared"]["frames"].as_array().unwrap();
    let name = |at: &Value| {
        let frame = &frames[at.as_u64().unwrap() as usize];
        frame["name"].as_str().unwrap().to_owned()
    };
    let profile = &file["profiles"][0];
    let samples = profile["samples"].as_array().unwrap().iter();
    let weights = profile["weights"].as_array().unwrap().iter();
    let mut out = BTreeMap::new();
    for (sample, weight) in samples.zip(weights) {
        let path: Vec<String> = sample.as_array().unwrap().iter().map(name).collect();
        let before = out.insert(path, weight.as_i64().unwrap());
        assert_eq!(before, None, "a stack twice");
    }
    out
}

/// Rows of all types.
async fn trace(place: &Place<'_>, asked: &Asked) {
    let id = format!("{:0<32}", format!("{:02x}", asked.shape.ids.0));
    let range = range("from", "until", (asked.range.start, asked.range.end));
    let found = place.json(&format!("/api/v1/traces/{id}?{range}")).await;
    let is_of = |row: &&Row| {
        let values = row.label("trace_id");
        row.sample.is_some() && values.iter().any(|value| model::text(value) == id)
    };
    let mut types: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for row in asked.in_range().into_iter().filter(is_of) {
        // Whether values are those of spans of time is no part of a type here.
        let of_type = types.entry(type_id(&row.profile_type)).or_default();
        of_type.push(row);
    }
    let said = place.said("a trace");
    let told = found["types"].as_array().unwrap().iter();
    let told = told.map(|of| (of["type"].as_str().unwrap(), of));
    let told: BTreeMap<&str, &Value> = told.collect();
    for (profile_type, rows) in &types {
        let stacks = stacks(rows);
        let mut services: BTreeMap<String, i64> = BTreeMap::new();
        for stack in &stacks {
            let service = stack.row.labels.get("service_name").copied();
            *services
                .entry(service.unwrap_or_default().to_owned())
                .or_default() += stack.value();
        }
        let services_alone = ["service_name".to_owned()];
        let whole = expected::grouped(&stacks, &services_alone, KeyBy::default());
        let Some(of) = told.get(profile_type.as_str()) else {
            assert_eq!(whole, Paths::new(), "{said}: {profile_type}");
            continue;
        };
        assert_eq!(of["total"], total(&stacks), "{said}");
        let mut found = services_of(&of["services"]);
        for services in [&mut found, &mut services] {
            services.retain(|_, value| *value != 0);
        }
        assert_eq!(found, services, "{said}");
        assert_eq!(columns(&of["flamegraph"], "value", "self"), whole, "{said}");
    }
    let is_known = told.keys().all(|name| types.contains_key(*name));
    assert!(is_known, "{said}: {found}");
}

fn services_of(services: &Value) -> BTreeMap<String, i64> {
    let all = services.as_object().unwrap().iter();
    all.map(|(name, value)| (name.clone(), value.as_i64().unwrap()))
        .collect()
}
