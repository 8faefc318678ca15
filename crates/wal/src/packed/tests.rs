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

#[test]
fn profiles_come_back() {
    let generated = Generator::new(Spec::default());
    let empty = Profile::default();
    for profile in [with_everything(), generated.profile(0, 0, 0), empty] {
        let bytes = pack(&profile);
        assert_eq!(unpack(&bytes, &Limits::default()), Ok(profile));
    }
}

#[test]
fn a_full_profile_has_room_for_one_that_stands_for_the_rest() {
    let mut builder = ProfileBuilder::default();
    builder.value_type("samples", "count");
    builder.sample(&[], &[1], About::default());
    builder.leave_out(&[2]);
    let profile = builder.finish();
    let limits = Limits {
        samples_max: 1,
        ..Limits::default()
    };
    assert_eq!(unpack(&pack(&profile), &limits), Ok(profile));
}

#[test]
fn limits_are_named() {
    let bytes = pack(&with_everything());
    let all = Limits::default();
    let with = |change: fn(&mut Limits)| {
        let mut limits = all;
        change(&mut limits);
        unpack(&bytes, &limits)
            .expect_err("over a limit")
            .to_string()
    };
    assert_eq!(
        with(|limits| limits.samples_max = 0),
        "invalid profile: samples: more than samples_max=0"
    );
    assert_eq!(
        with(|limits| limits.samples_max = 1),
        "invalid profile: points: more than samples_max=1"
    );
    assert!(with(|limits| limits.profile_bytes_max = 9).contains("profile_bytes_max=9"));
    assert!(with(|limits| limits.string_bytes_max = 6).contains("string_bytes_max=6"));
    assert!(with(|limits| limits.sample_labels_max = 1).contains("sample_labels_max=1"));
    assert!(with(|limits| limits.sample_types_max = 0).contains("sample_types_max=0"));
}

proptest! {
    #[test]
    fn whatever_is_read_can_be_used(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = pack(&with_everything());
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(profile) = unpack(bytes, &Limits::default()) {
                let again = unpack(&pack(&profile), &Limits::default());
                prop_assert_eq!(again, Ok(profile));
            }
        }
    }
}
