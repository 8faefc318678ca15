//! The rows that profiles are made of, and what they add up to.

use std::collections::{BTreeMap, BTreeSet};

use cairn_engine::repeats::series_of;
use cairn_engine::{GroupBy, Query};
use cairn_model::{Labels, Line, MatchOp, Matcher, NONE, ProfileType, TimeRange};
use cairn_trie::{Group, GroupValue, Partial, Symbols};

use super::{LOCATIONS, Made, MadeSample, Value, shown_binary, source};

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
            GroupBy::Profiles { step, labels } => {
                let Group(mut all) = self.group(&GroupBy::Labels(labels.clone()));
                let time = match *step {
                    0 => self.time,
                    step => self.time.div_euclid(step) * step,
                };
                all.push((
                    "__time__".into(),
                    Value::Number(time, "nanoseconds").group(),
                ));
                if *step == 0 {
                    let pairs = self.labels.iter().map(|(name, value)| (*name, *value));
                    let labels = Labels::from_pairs(pairs).expect("valid");
                    let series = series_of(&labels, &self.profile_type).cast_signed();
                    all.push(("__series__".into(), Value::Number(series, "").group()));
                }
                all.sort();
                pairs = all;
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
            let file = shown_binary(file);
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
