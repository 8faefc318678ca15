use cairn_model::{About, ProfileBuilder};
use cairn_testkit::generator::{Generator, Spec};
use proptest::prelude::*;

use super::*;

fn with_everything() -> Profile {
    let mut builder = ProfileBuilder::default();
    builder.value_type("samples", "count");
    builder.set_period("cpu", "nanoseconds", 10);
    builder.set_time(1_700_000_000_000_000_000, 5);
    let file = builder.str("libc.so");
    let mapping = builder.mapping(Mapping {
        file,
        build_id: 0,
        addressing: Addressing::Virtual,
    });
    let main = builder.frame("größe");
    let unnamed = builder.location(mapping, u64::MAX, &[]);
    let (key, text) = (builder.str("thread"), builder.str("bytes"));
    let number = AttrValue::Num {
        value: -3,
        unit: text,
    };
    let attrs = [
        Attr {
            key,
            value: AttrValue::Str(text),
        },
        Attr { key, value: number },
    ];
    let link = Link {
        trace_id: [7; 16],
        span_id: [9; 8],
    };
    let points = [
        Point {
            time: 1_700_000_000_000_000_001,
            value: 4,
        },
        Point {
            time: -5,
            value: -1,
        },
    ];
    let about = About {
        attrs: &attrs,
        link: Some(link),
        points: &points,
    };
    builder.sample(&[unnamed, main], &[3], about);
    builder.sample(&[], &[i64::MIN], About::default());
    builder.finish()
}

fn packed(profile: &Profile) -> [Vec<u8>; 2] {
    [pack_tables(&profile.tables), pack(profile)]
}

fn unpacked([tables, profile]: [&[u8]; 2]) -> Checked<Profile> {
    unpack(profile, &Arc::new(unpack_tables(tables)?))
}

#[test]
fn profiles_come_back() {
    let generated = Generator::new(Spec::default());
    let empty = Profile::default();
    for profile in [with_everything(), generated.profile(0, 0, 0), empty] {
        let [tables, bytes] = packed(&profile);
        assert_eq!(unpacked([&tables, &bytes]), Ok(profile));
    }
}

#[test]
fn whole_periods_are_packed_as_counts() {
    let of = |values: [i64; 3], period| {
        let mut builder = ProfileBuilder::default();
        builder.value_type("cpu", "nanoseconds");
        builder.set_period("cpu", "nanoseconds", period);
        for value in values {
            let points = [Point { time: 7, value }];
            let about = About {
                points: &points,
                ..About::default()
            };
            builder.sample(&[], &[value], about);
        }
        builder.finish()
    };
    for (values, period, scale) in [
        ([0, 50_000_000, -100_000_000], 50_000_000, 50_000_000),
        ([0, 50_000_000, 1], 50_000_000, 0),
        ([i64::MIN, 0, 2], 2, 2),
        ([3, i64::MAX, 6], 3, 0),
        ([3, 4, 5], 1, 0),
        ([3, 4, 5], -1, 0),
        ([0, 0, 0], i64::MIN, 0),
    ] {
        let profile = of(values, period);
        let [tables, bytes] = packed(&profile);
        assert_eq!(decode(&bytes).expect("sound").scale, scale, "{values:?}");
        assert_eq!(unpacked([&tables, &bytes]), Ok(profile));
    }
    let [tables, bytes] = packed(&of([i64::MAX, 0, 0], 1));
    let mut large = decode(&bytes).expect("sound");
    for scale in [2, u64::MAX] {
        large.scale = scale;
        let error = unpacked([&tables, &large.encode_to_vec()]).expect_err("too large");
        assert!(error.to_string().contains("too large"), "{error}");
    }
}

#[test]
fn profiles_do_not_get_tables_of_others() {
    let [tables, profile] = packed(&with_everything());
    let error = unpacked([&[], &profile]).expect_err("there is nothing to refer to");
    assert_eq!(
        error.to_string(),
        "not a packed profile: position 3 of 1 strings"
    );
    unpacked([&profile, &tables]).expect_err("they are not the same");
}

/// `with_everything`, as builds packed it before profiles shared tables.
const GOLDEN_WHOLE: &[u8] = include_bytes!("../../tests/golden/whole-1");

#[test]
fn what_earlier_builds_packed_is_read() {
    assert_eq!(unpack_whole(GOLDEN_WHOLE), Ok(with_everything()));
}

proptest! {
    #[test]
    fn whatever_is_read_can_be_used(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        in_tables: bool,
    ) {
        let sound = packed(&with_everything());
        let mut bytes = sound[usize::from(!in_tables)].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            let both = match in_tables {
                true => [bytes, &sound[1]],
                false => [&sound[0], bytes],
            };
            if let Ok(profile) = unpacked(both) {
                let [tables, bytes] = packed(&profile);
                prop_assert_eq!(unpacked([&tables, &bytes]), Ok(profile));
            }
        }
    }
}
