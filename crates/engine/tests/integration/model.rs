//! Small and nasty profiles, and the rows that they are made of.

#[path = "model/rows.rs"]
mod rows;

use std::sync::Arc;

use cairn_block::{Head, Origin};
use cairn_model::{
    Addressing, Attr, AttrValue, Function, Labels, Line, Link, Location, Mapping, MatchOp, Matcher,
    NONE, Point, Profile, Tables, ValueType,
};
use cairn_trie::GroupValue;
use proptest::prelude::*;

pub(crate) use self::rows::*;

/// A profile as the generator makes it.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) labels: Vec<(&'static str, &'static str)>,
    pub(crate) name: &'static str,
    pub(crate) time: i64,
    pub(crate) duration: i64,
    pub(crate) period: i64,
    pub(crate) types: usize,
    pub(crate) samples: Vec<MadeSample>,
}

#[derive(Clone, Debug)]
pub(crate) struct MadeSample {
    /// Leaf first, positions in [`LOCATIONS`].
    pub(crate) stack: Vec<u32>,
    pub(crate) values: [i64; 2],
    pub(crate) attrs: Vec<(&'static str, Value)>,
    /// Milliseconds after its profile's time.
    pub(crate) taken: Option<i64>,
    /// First bytes of trace and span id; 0 is none.
    pub(crate) link: Option<(u8, u8)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    Text(&'static str),
    Number(i64, &'static str),
}

impl Value {
    fn group(self) -> GroupValue {
        match self {
            Self::Text(text) => GroupValue::Str(text.into()),
            Self::Number(value, unit) => GroupValue::Num {
                value,
                unit: unit.into(),
            },
        }
    }
}

/// Binary, address, and calls innermost first: name, system name, line.
type Made3 = (
    &'static str,
    u64,
    &'static [(&'static str, &'static str, i64)],
);

/// The same function at two lines, inlined calls, recursion through inlining, two binaries with one
/// address, empty names.
pub(crate) const LOCATIONS: [Made3; 11] = [
    ("app", 0x10, &[("f", "f", 1)]),
    ("app", 0x20, &[("f", "f", 2)]),
    ("app", 0x30, &[("g", "_g", 3), ("f", "f", 4)]),
    ("app", 0x40, &[]),
    ("lib", 0x40, &[]),
    ("", 0, &[("", "sys", 0)]),
    ("", 0, &[("", "", 0)]),
    ("", 7, &[]),
    // What two processes generated.
    ("/tmp/perf-1.map", 0x10, &[("j", "j", 0)]),
    ("/tmp/jitted-22-3.so", 0x20, &[("j", "j", 0)]),
    ("/tmp/perf-22.map", 0x50, &[]),
];

/// The binary of one of [`LOCATIONS`] as people see it.
pub(crate) fn shown_binary(file: &'static str) -> &'static str {
    match file.starts_with("/tmp/") {
        true => "[jit]",
        false => file,
    }
}

/// The file that a line of [`LOCATIONS`] is in.
pub(crate) fn source(line: i64) -> &'static str {
    match line {
        1 | 4 => "a.c",
        2 => "src/a.c",
        3 => "src/b.c",
        _ => "",
    }
}

pub(crate) fn made() -> impl Strategy<Value = Made> {
    let labels = prop::sample::subsequence(vec![("a", "x"), ("b", "y"), ("thread", "t1")], 0..=3);
    let other = prop::sample::select(vec![
        ("c", ""),
        ("c", "x"),
        ("c", "xy"),
        ("trace_id", "t"),
        ("service_name", "cart"),
    ]);
    let name = prop::sample::select(vec!["cpu", "mem"]);
    let samples = prop::collection::vec(made_sample(), 0..6);
    let sizes = (
        0i64..30,
        0i64..3,
        prop::sample::select(vec![0, 1, 10]),
        1usize..3,
    );
    (labels, other, name, sizes, samples).prop_map(|(mut labels, other, name, sizes, samples)| {
        labels.push(other);
        let (time, duration, period, types) = sizes;
        Made {
            labels,
            name,
            time,
            duration,
            period,
            types,
            samples,
        }
    })
}

fn made_sample() -> impl Strategy<Value = MadeSample> {
    let attr = prop::sample::select(vec![
        ("thread", Value::Text("t1")),
        ("thread", Value::Text("t2")),
        ("thread", Value::Text("")),
        ("size", Value::Number(5, "bytes")),
        ("size", Value::Number(-5, "")),
        ("a", Value::Text("hidden")),
        ("span_id", Value::Text("x")),
    ]);
    let value = || prop::sample::select(vec![0i64, 10, 20, -10, 7, i64::MAX]);
    let link = prop::option::of((0u8..3, 0u8..2));
    let taken = prop::option::of(0i64..4);
    (
        prop::collection::vec(0u32..LOCATIONS.len() as u32, 0..5),
        (value(), value()),
        prop::collection::vec(attr, 0..3),
        taken,
        link,
    )
        .prop_map(|(stack, (a, b), attrs, taken, link)| MadeSample {
            stack,
            values: [a, b],
            attrs,
            taken,
            link,
        })
}

pub(crate) fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let name = prop::sample::select(vec![
        "a", "b", "c", "thread", "size", "trace_id", "span_id", "__name__", "absent",
    ]);
    let op = prop::sample::select(vec![
        MatchOp::Equal,
        MatchOp::NotEqual,
        MatchOp::Regex,
        MatchOp::NotRegex,
    ]);
    let id = "01000000000000000000000000000000";
    let value = prop::sample::select(vec!["", "x", "t1", "5", "^0100", id, "cpu", "y|t"]);
    let matcher = (name, op, value);
    let matcher = matcher.prop_map(|(n, op, v)| Matcher::new(n, op, v).expect("valid"));
    prop::collection::vec(matcher, 0..3)
}

/// Two heads with the profiles of even and odd positions, as two sources of one query.
pub(crate) fn heads(all: &[Made]) -> Vec<Head> {
    let mut heads = vec![Head::default(), Head::default()];
    for (at, made) in all.iter().enumerate() {
        append(&mut heads[at % 2], made, at as u64 + 1);
    }
    heads
}

fn append(head: &mut Head, made: &Made, lsn: u64) {
    let labels = Labels::from_pairs(made.labels.iter().copied()).expect("valid");
    let origin = Origin {
        name: made.name.into(),
        labels,
        time: made.time,
        lsn,
        batch: 0,
    };
    head.append(&profile(made), &origin).expect("room");
}

pub(crate) fn profile(made: &Made) -> Profile {
    let mut tables = tables();
    let mut profile = Profile {
        time: made.time,
        duration: made.duration,
        period: made.period,
        ..Profile::default()
    };
    let strings = &mut tables.strings;
    let unit = strings.push("ns");
    let kinds = [strings.push("count"), strings.push("time")];
    profile.period_type = ValueType {
        kind: kinds[1],
        unit,
    };
    profile.types = kinds[..made.types]
        .iter()
        .map(|kind| ValueType { kind: *kind, unit })
        .collect();
    for sample in &made.samples {
        let samples = &mut profile.samples;
        samples.stacks.push(tables.stacks.push(&sample.stack));
        samples.values.extend(&sample.values[..made.types]);
        for (key, value) in &sample.attrs {
            let value = match value {
                Value::Text(text) => AttrValue::Str(tables.strings.push(text)),
                Value::Number(value, unit) => AttrValue::Num {
                    value: *value,
                    unit: tables.strings.push(unit),
                },
            };
            let key = tables.strings.push(key);
            samples.attrs.push(Attr { key, value });
        }
        samples.attr_ends.push(samples.attrs.len() as u32);
        if made.types == 1 {
            samples.points.extend(sample.taken.map(|millis| Point {
                time: made.time + millis * 1_000_000,
                value: sample.values[0],
            }));
            samples.point_ends.push(samples.points.len() as u32);
        }
        samples.links.push(match sample.link {
            None => NONE,
            Some(ids) => {
                tables.links.push(link(ids));
                tables.links.len() as u32 - 1
            }
        });
    }
    profile.tables = Arc::new(tables);
    profile
}

/// The tables of profiles with [`LOCATIONS`] alone.
fn tables() -> Tables {
    let mut tables = Tables::default();
    let strings = &mut tables.strings;
    for (file, address, calls) in LOCATIONS {
        let start = tables.lines.len() as u32;
        for (name, system_name, line) in calls {
            tables.functions.push(Function {
                name: strings.push(name),
                system_name: strings.push(system_name),
                file: strings.push(source(*line)),
                start_line: 0,
            });
            tables.lines.push(Line {
                function: tables.functions.len() as u32 - 1,
                line: *line,
                column: 0,
            });
        }
        tables.mappings.push(Mapping {
            file: strings.push(file),
            build_id: strings.push(file),
            addressing: Addressing::Virtual,
        });
        tables.locations.push(Location {
            mapping: if file.is_empty() {
                NONE
            } else {
                tables.mappings.len() as u32 - 1
            },
            address,
            lines: (start, tables.lines.len() as u32),
        });
    }
    tables
}

pub(crate) fn link((trace, span): (u8, u8)) -> Link {
    let mut link = Link::default();
    (link.trace_id[0], link.span_id[0]) = (trace, span);
    link
}
