//! Damaged recordings: never a panic, and no more than the limits allow.

use cairn_jfr::{Options, labels_snapshot};
use cairn_model::{Limits, Profile};
use proptest::prelude::*;

use crate::recordings;
use crate::writer::{Writer, id};

pub(crate) fn small() -> Vec<u8> {
    let mut chunks = Vec::new();
    for compressed in [true, false] {
        let mut writer = Writer::usual(compressed);
        writer.setting(107, "event", "wall");
        writer.setting(id::EXECUTION, "interval", "1000");
        writer.text(id::STRING, 77, "größe");
        let mut name = writer.values();
        name.byte(2).long(77);
        writer.constants(id::SYMBOL, &[(11, name)]);
        writer.stack(6, true, &[(2, 1, 3), (1, 2, 1), (9, 3, 4)]);
        for stack in [5, 6] {
            writer.add(id::EXECUTION, stack, &[1], [1, 2, 3, 4, 5]);
            writer.add(id::WALL_CLOCK, stack, &[1, 3], [0; 5]);
            writer.add(id::MONITOR_ENTER, stack, &[3_000], [0; 5]);
            writer.add(id::NEW_TLAB, stack, &[1, 2], [9; 5]);
        }
        chunks.extend(writer.finish());
    }
    chunks
}

/// Every position that a profile holds is in its tables.
fn check(profile: &Profile, limits: &Limits) {
    let samples = &profile.samples;
    assert!(samples.len() <= limits.samples_max + 1);
    assert_eq!(samples.values.len(), samples.len() * profile.types.len());
    for sample in 0..samples.len() {
        let stack = profile.stack(sample);
        assert!(!stack.is_empty() && stack.len() <= limits.depth_max);
        for location in stack {
            for line in profile.lines(*location) {
                let function = profile.tables.functions[line.function as usize];
                assert!(!profile.str(function.name).is_empty());
            }
        }
        for attr in samples.attrs(sample) {
            profile.str(attr.key);
        }
    }
}

fn decode(bytes: &[u8]) -> bool {
    let limits = Limits {
        samples_max: 5_000,
        depth_max: 32,
        profile_bytes_max: 1 << 20,
        ..Limits::default()
    };
    let options = Options {
        threads: true,
        ..Options::default()
    };
    let snapshot = labels_snapshot(&bytes[..bytes.len() / 2], &limits).unwrap_or_default();
    let decoded = cairn_jfr::decode(bytes, Some(&snapshot), &options, &limits);
    for described in decoded.iter().flat_map(|decoded| &decoded.profiles) {
        check(&described.profile, &limits);
    }
    decoded.is_ok()
}

/// Where to change something, what, and how much of it to take away or repeat.
type Damage = (prop::sample::Index, u8, u8, u8);

fn damage(bytes: &mut Vec<u8>, (at, kind, value, len): &Damage) {
    if bytes.is_empty() {
        return;
    }
    let at = at.index(bytes.len());
    let end = (at + usize::from(*len % 16) + 1).min(bytes.len());
    match kind % 8 {
        0 | 1 => bytes[at] ^= 1 << (value % 8),
        2 => bytes[at] = *value,
        3 => bytes[at] = bytes[at].wrapping_add(1),
        4 => bytes.insert(at, *value),
        5 => drop(bytes.drain(at..end)),
        6 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        _ => bytes[at..end].fill(0xff),
    }
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let one = (
        any::<prop::sample::Index>(),
        any::<u8>(),
        any::<u8>(),
        any::<u8>(),
    );
    prop::collection::vec(one, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_chunks_never_panic(damages in damages()) {
        let mut bytes = small();
        for one in &damages {
            damage(&mut bytes, one);
        }
        decode(&bytes);
    }

    #[test]
    fn any_bytes_after_a_header_never_panic(
        rest in prop::collection::vec(any::<u8>(), 0..200),
        compressed: bool,
    ) {
        let mut writer = Writer::new(compressed);
        writer.events = rest;
        decode(&writer.finish());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_recordings_never_panic(damages in damages()) {
        let mut bytes = recordings::read("jdk17.jfr.gz");
        for one in &damages {
            damage(&mut bytes, one);
        }
        decode(&bytes);
    }
}

#[test]
fn the_undamaged_is_accepted() {
    assert!(decode(&small()));
    assert!(decode(&recordings::read("jdk17.jfr.gz")));
}

#[test]
fn no_cut_off_recording_is_accepted() {
    let bytes = small();
    let first = u64::from_be_bytes(*bytes[8..].first_chunk().expect("a header")) as usize;
    for len in 0..bytes.len() {
        assert_eq!(decode(&bytes[..len]), len == first, "{len}");
    }
}
