//! Every format against hand-made inputs, real files and damage.

mod binary;
mod corpus;
mod folded;
mod heaptrack;
mod limits;
mod mutations;
mod perf;
mod seeds;
mod speedscope;
mod v8;

use std::collections::{BTreeMap, HashSet};

use cairn_formats::{Decoded, Error, Format, Unit};
use cairn_model::{AttrValue, Limits, Profile};

fn decode(format: Format, bytes: impl AsRef<[u8]>) -> Result<Decoded, Error> {
    cairn_formats::decode(format, bytes.as_ref(), &Unit::default(), &Limits::default())
}

/// The only profile of an input that must be accepted.
fn one(format: Format, bytes: impl AsRef<[u8]>) -> (Profile, Decoded) {
    let decoded = decode(format, bytes).expect("it is valid");
    assert_eq!(decoded.profiles.len(), 1);
    (decoded.profiles[0].profile.clone(), decoded)
}

fn refused(format: Format, bytes: impl AsRef<[u8]>) -> String {
    let error = decode(format, bytes).expect_err("it is not valid");
    error.to_string()
}

fn calls_of(profile: &Profile, sample: usize) -> Vec<(u32, Option<cairn_model::Line>)> {
    let mut calls = Vec::new();
    for location in profile.stack(sample).iter().rev() {
        let lines = profile.lines(*location);
        if lines.is_empty() {
            calls.push((*location, None));
        }
        calls.extend(lines.iter().rev().map(|line| (*location, Some(*line))));
    }
    calls
}

/// Names of a sample's frames from the root, joined by `;`. Unnamed ones are `file@address`.
fn stack(profile: &Profile, sample: usize) -> String {
    let names = calls_of(profile, sample)
        .into_iter()
        .map(|(location, line)| {
            if let Some(line) = line {
                let function = profile.tables.functions[line.function as usize];
                return profile.str(function.name).to_owned();
            }
            let location = profile.tables.locations[location as usize];
            let file = profile.tables.mappings.get(location.mapping as usize);
            let file = file.map_or("?", |mapping| profile.str(mapping.file));
            format!("{file}@{:x}", location.address)
        });
    names.collect::<Vec<_>>().join(";")
}

/// Values of each stack by name. Samples must all be different.
fn stacks(profile: &Profile) -> BTreeMap<String, Vec<i64>> {
    let rows = &profile.samples;
    let mut different = HashSet::new();
    let mut stacks: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for at in 0..rows.len() {
        assert!(
            different.insert((profile.stack(at), rows.attrs(at))),
            "a stack is there twice"
        );
        let sums = stacks
            .entry(stack(profile, at))
            .or_insert_with(|| vec![0; profile.types.len()]);
        for (sum, value) in sums.iter_mut().zip(profile.values(at)) {
            *sum += value;
        }
    }
    stacks
}

/// The same for profiles of one value.
fn singles(profile: &Profile) -> Vec<(String, i64)> {
    let all = stacks(profile).into_iter();
    all.map(|(stack, values)| (stack, values[0])).collect()
}

fn total(profile: &Profile, column: usize) -> i64 {
    (0..profile.samples.len())
        .map(|at| profile.values(at)[column])
        .sum()
}

fn types(profile: &Profile) -> Vec<(&str, &str)> {
    let types = profile.types.iter();
    types
        .map(|value| (profile.str(value.kind), profile.str(value.unit)))
        .collect()
}

fn attrs(profile: &Profile, sample: usize) -> Vec<String> {
    let attrs = profile.samples.attrs(sample).iter();
    attrs
        .map(|attr| match attr.value {
            AttrValue::Str(text) => format!("{}={}", profile.str(attr.key), profile.str(text)),
            AttrValue::Num { value, .. } => format!("{}:{value}", profile.str(attr.key)),
        })
        .collect()
}

fn pairs(of: &[(&str, i64)]) -> Vec<(String, i64)> {
    let pairs = of
        .iter()
        .map(|(stack, value)| ((*stack).to_owned(), *value));
    pairs.collect()
}
