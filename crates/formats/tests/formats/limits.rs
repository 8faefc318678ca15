//! What is too much is refused by the name of its limit, or cut and counted.

use cairn_formats::{Decoded, Error, Format, Unit};
use cairn_model::{Excess, Limits};

use crate::{attrs, pairs, singles, stack, total};

fn decode(format: Format, bytes: impl AsRef<[u8]>, limits: &Limits) -> Result<Decoded, Error> {
    cairn_formats::decode(format, bytes.as_ref(), &Unit::default(), limits)
}

fn refused(format: Format, bytes: impl AsRef<[u8]>, limits: &Limits) -> (&'static str, usize) {
    match decode(format, bytes, limits) {
        Err(Error::OverLimit { name, max, .. }) => (name, max),
        other => panic!("{format:?}: {other:?}"),
    }
}

/// The stacks `r;f0` to `r;f2`, once each, in every format.
fn three() -> Vec<(Format, Vec<u8>)> {
    let names: Vec<String> = (0..3).map(|at| format!("f{at}")).collect();
    let each = |write: &dyn Fn(&str) -> String| -> Vec<String> {
        names.iter().map(|name| write(name)).collect()
    };
    let frames = each(&|name| format!(r#"{{"name":"{name}"}}"#)).join(",");
    let cpu = each(&|name| format!(r#"{{"functionName":"{name}","hitCount":1}}"#)).join(",");
    let heap = each(&|name| format!(r#"{{"functionName":"{name}","selfSize":1}}"#)).join(",");
    vec![
        (
            Format::Folded,
            each(&|name| format!("r;{name} 1\n")).concat().into(),
        ),
        (
            Format::Lines,
            each(&|name| format!("r;{name}\n")).concat().into(),
        ),
        (
            Format::Tree,
            b"\0\0\x01\x01r\0\x03\x02f0\x01\0\x02f1\x01\0\x02f2\x01\0".to_vec(),
        ),
        (
            Format::Trie,
            b"\0\0\x01\x03r;f\0\x03\x010\x01\0\x011\x01\0\x012\x01\0".to_vec(),
        ),
        (
            Format::Speedscope,
            format!(
                r#"{{"shared":{{"frames":[{frames},{{"name":"r"}}]}},"profiles":[{{"type":"sampled",
                "unit":"none","samples":[[3,0],[3,1],[3,2]],"weights":[1,1,1]}}]}}"#
            )
            .into(),
        ),
        (
            Format::CpuProfile,
            format!(r#"{{"head":{{"functionName":"r","hitCount":0,"children":[{cpu}]}}}}"#).into(),
        ),
        (
            Format::HeapProfile,
            format!(r#"{{"head":{{"functionName":"r","selfSize":0,"children":[{heap}]}}}}"#).into(),
        ),
        (
            Format::PerfScript,
            each(&|name| format!("c 1 1.0: e:\n\t1 {name} (/x)\n\t2 r (/x)\n\n"))
                .concat()
                .into(),
        ),
        (
            Format::Heaptrack,
            b"v 10400 3\ns 1 r\ns 2 f0\ns 2 f1\ns 2 f2\ni 1 0 1\ni 1 0 2\ni 1 0 3\ni 1 0 4\n\
            t 1 0\nt 2 1\nt 3 1\nt 4 1\na 1 2\na 1 3\na 1 4\n+ 0\n+ 1\n+ 2\n"
                .to_vec(),
        ),
    ]
}

#[test]
fn every_format_says_the_same() {
    let limits = Limits::default();
    for (format, bytes) in three() {
        let decoded = decode(format, bytes, &limits).expect("it is valid");
        let expected = pairs(&[("r;f0", 1), ("r;f1", 1), ("r;f2", 1)]);
        assert_eq!(
            singles(&decoded.profiles[0].profile),
            expected,
            "{format:?}"
        );
        assert_eq!(decoded.skipped, [], "{format:?}");
    }
}

#[test]
fn samples_beyond_the_limit_become_one() {
    for (format, bytes) in three() {
        for (samples_max, expected) in [
            (3, &[("r;f0", 1), ("r;f1", 1), ("r;f2", 1)][..]),
            (2, &[("[truncated]", 1), ("r;f0", 1), ("r;f1", 1)]),
            (1, &[("[truncated]", 2), ("r;f0", 1)]),
            (0, &[("[truncated]", 3)]),
        ] {
            let limits = Limits {
                samples_max,
                ..Limits::default()
            };
            let decoded = decode(format, &bytes, &limits).expect("it is cut");
            let profile = &decoded.profiles[0].profile;
            assert_eq!(singles(profile), pairs(expected), "{format:?}");
            for column in 0..profile.types.len() {
                let whole = decode(format, &bytes, &Limits::default()).expect("it is valid");
                let sum = total(&whole.profiles[0].profile, column);
                assert_eq!(total(profile, column), sum, "{format:?}");
            }
            let left_out = 3 - samples_max as u64;
            assert_eq!(decoded.truncated_samples, left_out, "{format:?}");
            assert_eq!(decoded.truncated_stacks, 0, "{format:?}");
        }
    }
}

#[test]
fn samples_beyond_the_limit_keep_every_sum() {
    let clock = |at: usize, period| {
        let frame = at % 5;
        format!("c 1 {at}.0: {period} cpu-clock: \n\t1 f{frame} (/x)\n\n")
    };
    let perf: String = (1..=20).map(|at| clock(at, at * 7)).collect();
    let limits = Limits {
        samples_max: 2,
        ..Limits::default()
    };
    let decoded = decode(Format::PerfScript, perf, &limits).expect("it is cut");
    let profile = &decoded.profiles[0].profile;
    assert_eq!((total(profile, 0), total(profile, 1)), (20, 7 * 210));
    assert_eq!(profile.samples.len(), 3);
    assert_eq!(attrs(profile, 2), Vec::<String>::new());
    // Each as it came: those of three frames, four times each.
    assert_eq!(decoded.truncated_samples, 12);
    // One frame stands for both kinds of excess.
    let limits = Limits {
        depth_max: 2,
        ..limits
    };
    let folded = "a;b;c 1\na;b 2\nd 4\ne;f;g;h 8\n";
    let decoded = decode(Format::Folded, folded, &limits).expect("it is cut");
    let profile = &decoded.profiles[0].profile;
    let expected = [("[truncated]", 12), ("[truncated];c", 1), ("a;b", 2)];
    assert_eq!(singles(profile), pairs(&expected));
    assert_eq!(profile.stack(1)[1], profile.stack(2)[0]);
    let counts = (decoded.truncated_stacks, decoded.truncated_samples);
    assert_eq!(counts, (1, 2));
}

#[test]
fn too_much_is_refused_if_that_is_asked_for() {
    let limits = |samples_max, depth_max| Limits {
        samples_max,
        depth_max,
        excess: Excess::Refuse,
        ..Limits::default()
    };
    for (format, bytes) in three() {
        decode(format, &bytes, &limits(3, 2)).expect("three of two frames are allowed");
        assert_eq!(
            refused(format, &bytes, &limits(3, 1)),
            ("depth_max", 1),
            "{format:?}"
        );
        assert_eq!(
            refused(format, &bytes, &limits(2, 2)),
            ("samples_max", 2),
            "{format:?}"
        );
    }
}

#[test]
fn strings_are_limited() {
    let limits = |string_bytes_max| Limits {
        string_bytes_max,
        ..Limits::default()
    };
    for (format, bytes) in three() {
        decode(format, &bytes, &limits(2)).expect("two bytes are allowed");
        assert_eq!(
            refused(format, &bytes, &limits(1)),
            ("string_bytes_max", 1),
            "{format:?}"
        );
    }
}

#[test]
fn bytes_are_limited() {
    for (format, bytes) in three() {
        let limits = |profile_bytes_max| Limits {
            profile_bytes_max,
            ..Limits::default()
        };
        decode(format, &bytes, &limits(bytes.len())).expect("its own length is allowed");
        let max = bytes.len() - 1;
        assert_eq!(
            refused(format, &bytes, &limits(max)),
            ("profile_bytes_max", max)
        );
    }
}

#[test]
fn deep_stacks_keep_their_leaf_side() {
    let limits = Limits {
        depth_max: 3,
        ..Limits::default()
    };
    for (text, expected, truncated) in [
        ("a;b;c 1", &[("a;b;c", 1)][..], 0),
        ("a;b;c;d 1", &[("[truncated];c;d", 1)], 1),
        (
            "a;b;c;d 1\na;b;c;d 2\na;b;c 4",
            &[("[truncated];c;d", 3), ("a;b;c", 4)],
            1,
        ),
    ] {
        let decoded = decode(Format::Folded, text, &limits).expect("it is valid");
        assert_eq!(singles(&decoded.profiles[0].profile), pairs(expected));
        assert_eq!(decoded.truncated_stacks, truncated);
    }
    let perf = "c 1 1.0: e:\n\t1 i (inlined)\n\t1 j (inlined)\n\t1 f (/x)\n\t2 g (/y)\n\n\
        c 1 1.0: e:\n\t1 f (/x)\n\t1 i (inlined)\n\t1 g (/y)\n\t2 h (/x)\n";
    let decoded = decode(Format::PerfScript, perf, &limits).expect("it is valid");
    let profile = &decoded.profiles[0].profile;
    assert_eq!(stack(profile, 0), "[truncated];j;i");
    assert_eq!(stack(profile, 1), "[truncated];i;f");
    let file = |sample: usize, at: usize| {
        let location = profile.stack(sample)[at];
        let mapping = profile.tables.locations[location as usize].mapping;
        profile.str(profile.tables.mappings[mapping as usize].file)
    };
    assert_eq!((file(0, 0), file(1, 1)), ("/x", "/y"));
    assert_eq!(decoded.truncated_stacks, 2);
}

#[test]
fn labels_are_limited() {
    let limits = Limits {
        label_value_bytes_max: 4,
        ..Limits::default()
    };
    for text in ["short 1 1.0: e:", "c 1 1.0: short:"] {
        assert_eq!(
            refused(Format::PerfScript, text, &limits),
            ("label_value_bytes_max", 4)
        );
    }
    let text = r#"{"shared":{"frames":[]},"profiles":[{"type":"evented","unit":"none","name":"short","events":[]}]}"#;
    assert_eq!(
        refused(Format::Speedscope, text, &limits),
        ("label_value_bytes_max", 4)
    );
    let limits = Limits {
        sample_labels_max: 2,
        ..Limits::default()
    };
    assert_eq!(
        refused(Format::PerfScript, "c 1/2 1.0: e:", &limits),
        ("sample_labels_max", 2)
    );
    let limits = Limits {
        sample_types_max: 1,
        ..Limits::default()
    };
    let text = "c 1 1.0: e:\n\nc 1 1.0: f:\n";
    assert_eq!(
        refused(Format::PerfScript, text, &limits),
        ("sample_types_max", 1)
    );
}

#[test]
fn contained_profiles_are_limited() {
    let one = r#"{"type":"evented","unit":"none","events":[]}"#;
    let text = |count: usize| {
        let profiles = vec![one; count].join(",");
        format!(r#"{{"shared":{{"frames":[]}},"profiles":[{profiles}]}}"#)
    };
    let limits = Limits::default();
    decode(Format::Speedscope, text(10_000), &limits).expect("so many are allowed");
    let refusal = refused(Format::Speedscope, text(10_001), &limits);
    assert_eq!(refusal, ("profiles_max", 10_000));
}

#[test]
fn few_bytes_do_not_become_many() {
    let limits = |bytes: &[u8]| Limits {
        profile_bytes_max: bytes.len() * 2,
        ..Limits::default()
    };
    // Each node of a chain has a value, so each is a stack as deep as the chain.
    let mut tree = b"\0\0\x01".to_vec();
    let mut trie = tree.clone();
    for _ in 0..20_000 {
        tree.extend(b"\x01a\x01\x01");
        // And here a name as long as the chain.
        trie.extend(b"\x01a\x01\x01");
    }
    tree.extend(b"\x01a\x01\0");
    trie.extend(b"\x01a\x01\0");
    for (format, bytes) in [(Format::Tree, tree), (Format::Trie, trie)] {
        assert_eq!(
            refused(format, &bytes, &limits(&bytes)).0,
            "profile_bytes_max"
        );
    }
    // Each of many traces has all calls of an instruction.
    let traces: String = (0..1_000).map(|at| format!("t 1 {at:x}\n")).collect();
    let text = format!(
        "v 10400 3\ns 1 a\ni 1 0{}\n{traces}",
        " 1 0 1".repeat(1_000)
    );
    let refusal = refused(Format::Heaptrack, &text, &limits(text.as_bytes()));
    assert_eq!(refusal.0, "profile_bytes_max");
    // The same long name in every contained profile.
    let name = "n".repeat(10_000);
    let one = r#"{"type":"sampled","unit":"none","samples":[[0]],"weights":[1]}"#;
    let profiles = vec![one; 100].join(",");
    let text =
        format!(r#"{{"shared":{{"frames":[{{"name":"{name}"}}]}},"profiles":[{profiles}]}}"#);
    let refusal = refused(Format::Speedscope, &text, &limits(text.as_bytes()));
    assert_eq!(refusal.0, "profile_bytes_max");
}

#[test]
fn a_text_of_the_shortest_frames_is_never_too_much() {
    let text = format!("{} 1\n", vec!["a"; 2_000].join(";"));
    let limits = Limits {
        profile_bytes_max: text.len(),
        ..Limits::default()
    };
    decode(Format::Folded, text, &limits).expect("it fits");
}
