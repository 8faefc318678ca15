//! Whatever a profile can hold comes back from its bytes.

use std::sync::Arc;

use cairn_model::{
    Addressing, Attr, AttrValue, Function, Limits, Line, Link, Location, Mapping, NONE, Profile,
    Samples, ValueType,
};
use cairn_pprof::{Options, canonical, encode};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::decode;

/// Mapping, address and lines.
type Place = (Option<Index>, u64, Vec<(Index, i64, i64)>);
/// A string, or a number and its unit.
type Value = Result<Index, (i64, Index)>;

#[derive(Debug, Clone)]
struct Tables {
    texts: Vec<String>,
    mappings: Vec<(Index, Index, bool)>,
    functions: Vec<([Index; 3], i64)>,
    locations: Vec<Place>,
    links: Vec<Link>,
}

#[derive(Debug, Clone)]
struct Row {
    stack: Vec<Index>,
    values: [i64; 3],
    attrs: Vec<(Index, Value)>,
    link: Option<Index>,
}

fn tables() -> impl Strategy<Value = Tables> {
    let index = any::<Index>;
    let line = (index(), any::<i64>(), any::<i64>());
    let link = (any::<[u8; 16]>(), any::<[u8; 8]>());
    (
        prop::collection::vec("[a-z./ é]{1,6}", 1..8),
        prop::collection::vec((index(), index(), any::<bool>()), 1..4),
        prop::collection::vec((prop::array::uniform3(index()), any::<i64>()), 1..6),
        prop::collection::vec(
            (
                prop::option::of(index()),
                any::<u64>(),
                prop::collection::vec(line, 0..4),
            ),
            1..10,
        ),
        prop::collection::vec(link, 1..4),
    )
        .prop_map(|(texts, mappings, functions, locations, links)| Tables {
            texts,
            mappings,
            functions,
            locations,
            links: links
                .into_iter()
                .map(|(trace_id, span_id)| Link { trace_id, span_id })
                .collect(),
        })
}

fn row() -> impl Strategy<Value = Row> {
    let index = any::<Index>;
    let value = prop_oneof![index().prop_map(Ok), (any::<i64>(), index()).prop_map(Err)];
    (
        prop::collection::vec(index(), 0..6),
        any::<[i64; 3]>(),
        prop::collection::vec((index(), value), 0..3),
        prop::option::of(index()),
    )
        .prop_map(|(stack, values, attrs, link)| Row {
            stack,
            values,
            attrs,
            link,
        })
}

prop_compose! {
    fn profile()(
        tables in tables(),
        rows in prop::collection::vec(row(), 0..12),
        types in 1..=3usize,
        scalars in any::<[i64; 3]>(),
    ) -> Profile {
        let mut out = Profile::default();
        let mut made = cairn_model::Tables::default();
        let texts: Vec<u32> = tables.texts.iter().map(|text| made.strings.push(text)).collect();
        let text = |index: &Index| texts[index.index(texts.len())];
        [out.time, out.duration, out.period] = scalars;
        out.types = (0..types)
            .map(|at| ValueType { kind: texts[at % texts.len()], unit: 0 })
            .collect();
        out.period_type = out.types[0];
        made.mappings = tables.mappings.iter().map(|(file, build_id, is_virtual)| Mapping {
            file: text(file),
            build_id: text(build_id),
            addressing: if *is_virtual { Addressing::Virtual } else { Addressing::FileOffset },
        }).collect();
        made.functions = tables.functions.iter().map(|(names, start_line)| Function {
            name: text(&names[0]),
            system_name: text(&names[1]),
            file: text(&names[2]),
            start_line: *start_line,
        }).collect();
        for (mapping, address, lines) in &tables.locations {
            let start = made.lines.len() as u32;
            made.lines.extend(lines.iter().map(|(function, line, column)| Line {
                function: function.index(made.functions.len()) as u32,
                line: *line,
                column: *column,
            }));
            let mapping = mapping.map_or(NONE, |index| index.index(made.mappings.len()) as u32);
            let lines = (start, made.lines.len() as u32);
            made.locations.push(Location { mapping, address: *address, lines });
        }
        made.links = tables.links;
        for row in &rows {
            push_row(row, types, &text, &mut out.samples, &mut made);
        }
        out.tables = Arc::new(made);
        out
    }
}

fn push_row(
    row: &Row,
    types: usize,
    text: &dyn Fn(&Index) -> u32,
    samples: &mut Samples,
    tables: &mut cairn_model::Tables,
) {
    let stack = row.stack.iter();
    let stack = stack.map(|index| index.index(tables.locations.len()) as u32);
    tables.stacks.locations.extend(stack);
    samples.stacks.push(tables.stacks.end());
    samples.values.extend(&row.values[..types]);
    samples
        .attrs
        .extend(row.attrs.iter().map(|(key, value)| Attr {
            key: text(key),
            value: match value {
                Ok(value) => AttrValue::Str(text(value)),
                Err((value, unit)) => AttrValue::Num {
                    value: *value,
                    unit: text(unit),
                },
            },
        }));
    samples.attr_ends.push(samples.attrs.len() as u32);
    samples.links.push(match row.link {
        Some(index) => index.index(tables.links.len()) as u32,
        None => NONE,
    });
}

/// Everything there is to say about each sample, in order, without table positions.
fn spelled(profile: &Profile) -> Vec<String> {
    (0..profile.samples.len())
        .map(|at| {
            let stack: Vec<String> = profile
                .stack(at)
                .iter()
                .map(|at| location(profile, *at))
                .collect();
            let attrs: Vec<String> = profile
                .samples
                .attrs(at)
                .iter()
                .map(|attr| match attr.value {
                    AttrValue::Str(text) => {
                        format!("{}={:?}", profile.str(attr.key), profile.str(text))
                    }
                    AttrValue::Num { value, unit } => {
                        format!("{}={value}{:?}", profile.str(attr.key), profile.str(unit))
                    }
                })
                .collect();
            let link = profile
                .samples
                .link(at)
                .map(|link| profile.tables.links[link as usize]);
            let link = link.filter(|link| *link != Link::default());
            format!("{stack:?} {:?} {attrs:?} {link:?}", profile.values(at))
        })
        .collect()
}

fn location(profile: &Profile, at: u32) -> String {
    let location = &profile.tables.locations[at as usize];
    let mapping = profile
        .tables
        .mappings
        .get(location.mapping as usize)
        .map(|mapping| {
            (
                profile.str(mapping.file),
                profile.str(mapping.build_id),
                mapping.addressing,
            )
        });
    let lines: Vec<_> = profile
        .lines(at)
        .iter()
        .map(|line| {
            let function = &profile.tables.functions[line.function as usize];
            let names = [function.name, function.system_name, function.file];
            (
                names.map(|id| profile.str(id)),
                function.start_line,
                line.line,
                line.column,
            )
        })
        .collect();
    format!("{mapping:?} {:x} {lines:?}", location.address)
}

proptest! {
    #[test]
    fn everything_comes_back(profile in profile()) {
        let decoded = decode(&encode(&profile)).expect("we encode valid profiles");
        prop_assert_eq!(spelled(&decoded.profile), spelled(&profile));
        prop_assert_eq!(canonical(&decoded.profile), canonical(&profile));
        let (ours, theirs) = (&decoded.profile, &profile);
        prop_assert_eq!(
            (ours.time, ours.duration, ours.period, &ours.types, ours.period_type),
            (theirs.time, theirs.duration, theirs.period, &theirs.types, theirs.period_type)
        );
    }

    #[test]
    fn cut_stacks_keep_their_leaves(profile in profile(), depth_max in 2..8usize) {
        let limits = Limits { depth_max, ..Limits::default() };
        let raw = encode(&profile);
        let cut = cairn_pprof::decode(&raw, &limits, &Options::default()).expect("never refused");
        let full = decode(&raw).expect("valid").profile;
        let mut truncated = 0;
        for at in 0..full.samples.len() {
            let (whole, kept) = (frames(&full, at), frames(&cut.profile, at));
            prop_assert_eq!(full.values(at), cut.profile.values(at));
            if whole.len() <= depth_max {
                prop_assert_eq!(whole, kept);
                continue;
            }
            truncated += 1;
            let (marker, leaves) = kept.split_last().expect("there is a marker");
            prop_assert_eq!(marker, cairn_pprof::TRUNCATED_FRAME);
            prop_assert!(!leaves.is_empty() && leaves.len() <= depth_max);
            prop_assert_eq!(leaves, &whole[..leaves.len()]);
        }
        prop_assert_eq!(cut.truncated_stacks, truncated);
    }

    #[test]
    fn left_out_samples_keep_their_sums(profile in profile(), samples_max in 0..14usize) {
        let limits = Limits { samples_max, ..Limits::default() };
        let raw = encode(&profile);
        let cut = cairn_pprof::decode(&raw, &limits, &Options::default()).expect("never refused");
        let full = decode(&raw).expect("valid").profile;
        let kept = full.samples.len().min(samples_max);
        let left_out = full.samples.len() - kept;
        prop_assert_eq!(cut.truncated_samples, left_out as u64);
        prop_assert_eq!(cut.profile.samples.len(), kept + left_out.min(1));
        prop_assert_eq!(&spelled(&cut.profile)[..kept], &spelled(&full)[..kept]);
        if left_out > 0 {
            let sums = (0..full.types.len()).map(|column| {
                let values = (kept..full.samples.len()).map(|at| full.values(at)[column]);
                values.fold(0, i64::saturating_add)
            });
            prop_assert_eq!(cut.profile.values(kept), sums.collect::<Vec<_>>());
            prop_assert_eq!(frames(&cut.profile, kept), [cairn_pprof::TRUNCATED_FRAME]);
            prop_assert_eq!(cut.profile.samples.attrs(kept), []);
            prop_assert_eq!(cut.profile.samples.link(kept), None);
        }
        let again = decode(&encode(&cut.profile)).expect("we encode valid profiles").profile;
        prop_assert_eq!(canonical(&again), canonical(&cut.profile));
    }

    #[test]
    fn noise_never_panics(raw in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&raw);
    }
}

/// Names leaf first, inlined calls included.
fn frames(profile: &Profile, sample: usize) -> Vec<String> {
    let mut names = Vec::new();
    for at in profile.stack(sample) {
        if profile.lines(*at).is_empty() {
            names.push(location(profile, *at));
        }
        for line in profile.lines(*at) {
            let function = &profile.tables.functions[line.function as usize];
            names.push(profile.str(function.name).to_owned());
        }
    }
    names
}
