//! A partial as a profile, for downloads.

use std::sync::Arc;

use cairn_model::{
    Attr, AttrValue, Link, NONE, Profile, ProfileType, Samples, Stacks, StrId, Tables, ValueType,
};
use cairn_trie::{Group, GroupValue, Partial};
use hashbrown::HashMap;

/// What a profile says besides its stacks.
#[derive(Clone, Debug)]
pub struct Meta {
    pub profile_type: ProfileType,
    /// Nanoseconds since the epoch.
    pub time: i64,
    /// Nanoseconds.
    pub duration: i64,
    pub period: i64,
}

/// The same stacks, labels, links and values. Groups become labels of samples, those named
/// `trace_id` and `span_id` that hold ids become links.
pub fn profile(partial: &Partial, meta: &Meta) -> Profile {
    let symbols = partial.symbols.clone();
    let mut tables = Tables {
        strings: symbols.strings,
        functions: symbols.functions,
        mappings: symbols.mappings,
        locations: symbols.locations,
        lines: symbols.lines,
        ..Tables::default()
    };
    let mut strings: HashMap<String, StrId> = HashMap::new();
    let mut intern = |text: &str| match strings.get(text) {
        _ if text.is_empty() => 0,
        Some(id) => *id,
        None => {
            let id = tables.strings.push(text);
            strings.insert(text.to_owned(), id);
            id
        }
    };
    let of = &meta.profile_type;
    let types = vec![ValueType {
        kind: intern(&of.sample_type),
        unit: intern(&of.sample_unit),
    }];
    let period_type = ValueType {
        kind: intern(&of.period_type),
        unit: intern(&of.period_unit),
    };
    let labels: Vec<(Vec<Attr>, Option<Link>)> = partial
        .groups
        .iter()
        .map(|group| labels(group, &mut intern))
        .collect();
    let mut links: HashMap<Link, u32> = HashMap::new();
    let links: Vec<u32> = labels
        .iter()
        .map(|(_, link)| {
            let Some(link) = link else { return NONE };
            let next = tables.links.len() as u32;
            let id = *links.entry(*link).or_insert(next);
            if id == next {
                tables.links.push(*link);
            }
            id
        })
        .collect();
    let samples = samples(partial, &labels, &links, &mut tables.stacks);
    Profile {
        time: meta.time,
        duration: meta.duration,
        period_type,
        period: meta.period,
        types,
        tables: Arc::new(tables),
        samples,
    }
}

fn samples(
    partial: &Partial,
    labels: &[(Vec<Attr>, Option<Link>)],
    links: &[u32],
    stacks: &mut Stacks,
) -> Samples {
    let mut samples = Samples::default();
    for value in &partial.values {
        stacks.locations.extend(partial.trie.stack(value.node));
        samples.stacks.push(stacks.end());
        samples.values.push(value.value);
        let (attrs, _) = &labels[value.group as usize];
        samples.attrs.extend_from_slice(attrs);
        samples.attr_ends.push(samples.attrs.len() as u32);
        samples.links.push(links[value.group as usize]);
    }
    if samples.attrs.is_empty() {
        samples.attr_ends.clear();
    }
    if samples.links.iter().all(|link| *link == NONE) {
        samples.links.clear();
    }
    samples
}

fn labels(group: &Group, mut intern: impl FnMut(&str) -> StrId) -> (Vec<Attr>, Option<Link>) {
    let (mut trace_id, mut span_id) = (None, None);
    let mut attrs = Vec::new();
    for (key, value) in &group.0 {
        if let GroupValue::Str(text) = value {
            let found = match &**key {
                "trace_id" if trace_id.is_none() => {
                    trace_id = id::<16>(text);
                    trace_id.is_some()
                }
                "span_id" if span_id.is_none() => {
                    span_id = id::<8>(text);
                    span_id.is_some()
                }
                _ => false,
            };
            if found {
                continue;
            }
        }
        let value = match value {
            GroupValue::Str(text) => AttrValue::Str(intern(text)),
            GroupValue::Num { value, unit } => AttrValue::Num {
                value: *value,
                unit: intern(unit),
            },
        };
        let key = intern(key);
        attrs.push(Attr { key, value });
    }
    let link = (trace_id.is_some() || span_id.is_some()).then(|| Link {
        trace_id: trace_id.unwrap_or_default(),
        span_id: span_id.unwrap_or_default(),
    });
    (attrs, link)
}

/// An id from lower-case hex; all zero is none.
fn id<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let lower = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != N * 2 || !digits.iter().all(lower) {
        return None;
    }
    let mut id = [0u8; N];
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
    }
    (id != [0u8; N]).then_some(id)
}
