//! Records as agents write them, read back: the exact profiles, what is tolerated, what is
//! refused, and damage.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod faults;
mod known;
mod mutations;
mod rules;
mod seeds;
mod shapes;
mod two_way;

use std::sync::Arc;

use cairn_model::{Addressing, Described, Limits, Profile};
use cairn_parca::write::{Call, Frame, Sample};
use cairn_parca::{Decoded, Error};

fn decode(buffer: &[u8]) -> Result<Decoded, Error> {
    cairn_parca::decode(buffer, &Limits::default())
}

/// A native frame without names.
fn native(file: &str, address: u64) -> Frame {
    Frame {
        address,
        frame_type: "native".to_owned(),
        file: file.to_owned(),
        build_id: format!("id of {file}"),
        ..Frame::default()
    }
}

/// A frame of an interpreter.
fn named(frame_type: &str, name: &str, line: i64) -> Frame {
    Frame {
        address: line as u64,
        frame_type: frame_type.to_owned(),
        calls: vec![Call {
            name: name.to_owned(),
            system_name: name.to_owned(),
            file: format!("{name}.src"),
            start_line: 1,
            line,
            column: 2,
        }],
        ..Frame::default()
    }
}

/// A sample as agents send many of.
fn sample(pod: &str, stack: &[Frame], value: i64, time: i64) -> Sample {
    Sample {
        labels: vec![
            ("node".to_owned(), "n1".to_owned()),
            ("pod".to_owned(), pod.to_owned()),
        ],
        stack: Arc::from(stack),
        value,
        period: 52,
        duration: 1_000,
        time,
        ..Sample::of_cpu()
    }
}

/// One line per sample, in order: stack leaf first, value, points.
fn rows(profile: &Profile) -> Vec<String> {
    let samples = &profile.samples;
    let one = |at| {
        let stack: Vec<String> = profile
            .stack(at)
            .iter()
            .map(|id| location(profile, *id))
            .collect();
        let points = samples.points(at).iter();
        let points: Vec<String> = points
            .map(|point| format!("{}@{}", point.value, point.time))
            .collect();
        let values: Vec<String> = profile.values(at).iter().map(i64::to_string).collect();
        format!(
            "{} = {} [{}]",
            stack.join(" < "),
            values.join(","),
            points.join(" ")
        )
    };
    (0..samples.len()).map(one).collect()
}

fn location(profile: &Profile, id: u32) -> String {
    let location = profile.tables.locations[id as usize];
    let file = match profile.tables.mappings.get(location.mapping as usize) {
        None => String::new(),
        Some(mapping) => {
            let build_id = profile.str(mapping.build_id);
            let mark = match mapping.addressing {
                Addressing::Virtual => "",
                Addressing::FileOffset => "+",
            };
            format!("{}({build_id}){mark}", profile.str(mapping.file))
        }
    };
    let lines = profile.lines(id).iter().map(|line| {
        let function = &profile.tables.functions[line.function as usize];
        format!(
            " {}/{}:{}:{}:{}:{}",
            profile.str(function.name),
            profile.str(function.system_name),
            profile.str(function.file),
            function.start_line,
            line.line,
            line.column
        )
    });
    format!("{file}{:#x}{}", location.address, lines.collect::<String>())
}

/// Labels as `a=b,c=d`.
fn labels(described: &Described) -> String {
    let labels = described
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    labels.collect::<Vec<_>>().join(",")
}

/// Name and type as Parca writes them, and the times.
fn kind(described: &Described) -> String {
    let profile = &described.profile;
    assert_eq!(profile.types.len(), 1);
    format!(
        "{}:{}:{}:{}:{} period {} time {} duration {}",
        described.name.as_deref().unwrap(),
        profile.str(profile.types[0].kind),
        profile.str(profile.types[0].unit),
        profile.str(profile.period_type.kind),
        profile.str(profile.period_type.unit),
        profile.period,
        profile.time,
        profile.duration,
    )
}
