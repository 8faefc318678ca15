//! The decoder against requests that another library wrote in each release's layout, against
//! recorded ones, and against messages that must be refused.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::too_many_lines, reason = "tables of cases")]

mod corpus;
mod excess;
mod faults;
mod json;
mod messages;
mod mutations;
mod places;
mod releases;
mod rules;
mod seeds;
mod sharing;

use cairn_model::{Limits, Profile};
use cairn_otlp::{Decoded, Refusal, Request};

fn decode(raw: &[u8]) -> Request {
    cairn_otlp::decode(raw, &Limits::default()).unwrap()
}

/// The only profile of a request.
fn only(request: &Request) -> &Decoded {
    let [profile] = &request.profiles[..] else {
        panic!("{} profiles", request.profiles.len());
    };
    profile.as_ref().unwrap()
}

/// Why the only profile of a request was refused.
fn refusal(request: &Request) -> &Refusal {
    let [profile] = &request.profiles[..] else {
        panic!("{} profiles", request.profiles.len());
    };
    profile.as_ref().unwrap_err()
}

fn label<'a>(decoded: &'a Decoded, name: &str) -> Option<&'a str> {
    let labels = &decoded.described.labels;
    let mut found = labels.iter().filter(|(key, _)| key == name);
    let value = found.next().map(|(_, value)| &**value);
    assert!(found.next().is_none(), "{name} comes twice");
    value
}

/// `kind/unit` of the columns, then of the period.
fn kinds(profile: &Profile) -> Vec<String> {
    let all = profile.types.iter().chain([&profile.period_type]);
    all.map(|kind| format!("{}/{}", profile.str(kind.kind), profile.str(kind.unit)))
        .collect()
}

/// The function names of a sample's stack, leaf first; addresses of what has no name.
fn frames(profile: &Profile, sample: usize) -> Vec<String> {
    let mut frames = Vec::new();
    for location in profile.stack(sample) {
        let lines = profile.lines(*location);
        for line in lines {
            let function = &profile.tables.functions[line.function as usize];
            frames.push(profile.str(function.name).to_owned());
        }
        if lines.is_empty() {
            frames.push(format!(
                "{:#x}",
                profile.tables.locations[*location as usize].address
            ));
        }
    }
    frames
}

/// `key=value` of a sample's labels, numbers with their unit.
fn attrs(profile: &Profile, sample: usize) -> Vec<String> {
    let attrs = profile.samples.attrs(sample).iter();
    attrs
        .map(|attr| {
            let key = profile.str(attr.key);
            match attr.value {
                cairn_model::AttrValue::Str(text) => format!("{key}={}", profile.str(text)),
                cairn_model::AttrValue::Num { value, unit } => {
                    format!("{key}={value} {}", profile.str(unit))
                }
            }
        })
        .collect()
}

/// Times and values of a sample's points.
fn points(profile: &Profile, sample: usize) -> Vec<(i64, i64)> {
    let points = profile.samples.points(sample).iter();
    points.map(|point| (point.time, point.value)).collect()
}
