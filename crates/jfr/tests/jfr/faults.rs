//! Recordings that must be refused, each by its text.

use cairn_jfr::Options;
use cairn_model::{Code, Excess, Limits};

use crate::decode;
use crate::writer::{Writer, id};

fn refused(bytes: &[u8]) -> String {
    let error = decode(bytes).expect_err("refused");
    assert_eq!(error.code(), Code::Invalid);
    error.to_string()
}

fn refused_by(bytes: &[u8], limits: &Limits) -> String {
    let decoded = cairn_jfr::decode(bytes, None, &Options::default(), limits);
    decoded.expect_err("refused").to_string()
}

fn usual() -> Writer {
    let mut writer = Writer::usual(true);
    writer.add(id::MALLOC, 5, &[8], [0; 5]);
    writer
}

#[test]
fn headers_are_checked() {
    let valid = usual().finish();
    let with = |at: usize, bytes: &[u8]| {
        let mut damaged = valid.clone();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        refused(&damaged)
    };
    let prefix = "failed to parse recording: chunk 1: ";
    for (error, expected) in [
        (refused(&[]), "0 bytes are too few for a chunk"),
        (refused(&valid[..67]), "67 bytes are too few for a chunk"),
        (with(0, b"PK"), "a chunk does not begin with FLR"),
        (with(4, &[0, 3]), "version 3.0 is none that we read"),
        (
            with(8, &[0, 0, 0, 0, 0x40, 0, 0, 0]),
            "a chunk of 1073741824 bytes is not all there, or was never finished",
        ),
        (
            with(8, &[0; 8]),
            "a chunk of 0 bytes is not all there, or was never finished",
        ),
        (with(56, &[0; 8]), "a chunk has no ticks"),
        (with(24, &[0; 8]), "metadata: it lies outside of its chunk"),
        (
            with(24, &[0xff; 8]),
            "metadata: it lies outside of its chunk",
        ),
    ] {
        assert_eq!(error, format!("{prefix}{expected}"));
    }
    let tail = [&*valid, b"FLR"].concat();
    assert_eq!(
        refused(&tail),
        "failed to parse recording: chunk 2: 3 bytes are too few for a chunk"
    );
}

#[test]
fn sizes_of_events_are_checked() {
    for size in [0_i32, 1, 50, i32::MAX, -1] {
        let mut writer = usual();
        let at = writer.finish().len();
        let mut event = writer.values();
        event.int(size);
        writer.events.extend(event.out);
        let expected = format!("failed to parse recording: chunk 1: event at byte {at}: ");
        let error = refused(&writer.finish());
        assert!(error.starts_with(&expected), "{size}: {error}");
    }
}

#[test]
fn fields_that_end_too_early_are_refused() {
    let mut writer = usual();
    writer.event(id::MALLOC, |values| {
        values.long(7);
    });
    let error = refused(&writer.finish());
    assert!(error.ends_with("a value ends too early"), "{error}");
}

#[test]
fn constants_of_unknown_types_are_refused() {
    let mut writer = usual();
    writer.text(999, 1, "anything");
    let error = refused(&writer.finish());
    assert!(
        error.ends_with("constants of the unknown type 999"),
        "{error}"
    );
}

#[test]
fn counts_do_not_take_memory() {
    let mut writer = usual();
    let mut stack = writer.values();
    stack.byte(0).int(i32::MAX);
    writer.constants(id::STACK_TRACE, &[(8, stack)]);
    let error = refused(&writer.finish());
    assert!(error.contains("2147483647 entries do not fit"), "{error}");
}

#[test]
fn types_within_themselves_are_bounded() {
    for ring in [
        &[("self", id::OTHER, ""), ("self", id::OTHER, "")][..],
        &[("n", id::BYTE, ""), ("self", id::OTHER, "")],
    ] {
        let mut writer = usual();
        writer.class(id::OTHER, "Ring", ring);
        writer.class(
            id::LIVE_OBJECT,
            "profiler.LiveObject",
            &[
                ("ring", id::OTHER, ""),
                ("stackTrace", id::STACK_TRACE, "p"),
            ],
        );
        writer.event(id::LIVE_OBJECT, |values| {
            values.long(5).raw(&[1; 100]);
        });
        let decoded = decode(&writer.finish());
        if ring[0].0 == "n" {
            let error = decoded.expect_err("too deep").to_string();
            assert!(
                error.ends_with("structures are nested too deeply"),
                "{error}"
            );
        } else {
            // Nothing in nothing takes no bytes.
            assert_eq!(decoded.expect("valid").profiles.len(), 2);
        }
    }
}

#[test]
fn unknown_types_are_refused_where_they_are_read() {
    let mut writer = usual();
    writer.class(id::OTHER, "jdk.Other", &[("what", 998, "")]);
    assert!(decode(&writer.finish()).is_ok());
    writer.class(id::LIVE_OBJECT, "profiler.LiveObject", &[("what", 998, "")]);
    writer.event(id::LIVE_OBJECT, |values| {
        values.long(5);
    });
    let error = refused(&writer.finish());
    assert!(error.ends_with("a field has an unknown type"), "{error}");
}

#[test]
fn metadata_of_no_types_gives_no_profiles() {
    let mut writer = usual();
    writer.events.clear();
    writer.types.clear();
    let decoded = decode(&writer.finish()).expect("valid");
    assert!(decoded.profiles.is_empty());
    assert!(decoded.skipped.is_empty());
}

#[test]
fn limits_are_told_by_name() {
    let mut writer = usual();
    writer.stack(6, false, &[(1, 1, 1)]);
    writer.add(id::MALLOC, 6, &[8], [0; 5]);
    let bytes = writer.finish();
    let limits = Limits::default();
    for (limits, expected) in [
        (
            Limits {
                profile_bytes_max: bytes.len() - 1,
                ..limits
            },
            format!("its bytes: more than profile_bytes_max={}", bytes.len() - 1),
        ),
        (
            Limits {
                samples_max: 1,
                excess: Excess::Refuse,
                ..limits
            },
            "its samples: more than samples_max=1".to_owned(),
        ),
        (
            Limits {
                depth_max: 1,
                excess: Excess::Refuse,
                ..limits
            },
            "frames of a stack: more than depth_max=1".to_owned(),
        ),
        (
            Limits {
                string_bytes_max: 10,
                ..limits
            },
            "a string: more than string_bytes_max=10".to_owned(),
        ),
        (
            Limits {
                label_value_bytes_max: 5,
                ..limits
            },
            "the event's name: more than label_value_bytes_max=5".to_owned(),
        ),
    ] {
        assert_eq!(
            refused_by(&bytes, &limits),
            format!("invalid recording: {expected}")
        );
    }
}

#[test]
fn a_frame_s_name_counts_with_its_class() {
    let mut writer = usual();
    let long = "x".repeat(40);
    writer.method(9, &long, &long, "()V");
    writer.stack(6, false, &[(9, 1, 1)]);
    writer.add(id::MALLOC, 6, &[8], [0; 5]);
    let limits = Limits {
        string_bytes_max: 80,
        ..Limits::default()
    };
    assert_eq!(
        refused_by(&writer.finish(), &limits),
        "invalid recording: a frame's name: more than string_bytes_max=80"
    );
}

#[test]
fn many_samples_of_chunks_add_up_to_the_limit() {
    let bytes = usual().finish();
    let decode = |chunks, excess| {
        let limits = Limits {
            samples_max: 2,
            excess,
            ..Limits::default()
        };
        let bytes = bytes.repeat(chunks);
        cairn_jfr::decode(&bytes, None, &Options::default(), &limits)
    };
    let whole = decode(2, Excess::Refuse).expect("two samples");
    assert_eq!(whole.profiles[0].profile.samples.len(), 2);
    assert_eq!(whole.truncated_samples, 0);
    let error = decode(3, Excess::Refuse).expect_err("three").to_string();
    assert_eq!(
        error,
        "invalid recording: its samples: more than samples_max=2"
    );
    let cut = decode(5, Excess::Truncate).expect("it is cut");
    let profile = &cut.profiles[0].profile;
    assert_eq!((profile.samples.len(), cut.truncated_samples), (3, 3));
    assert_eq!(
        (profile.values(1), profile.values(2)),
        (&[1, 8][..], &[3, 24][..])
    );
}

#[test]
fn samples_beyond_the_limit_become_one_of_their_kind() {
    let mut writer = Writer::usual(true);
    for at in 0..10 {
        // Another request each, so none is equal to another.
        writer.add(id::MALLOC, 5, &[100 + at], [at, 0, 0, 0, 0]);
        writer.add(id::LIVE_OBJECT, 5, &[1], [at, 0, 0, 0, 0]);
    }
    // Equal to one that is kept.
    writer.add(id::MALLOC, 5, &[1_000], [0; 5]);
    let bytes = writer.finish().repeat(2);
    for samples_max in [0, 1, 7, 10, 15, 20] {
        let limits = Limits {
            samples_max,
            ..Limits::default()
        };
        let decoded = cairn_jfr::decode(&bytes, None, &Options::default(), &limits);
        let decoded = decoded.expect("it is cut");
        let left_out = 20 - samples_max.min(20);
        for described in &decoded.profiles {
            let profile = &described.profile;
            let samples = samples_max.min(20) + usize::from(left_out > 0);
            assert_eq!(profile.samples.len(), samples);
            let sum = |column: usize| -> i64 {
                let rows = 0..profile.samples.len();
                rows.map(|sample| profile.values(sample)[column]).sum()
            };
            match profile.types.len() {
                1 => assert_eq!(sum(0), 20),
                _ => assert_eq!((sum(0), sum(1)), (22, 2 * (1_045 + 1_000))),
            }
            let last = profile.stack(samples - 1);
            let function = profile.tables.functions[profile.lines(last[0])[0].function as usize];
            let is_rest = profile.str(function.name) == cairn_jfr::TRUNCATED_FRAME;
            assert_eq!(is_rest, left_out > 0);
        }
        assert_eq!(decoded.profiles.len(), 2);
        let extra = if samples_max == 0 { 2 } else { 0 };
        assert_eq!(decoded.truncated_samples as usize, 2 * left_out + extra);
    }
}

#[test]
fn one_stack_named_often_is_there_once() {
    let mut writer = Writer::usual(true);
    let frames: Vec<_> = (0..500).map(|line| (1, line % 50, 1)).collect();
    writer.stack(6, false, &frames);
    for context in 0..200 {
        writer.add(id::MALLOC, 6, &[8], [context, 0, 0, 0, 0]);
    }
    let bytes = writer.finish();
    // 200 samples of 500 frames.
    let limits = |profile_bytes_max| Limits {
        profile_bytes_max,
        ..Limits::default()
    };
    let decoded = cairn_jfr::decode(&bytes, None, &Options::default(), &limits(50_000));
    let profile = &decoded.expect("valid").profiles[0].profile;
    assert_eq!(profile.samples.len(), 200);
    assert_eq!(profile.tables.stacks.locations.len(), 500);
    assert_eq!(
        refused_by(&bytes, &limits(8_000)),
        "invalid recording: bytes of its profiles: more than profile_bytes_max=8000"
    );
}

#[test]
fn constants_are_a_share_of_the_limit() {
    let mut writer = Writer::new(true);
    for key in 0..600 {
        writer.text(id::SYMBOL, key, "");
    }
    let bytes = writer.finish();
    let limits = Limits {
        profile_bytes_max: 64 * 599,
        ..Limits::default()
    };
    assert!(bytes.len() < 64 * 599);
    assert_eq!(
        refused_by(&bytes, &limits),
        "invalid recording: its constants: more than profile_bytes_max/64=599"
    );
    let limits = Limits {
        profile_bytes_max: 64 * 600,
        ..Limits::default()
    };
    assert!(cairn_jfr::decode(&bytes, None, &Options::default(), &limits).is_ok());
}

#[test]
fn one_constant_named_often_is_charged() {
    let mut writer = Writer::usual(true);
    writer.text(id::STRING, 77, &"x".repeat(10_000));
    let bytes = |writer: &mut Writer| {
        for _ in 0..100 {
            writer.event(id::SETTING, |values| {
                values.longs(&[7, 8]).byte(2).long(77).byte(0);
            });
        }
        writer.finish()
    };
    let once = bytes(&mut writer);
    let limits = Limits {
        profile_bytes_max: 251_000,
        ..Limits::default()
    };
    assert!(cairn_jfr::decode(&once, None, &Options::default(), &limits).is_ok());
    for more in [[&*once, &*once].concat(), bytes(&mut writer)] {
        assert_eq!(
            refused_by(&more, &limits),
            "invalid recording: bytes of constants that its events name: more than 4*profile_bytes_max=1004000"
        );
    }
}

#[test]
fn different_events_of_chunks_are_bounded() {
    let chunk = |number: usize| {
        let mut writer = usual();
        writer.setting(107, "event", &format!("event{number}"));
        writer.finish()
    };
    let recording: Vec<u8> = (0..64).flat_map(chunk).collect();
    assert_eq!(decode(&recording).expect("valid").profiles.len(), 64);
    let error = refused(&[recording, chunk(64)].concat());
    assert_eq!(
        error,
        "failed to parse recording: chunk 65: more than 64 profiles of different events"
    );
}
