//! The naive model: rows as a map from everything that tells them apart, all spelled out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use cairn_block::{
    Block, Error, Head, Index, Links, Lsn, Options, Origin, SampleColumns, Stacks, Stretch,
};
use cairn_model::{
    Addressing, Attr, AttrValue, Function, Labels, Line, Link, Location, Mapping, NONE, Point,
    Profile, Samples, Tables, ValueType, WriterId,
};
use cairn_trie::{Group, GroupValue, Symbols};
use proptest::prelude::*;

/// Type, labels, time, sample labels and when it was sampled, link, stack from the leaf on.
pub(crate) type Row = (String, String, i64, String, String, Vec<String>);

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) rows: BTreeMap<Row, i64>,
    /// What is known of every profile, and how often it is there.
    pub(crate) profiles: BTreeMap<String, usize>,
}

/// One profile as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) profile: Profile,
    pub(crate) labels: Labels,
    pub(crate) time: i64,
    pub(crate) lsn: Lsn,
    pub(crate) batch: u128,
}

/// How a block of the third incarnation of a writer is written.
pub(crate) fn options(level: u8) -> Options {
    Options {
        level,
        origins: vec![stretch(3, 1, 40)],
        siblings: 2,
    }
}

pub(crate) fn stretch(incarnation: u64, from: Lsn, to: Lsn) -> Stretch {
    Stretch {
        writer: WriterId::parse("ingester-0").expect("valid"),
        incarnation,
        from,
        to,
    }
}

impl Model {
    fn add(&mut self, row: Row, value: i64) {
        let sum = self.rows.entry(row).or_default();
        *sum = sum.wrapping_add(value);
    }

    /// Zeroes say nothing.
    fn tidy(mut self) -> Self {
        self.rows.retain(|_, value| *value != 0);
        self
    }

    pub(crate) fn of_sent(sent: &[Sent]) -> Self {
        let mut model = Self::default();
        for sent in sent {
            let profile = &sent.profile;
            let frames = sent_frames(profile);
            for (column, value_type) in profile.types.iter().enumerate() {
                let text = |id| profile.str(id);
                let delta = if profile.duration == 0 { "" } else { ":delta" };
                let name = format!(
                    "cpu:{}:{}:{}:{}{delta}",
                    text(value_type.kind),
                    text(value_type.unit),
                    text(profile.period_type.kind),
                    text(profile.period_type.unit),
                );
                let mut total = 0i64;
                for sample in 0..profile.samples.len() {
                    let value = profile.values(sample)[column];
                    total = total.wrapping_add(value);
                    let row = |time: u32| -> Row {
                        (
                            name.clone(),
                            sent.labels.to_string(),
                            sent.time,
                            timed(sent_attrs(profile, sample), time),
                            profile.samples.link(sample).map_or_else(
                                || link(&Link::default()),
                                |at| link(&profile.tables.links[at as usize]),
                            ),
                            profile
                                .stack(sample)
                                .iter()
                                .map(|at| frames[*at as usize].clone())
                                .collect(),
                        )
                    };
                    let points = profile.samples.points(sample);
                    if points.is_empty() {
                        model.add(row(0), value);
                    }
                    for point in points {
                        let millis = (point.time - sent.time).max(0) / 1_000_000;
                        model.add(row(millis as u32 + 1), point.value);
                    }
                }
                let about = format!(
                    "{name} {} {} {} {} {total} {} {}",
                    sent.labels, sent.time, profile.duration, profile.period, sent.lsn, sent.batch
                );
                *model.profiles.entry(about).or_default() += 1;
            }
        }
        model.tidy()
    }

    pub(crate) fn of_parts(
        (index, links): (&Index, &Links),
        stacks: &Stacks,
        rows: &SampleColumns,
    ) -> Self {
        let mut model = Self::default();
        for profile in &index.profiles {
            let name = index.types[profile.profile_type as usize].to_string();
            let labels = index.label_sets[profile.label_set as usize].to_string();
            let about = format!(
                "{name} {labels} {} {} {} {} {} {}",
                profile.time,
                profile.duration,
                profile.period,
                profile.total,
                profile.lsn,
                profile.batch
            );
            *model.profiles.entry(about).or_default() += 1;
            for row in 0..u64::from(profile.rows.len) {
                let row = (profile.rows.start + row) as usize;
                let node = stacks.nodes[rows.stacks[row] as usize];
                let frames = stacks.trie.stack(node);
                let key = (
                    name.clone(),
                    labels.clone(),
                    profile.time,
                    timed(
                        attrs(&index.attr_sets[rows.attr(row) as usize]),
                        rows.time(row),
                    ),
                    link(&links.list[rows.link(row) as usize]),
                    frames.map(|at| frame(&stacks.symbols, at)).collect(),
                );
                model.add(key, rows.values[row].wrapping_mul(profile.scale));
            }
        }
        model.tidy()
    }

    pub(crate) async fn of_block(block: &Block) -> Result<Self, Error> {
        let (index, stacks, rows) = read(block).await?;
        let links = block.links().await?;
        Ok(Self::of_parts((&index, &links), &stacks, &rows))
    }

    /// From a complete object.
    pub(crate) fn of_bytes(bytes: Bytes) -> Result<Self, Error> {
        let block = Block::from_bytes(bytes)?;
        futures::executor::block_on(Self::of_block(&block))
    }
}

fn timed(attrs: String, time: u32) -> String {
    match time {
        0 => attrs,
        time => format!("{attrs} @{time}"),
    }
}

/// All of a block.
pub(crate) async fn read(block: &Block) -> Result<(Arc<Index>, Arc<Stacks>, SampleColumns), Error> {
    let (index, stacks) = (block.index().await?, block.stacks().await?);
    let symbols = &stacks.symbols;
    let ids = symbols.mappings.iter();
    let ids = ids.map(|mapping| symbols.strings.get(mapping.build_id));
    let ids: BTreeSet<&str> = ids.filter(|id| !id.is_empty()).collect();
    assert!(ids.into_iter().eq(block.build_ids().await?));
    let ranges: Vec<_> = index.profiles.iter().map(|profile| profile.rows).collect();
    let mut rows = SampleColumns::default();
    let mut next = 0;
    let mut append = |first: u64, run: &SampleColumns| {
        assert_eq!(first, next, "rows come in order");
        next += run.len() as u64;
        extend(&mut rows, run);
    };
    block.samples(&ranges, &mut append).await?;
    Ok((index, stacks, rows))
}

pub(crate) fn extend(rows: &mut SampleColumns, run: &SampleColumns) {
    assert!(run.times.is_empty() || run.times.len() == run.len());
    let times = (0..run.len()).map(|row| run.time(row));
    rows.times.extend(times);
    rows.stacks.extend(&run.stacks);
    rows.values.extend(&run.values);
    rows.attrs.extend(&run.attrs);
    rows.links.extend(&run.links);
}

pub(crate) fn head(sent: &[Sent]) -> Head {
    let mut head = Head::default();
    for sent in sent {
        let origin = Origin {
            name: "cpu".into(),
            labels: sent.labels.clone(),
            time: sent.time,
            lsn: sent.lsn,
            batch: sent.batch,
        };
        head.append(&sent.profile, &origin).expect("it fits");
    }
    head
}

fn frame(symbols: &Symbols, location: u32) -> String {
    let Location {
        mapping, address, ..
    } = symbols.locations[location as usize];
    let mapping = (mapping != NONE).then(|| {
        let mapping = symbols.mappings[mapping as usize];
        let (file, build_id) = (symbols.str(mapping.file), symbols.str(mapping.build_id));
        (file, build_id, mapping.addressing)
    });
    let line = |line: &Line| {
        let function = symbols.functions[line.function as usize];
        let texts = [function.name, function.system_name, function.file].map(|id| symbols.str(id));
        format!(
            "{texts:?} {} {} {}",
            function.start_line, line.line, line.column
        )
    };
    let lines: Vec<String> = symbols.lines(location).iter().map(line).collect();
    format!("{mapping:?} {address} {lines:?}")
}

/// What every location of a profile says.
fn sent_frames(profile: &Profile) -> Vec<String> {
    let tables = &*profile.tables;
    let symbols = Symbols {
        strings: tables.strings.clone(),
        functions: tables.functions.clone(),
        mappings: tables.mappings.clone(),
        locations: tables.locations.clone(),
        lines: tables.lines.clone(),
    };
    (0..tables.locations.len() as u32)
        .map(|at| frame(&symbols, at))
        .collect()
}

fn attrs(set: &Group) -> String {
    format!("{:?}", set.0)
}

fn sent_attrs(profile: &Profile, sample: usize) -> String {
    let pair = |attr: &Attr| -> (Arc<str>, GroupValue) {
        let value = match attr.value {
            AttrValue::Str(id) => GroupValue::Str(profile.str(id).into()),
            AttrValue::Num { value, unit } => GroupValue::Num {
                value,
                unit: profile.str(unit).into(),
            },
        };
        (profile.str(attr.key).into(), value)
    };
    let mut pairs: Vec<_> = profile.samples.attrs(sample).iter().map(pair).collect();
    pairs.sort();
    attrs(&Group(pairs))
}

fn link(link: &Link) -> String {
    format!("{:?}", (link.trace_id, link.span_id))
}

/// A sample: stack, values, sample labels, link.
type DrawnSample = (Vec<u32>, [i64; 2], Vec<(u32, u32, bool)>, Option<u8>);

/// Any profile, with few names so that much of it repeats.
pub(crate) fn any_sent() -> impl Strategy<Value = Sent> {
    let value = prop_oneof![
        4 => (0..5i64).prop_map(|n| n * 10),
        2 => -3..100i64,
        1 => any::<i64>(),
    ];
    let attr = (0..3u32, 0..4u32, any::<bool>());
    let sample = (
        prop::collection::vec(0..LOCATIONS, 0..6),
        [value.clone(), value],
        prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(attr, 0..3)],
        prop_oneof![3 => Just(None), 1 => (0..4u8).prop_map(Some)],
    );
    (
        prop::collection::vec(sample, 0..12),
        (0..3u32, 0..3u32, 0..4i64),
        (0..3u64, 0..3u128),
        prop_oneof![Just(0i64), Just(10)],
        any::<bool>(),
    )
        .prop_map(
            |(samples, (service, pod, time), (lsn, batch), duration, has_points)| {
                let time = 1_700_000_000_000_000_000 + time * 7_000_000_001;
                let mut profile = profile(samples, duration);
                if has_points {
                    add_points(&mut profile, time);
                }
                Sent {
                    profile,
                    labels: labels(service, pod),
                    time,
                    lsn,
                    batch,
                }
            },
        )
}

/// Keeps one type, and says of most samples when parts of them were taken; some too early.
fn add_points(profile: &mut Profile, time: i64) {
    profile.types.truncate(1);
    let samples = &mut profile.samples;
    samples.values = samples.values.iter().step_by(2).copied().collect();
    for (at, value) in (0i64..).zip(&samples.values) {
        let parts = match at % 4 {
            0 => vec![],
            1 => vec![(-1, *value)],
            _ => vec![(at, 10), (at + 1, value.wrapping_sub(30)), (at, 20)],
        };
        let point = |(millis, value)| Point {
            time: time + millis * 1_000_000 + 5,
            value,
        };
        samples.points.extend(parts.into_iter().map(point));
        samples.point_ends.push(samples.points.len() as u32);
    }
}

fn labels(service: u32, pod: u32) -> Labels {
    let pairs = [
        ("service_name", format!("s{}", service + 1)),
        ("pod", format!("s{service}-{pod}")),
        ("größe/x", "…".to_owned()),
    ];
    Labels::from_pairs(pairs.into_iter().skip((service == 2) as usize)).expect("valid")
}

const LOCATIONS: u32 = 8;

fn profile(samples: Vec<DrawnSample>, duration: i64) -> Profile {
    let mut profile = Profile {
        duration,
        period: 10,
        ..Profile::default()
    };
    let mut tables = Tables::default();
    let text = [
        "samples",
        "count",
        "cpu",
        "nanoseconds",
        "main",
        "work",
        "_ZN4work",
        "a.c",
        "b.rs",
        "libc.so",
        "deadbeef",
        "thread",
        "bytes",
        "värde",
    ];
    let ids: Vec<u32> = text.iter().map(|text| tables.strings.push(text)).collect();
    let value_type = |kind: usize, unit: usize| ValueType {
        kind: ids[kind],
        unit: ids[unit],
    };
    profile.types = vec![value_type(0, 1), value_type(2, 3)];
    profile.period_type = value_type(2, 3);
    tables.mappings = vec![
        Mapping {
            file: ids[9],
            build_id: ids[10],
            addressing: Addressing::Virtual,
        },
        Mapping::default(),
    ];
    tables.functions = (0..4)
        .map(|n| Function {
            name: ids[4 + n % 2],
            system_name: ids[5 + n % 2],
            file: ids[7 + n / 2],
            start_line: n as i64 - 1,
        })
        .collect();
    for n in 0..LOCATIONS {
        let start = tables.lines.len() as u32;
        for function in 0..n % 3 {
            tables.lines.push(Line {
                function: (function + n) % 4,
                line: i64::from(n) * 3,
                column: i64::from(function),
            });
        }
        tables.locations.push(Location {
            mapping: if n % 3 == 2 { NONE } else { n % 2 },
            address: u64::MAX - u64::from(n * 16),
            lines: (start, tables.lines.len() as u32),
        });
    }
    tables.links = (0..4)
        .map(|n| Link {
            trace_id: [n; 16],
            span_id: [n / 2; 8],
        })
        .collect();
    profile.samples = rows(samples, &ids, &mut tables.stacks);
    profile.tables = Arc::new(tables);
    profile
}

fn rows(samples: Vec<DrawnSample>, ids: &[u32], stacks: &mut cairn_model::Stacks) -> Samples {
    let mut out = Samples::default();
    for (stack, values, attrs, link) in samples {
        out.stacks.push(stacks.push(&stack));
        out.values.extend(values);
        out.attrs
            .extend(attrs.into_iter().map(|(key, value, text)| Attr {
                key: ids[11 + key as usize],
                value: if text {
                    AttrValue::Str(ids[4 + value as usize])
                } else {
                    AttrValue::Num {
                        value: i64::from(value) - 2,
                        unit: ids[12],
                    }
                },
            }));
        out.attr_ends.push(out.attrs.len() as u32);
        out.links.push(link.map_or(NONE, u32::from));
    }
    out
}

/// A few profiles that are the same in every run and every version.
pub(crate) fn sample_sent() -> Vec<Sent> {
    let mut state = 7u64;
    let mut draw = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    let mut sent = Vec::new();
    for n in 0..12u64 {
        let mut samples = Vec::new();
        for _ in 0..draw(12) {
            let depth = draw(6);
            let stack = (0..depth)
                .map(|_| draw(u64::from(LOCATIONS)) as u32)
                .collect();
            let values = [draw(5) as i64 * 10, draw(1 << 40) as i64 - 1000];
            let attrs = (0..draw(3)).map(|_| (draw(3) as u32, draw(4) as u32, draw(2) == 0));
            let attrs = attrs.collect();
            let link = (draw(2) == 0).then(|| draw(4) as u8);
            samples.push((stack, values, attrs, link));
        }
        sent.push(Sent {
            profile: profile(samples, if n % 3 == 0 { 0 } else { 10_000_000_000 }),
            labels: labels(draw(3) as u32, draw(3) as u32),
            time: 1_700_000_000_000_000_000 + n as i64 * 7_000_000_001,
            lsn: n / 2 + 1,
            batch: u128::from(n / 2) << 64 | 5,
        });
    }
    sent
}
