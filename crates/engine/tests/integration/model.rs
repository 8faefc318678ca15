//! Small and nasty profiles, and the rows that they are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_block::{Head, Origin};
use cairn_engine::{GroupBy, Query};
use cairn_model::{
    Addressing, Attr, AttrValue, Function, Labels, Line, Link, Location, Mapping, MatchOp, Matcher,
    NONE, Point, Profile, ProfileType, Tables, TimeRange, ValueType,
};
use cairn_trie::{Group, GroupValue, Partial, Symbols};
use proptest::prelude::*;

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
pub(crate) const LOCATIONS: [Made3; 8] = [
    ("app", 0x10, &[("f", "f", 1)]),
    ("app", 0x20, &[("f", "f", 2)]),
    ("app", 0x30, &[("g", "_g", 3), ("f", "f", 4)]),
    ("app", 0x40, &[]),
    ("lib", 0x40, &[]),
    ("", 0, &[("", "sys", 0)]),
    ("", 0, &[("", "", 0)]),
    ("", 7, &[]),
];

/// The file that a line of [`LOCATIONS`] is in.
pub(crate) fn source(line: i64) -> &'static str {
    match line {
        1 | 4 => "a.c",
        2 => "src/a.c",
        3 => "src/b.c",
        _ => "",
    }
}

/// One value of one sample.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) profile: usize,
    pub(crate) profile_type: ProfileType,
    pub(crate) labels: BTreeMap<&'static str, &'static str>,
    pub(crate) time: i64,
    pub(crate) duration: i64,
    /// Whether its samples say when they were taken.
    is_timed: bool,
    /// Absent for a profile without rows.
    pub(crate) sample: Option<(MadeSample, i64)>,
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

/// One row per non-zero value; a profile without any has one row without a sample.
pub(crate) fn rows(all: &[Made]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (at, made) in all.iter().enumerate() {
        for column in 0..made.types {
            let row = |sample| Row {
                profile: at * 2 + column,
                profile_type: profile_type(made, column),
                labels: made
                    .labels
                    .iter()
                    .copied()
                    .filter(|(_, v)| !v.is_empty())
                    .collect(),
                time: made.time,
                duration: made.duration,
                is_timed: made.types == 1,
                sample,
            };
            let valued = made.samples.iter().filter(|s| s.values[column] != 0);
            let before = rows.len();
            rows.extend(valued.map(|s| row(Some((s.clone(), s.values[column])))));
            if rows.len() == before {
                rows.push(row(None));
            }
        }
    }
    rows
}

pub(crate) fn profile_type(made: &Made, column: usize) -> ProfileType {
    ProfileType {
        name: made.name.into(),
        sample_type: ["count", "time"][column].into(),
        sample_unit: "ns".into(),
        period_type: "time".into(),
        period_unit: "ns".into(),
        delta: made.duration != 0,
    }
}

impl Row {
    /// All values of one label.
    pub(crate) fn label(&self, name: &str) -> Vec<GroupValue> {
        let text = |text: &str| vec![GroupValue::Str(text.into())];
        if name == "__name__" {
            return text(&self.profile_type.name);
        }
        if let Some(value) = self.labels.get(name) {
            return text(value);
        }
        let Some((sample, _)) = &self.sample else {
            return Vec::new();
        };
        let attrs = sample.attrs.iter().filter(|(key, _)| *key == name);
        let mut values: Vec<GroupValue> = attrs.map(|(_, value)| value.group()).collect();
        if values.is_empty() {
            values.extend(
                self.ids()
                    .remove(name)
                    .map(|id| GroupValue::Str(id.as_str().into())),
            );
        }
        values.sort();
        values
    }

    /// Profiles of several types do not say when samples were taken.
    pub(crate) fn taken(&self) -> i64 {
        let sample = self.sample.as_ref().map(|(sample, _)| sample);
        let millis = sample.and_then(|sample| sample.taken).unwrap_or_default();
        self.time + millis * 1_000_000 * i64::from(self.is_timed)
    }

    fn ids(&self) -> BTreeMap<&'static str, String> {
        let mut ids = BTreeMap::new();
        if let Some((sample, _)) = &self.sample {
            let (trace, span) = sample.link.unwrap_or_default();
            for (name, id, digits) in [("trace_id", trace, 32), ("span_id", span, 16)] {
                if id != 0 {
                    ids.insert(name, format!("{:0<digits$}", format!("{id:02x}")));
                }
            }
        }
        ids
    }

    pub(crate) fn names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.labels.keys().map(|name| name.to_string()).collect();
        names.extend(self.ids().keys().map(|name| name.to_string()));
        if let Some((sample, _)) = &self.sample {
            names.extend(sample.attrs.iter().map(|(key, _)| key.to_string()));
        }
        names
    }

    pub(crate) fn matches(&self, query: &Query) -> bool {
        let holds = |matcher: &Matcher| {
            let values = self.label(matcher.name());
            let mut results = values
                .iter()
                .map(|value| matcher.matches(Some(&text(value))));
            match matcher.op() {
                _ if values.is_empty() => matcher.matches(None),
                MatchOp::Equal | MatchOp::Regex => results.any(|r| r),
                MatchOp::NotEqual | MatchOp::NotRegex => results.all(|r| r),
            }
        };
        let TimeRange { start, end } = query.range;
        query
            .profile_type
            .as_ref()
            .is_none_or(|t| *t == self.profile_type)
            && start <= self.time
            && self.time <= end
            && query.matchers.iter().all(holds)
    }

    pub(crate) fn group(&self, by: &GroupBy) -> Group {
        let mut pairs = Vec::new();
        match by {
            GroupBy::Nothing => {}
            GroupBy::Labels(names) => {
                for name in names {
                    let values = self.label(name).into_iter();
                    let values = values.filter(|value| *value != GroupValue::Str("".into()));
                    pairs.extend(values.map(|value| (name.as_str().into(), value)));
                }
                pairs.sort();
                pairs.dedup();
            }
            GroupBy::Times { step, labels } => {
                let Group(labels) = self.group(&GroupBy::Labels(labels.clone()));
                let time = match *step {
                    0 => self.taken(),
                    step => self.taken().div_euclid(step) * step,
                };
                let value = Value::Number(time, "nanoseconds").group();
                pairs = [labels, vec![("__time__".into(), value)]].concat();
                pairs.sort();
            }
            GroupBy::SampleLabels => {
                if let Some((sample, _)) = &self.sample {
                    let attrs = sample.attrs.iter();
                    pairs.extend(attrs.map(|(key, value)| ((*key).into(), value.group())));
                    let ids = self.ids().into_iter();
                    pairs
                        .extend(ids.map(|(k, id)| (k.into(), GroupValue::Str(id.as_str().into()))));
                }
                pairs.sort();
            }
        }
        Group(pairs)
    }

    pub(crate) fn value(&self) -> i64 {
        self.sample.as_ref().map_or(0, |(_, value)| *value)
    }

    pub(crate) fn stack(&self) -> &[u32] {
        self.sample
            .as_ref()
            .map_or(&[], |(sample, _)| &sample.stack)
    }

    /// The calls of the stack as a flame graph names them, outermost first.
    pub(crate) fn calls(&self) -> Vec<String> {
        let of = |location: &u32| {
            let (file, address, calls) = LOCATIONS[*location as usize];
            let unnamed = if file.is_empty() {
                format!("{address:#x}")
            } else {
                format!("{file}+{address:#x}")
            };
            let named = calls.iter().rev().map(|(name, system_name, _)| {
                if name.is_empty() { *system_name } else { *name }.to_owned()
            });
            if calls.is_empty() {
                vec![unnamed]
            } else {
                named.collect()
            }
        };
        self.stack().iter().rev().flat_map(of).collect()
    }
}

pub(crate) fn text(value: &GroupValue) -> String {
    match value {
        GroupValue::Str(text) => text.to_string(),
        GroupValue::Num { value, .. } => value.to_string(),
    }
}

/// What a location says, as text.
pub(crate) fn location(symbols: &Symbols, id: u32) -> String {
    let location = symbols.locations[id as usize];
    let file = match location.mapping {
        NONE => "",
        mapping => symbols.str(symbols.mappings[mapping as usize].file),
    };
    let call = |line: &Line| {
        let function = symbols.functions[line.function as usize];
        let (name, system_name) = (
            symbols.str(function.name),
            symbols.str(function.system_name),
        );
        let file = symbols.str(function.file);
        format!("{name}/{system_name}:{file}:{}", line.line)
    };
    let calls: Vec<String> = symbols.lines(id).iter().map(call).collect();
    format!("{file} {:x} {}", location.address, calls.join(","))
}

fn made_location(id: u32) -> String {
    let (file, address, calls) = LOCATIONS[id as usize];
    let call = |(name, system_name, line): &(&str, &str, i64)| {
        format!("{name}/{system_name}:{}:{line}", source(*line))
    };
    let calls: Vec<String> = calls.iter().map(call).collect();
    format!("{file} {address:x} {}", calls.join(","))
}

/// Stack, leaf first, and group -> value.
pub(crate) type Sums = BTreeMap<(Vec<String>, Group), i64>;

pub(crate) fn sums(partial: &Partial) -> Sums {
    let mut sums = Sums::new();
    for value in &partial.values {
        let stack = partial.trie.stack(value.node);
        let stack = stack
            .map(|frame| location(&partial.symbols, frame))
            .collect();
        let group = partial.groups[value.group as usize].clone();
        assert_eq!(
            sums.insert((stack, group), value.value),
            None,
            "a value twice"
        );
    }
    sums
}

pub(crate) fn expected_sums(rows: &[&Row], by: &GroupBy) -> Sums {
    let mut sums = Sums::new();
    for row in rows.iter().filter(|row| row.sample.is_some()) {
        let stack = row.stack().iter().map(|id| made_location(*id)).collect();
        let sum = sums.entry((stack, row.group(by))).or_default();
        *sum = sum.wrapping_add(row.value());
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}
