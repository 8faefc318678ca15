//! What must hold of any profile that a decoder gives: everything that it refers to is there.

use cairn_model::{AttrValue, Limits, NONE, Profile};

pub(crate) const LIMITS: fn() -> Limits = || Limits {
    // Small enough that a bomb shows as a refusal and not as a slow input.
    profile_bytes_max: 1 << 20,
    samples_max: 1 << 14,
    depth_max: 64,
    ..Limits::default()
};

/// Panics if something is missing; gives the sum of all values.
pub(crate) fn check(profile: &Profile) -> i64 {
    let (tables, samples) = (&profile.tables, &profile.samples);
    assert_eq!(samples.values.len(), samples.len() * profile.types.len());
    for value_type in profile.types.iter().chain([&profile.period_type]) {
        profile.str(value_type.kind);
        profile.str(value_type.unit);
    }
    for function in &tables.functions {
        for text in [function.name, function.system_name, function.file] {
            profile.str(text);
        }
    }
    for (at, location) in (0..).zip(&tables.locations) {
        if location.mapping != NONE {
            let mapping = tables.mappings[location.mapping as usize];
            profile.str(mapping.file);
            profile.str(mapping.build_id);
        }
        for line in profile.lines(at) {
            assert!((line.function as usize) < tables.functions.len());
        }
    }
    for sample in 0..samples.len() {
        let stack = profile.stack(sample);
        assert!(
            stack
                .iter()
                .all(|at| (*at as usize) < tables.locations.len())
        );
        for attr in samples.attrs(sample) {
            profile.str(attr.key);
            match attr.value {
                AttrValue::Str(text) | AttrValue::Num { unit: text, .. } => profile.str(text),
            };
        }
        assert!(
            samples
                .link(sample)
                .is_none_or(|link| (link as usize) < tables.links.len())
        );
        let points = samples.points(sample);
        if !points.is_empty() {
            let sum = points
                .iter()
                .fold(0i64, |sum, point| sum.wrapping_add(point.value));
            assert_eq!(
                sum,
                profile.values(sample)[0],
                "points add up to their sample"
            );
        }
    }
    samples
        .values
        .iter()
        .fold(0, |sum, value| sum.wrapping_add(*value))
}
