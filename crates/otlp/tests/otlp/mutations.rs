//! Damaged requests: never a panic, and whatever comes out holds together.

use cairn_model::{AttrValue, Limits, NONE, Profile};
use cairn_otlp::Request;
use proptest::prelude::*;

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = cairn_testkit::corpus::captured()
        .iter()
        .filter(|request| request.path.contains("v1development"))
        .map(cairn_testkit::corpus::Captured::plain_body)
        .collect();
    seeds.extend(crate::releases::all().into_iter().map(|(_, bytes)| bytes));
    seeds
}

fn limits() -> Limits {
    Limits {
        depth_max: 8,
        profile_bytes_max: 1 << 20,
        ..Limits::default()
    }
}

#[derive(Clone, Debug)]
enum Damage {
    Set(u8),
    Flip(u8),
    Insert(Vec<u8>),
    Remove(usize),
    Repeat(usize),
    Cut,
}

fn damage() -> impl Strategy<Value = (prop::sample::Index, Damage)> {
    let kind = prop_oneof![
        any::<u8>().prop_map(Damage::Set),
        (0u8..8).prop_map(Damage::Flip),
        prop::collection::vec(any::<u8>(), 1..8).prop_map(Damage::Insert),
        (1usize..16).prop_map(Damage::Remove),
        (1usize..16).prop_map(Damage::Repeat),
        Just(Damage::Cut),
    ];
    (any::<prop::sample::Index>(), kind)
}

fn apply(bytes: &mut Vec<u8>, at: prop::sample::Index, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    let at = at.index(bytes.len());
    let end = |len: usize| (at + len).min(bytes.len());
    match damage {
        Damage::Set(byte) => bytes[at] = *byte,
        Damage::Flip(bit) => bytes[at] ^= 1 << bit,
        Damage::Insert(more) => drop(bytes.splice(at..at, more.iter().copied())),
        Damage::Remove(len) => drop(bytes.drain(at..end(*len))),
        Damage::Repeat(len) => {
            let copy = bytes[at..end(*len)].to_vec();
            bytes.splice(at..at, copy);
        }
        Damage::Cut => bytes.truncate(at),
    }
}

fn holds_together(request: &Request) {
    for decoded in request.profiles.iter().flatten() {
        assert!(
            decoded
                .described
                .labels
                .iter()
                .any(|(key, _)| key == "service_name")
        );
        check(&decoded.described.profile);
    }
}

/// Every position is within its table, every column has a row per sample.
fn check(profile: &Profile) {
    let strings = profile.tables.strings.len() as u32;
    for kind in profile.types.iter().chain([&profile.period_type]) {
        assert!(kind.kind < strings && kind.unit < strings);
    }
    for function in &profile.tables.functions {
        assert!(function.name < strings && function.system_name < strings);
        assert!(function.file < strings);
    }
    for mapping in &profile.tables.mappings {
        assert!(mapping.file < strings && mapping.build_id < strings);
    }
    for line in &profile.tables.lines {
        assert!((line.function as usize) < profile.tables.functions.len());
    }
    for at in 0..profile.tables.locations.len() as u32 {
        let mapping = profile.tables.locations[at as usize].mapping;
        assert!(mapping == NONE || (mapping as usize) < profile.tables.mappings.len());
        assert!(profile.lines(at).len() <= 8);
    }
    let samples = &profile.samples;
    assert_eq!(samples.values.len(), samples.len() * profile.types.len());
    for ends in [&samples.attr_ends, &samples.point_ends, &samples.links] {
        assert!(ends.is_empty() || ends.len() == samples.len());
    }
    for at in 0..samples.len() {
        let stack = profile.stack(at);
        let frames = stack
            .iter()
            .map(|location| profile.lines(*location).len().max(1));
        assert!(frames.sum::<usize>() <= 8);
        for attr in samples.attrs(at) {
            let other = match attr.value {
                AttrValue::Str(text) => text,
                AttrValue::Num { unit, .. } => unit,
            };
            assert!(attr.key < strings && other < strings);
        }
        let points = samples.points(at);
        if !points.is_empty() {
            let sum = points
                .iter()
                .fold(0i64, |sum, point| sum.wrapping_add(point.value));
            assert_eq!([sum], profile.values(at));
            assert!(points.iter().all(|point| point.time >= profile.time));
        }
        if let Some(link) = samples.link(at) {
            assert!((link as usize) < profile.tables.links.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 6_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn damaged_requests_never_panic_and_hold_together(
        seed in any::<prop::sample::Index>(),
        damages in prop::collection::vec(damage(), 1..5),
    ) {
        thread_local! {
            static SEEDS: Vec<Vec<u8>> = seeds();
        }
        let mut bytes = SEEDS.with(|seeds| seeds[seed.index(seeds.len())].clone());
        for (at, damage) in &damages {
            apply(&mut bytes, *at, damage);
        }
        if let Ok(request) = cairn_otlp::decode(&bytes, &limits()) {
            holds_together(&request);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = cairn_otlp::decode(&bytes, &limits());
        let _ = cairn_otlp::decode_json(&bytes, &limits());
    }

    #[test]
    fn damaged_json_never_panics_and_holds_together(
        damages in prop::collection::vec(damage(), 1..5),
    ) {
        let mut text = crate::json::REQUEST.as_bytes().to_vec();
        for (at, damage) in &damages {
            apply(&mut text, *at, damage);
        }
        if let Ok(request) = cairn_otlp::decode_json(&text, &limits()) {
            holds_together(&request);
        }
    }
}

#[test]
fn undamaged_seeds_are_read() {
    for seed in seeds() {
        let request = cairn_otlp::decode(&seed, &limits()).unwrap();
        assert!(request.profiles.iter().all(Result::is_ok));
        holds_together(&request);
    }
}
