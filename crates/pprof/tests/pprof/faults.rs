//! What is refused, with which words, and which oddities are not.

use cairn_model::{Addressing, AttrValue, Code, Excess, Limits};
use cairn_pprof::{ExecutableInfo, LoadSegment, Options, canonical};
use prost::Message;

use crate::decode;
use crate::oracle::{Function, Label, Line, Location, Mapping, Profile, Sample, ValueType};

/// Two samples `main;work` and `main`, strings from 1: samples count main work file key value.
fn valid() -> Profile {
    let location = |id, function_id| Location {
        id,
        line: vec![Line {
            function_id,
            line: 10,
            column: 0,
        }],
        ..Location::default()
    };
    let function = |id, name| Function {
        id,
        name,
        ..Function::default()
    };
    let texts = [
        "", "samples", "count", "main", "work", "file", "key", "value",
    ];
    Profile {
        sample_type: vec![ValueType { kind: 1, unit: 2 }],
        sample: vec![
            Sample {
                location_id: vec![2, 1],
                value: vec![5],
                label: vec![],
            },
            Sample {
                location_id: vec![1],
                value: vec![7],
                label: vec![],
            },
        ],
        location: vec![location(1, 1), location(2, 2)],
        function: vec![function(1, 3), function(2, 4)],
        string_table: texts.iter().map(|text| text.as_bytes().to_vec()).collect(),
        ..Profile::default()
    }
}

fn reason(change: impl FnOnce(&mut Profile)) -> String {
    reason_within(&Limits::default(), change)
}

fn reason_within(limits: &Limits, change: impl FnOnce(&mut Profile)) -> String {
    let mut profile = valid();
    change(&mut profile);
    let error = cairn_pprof::decode(&profile.encode_to_vec(), limits, &Options::default())
        .expect_err("this must be refused");
    assert_eq!(error.code(), Code::Invalid);
    error.to_string()
}

fn with_label(profile: &mut Profile, key: i64, str: i64) {
    profile.sample[1].label.push(Label {
        key,
        str,
        ..Label::default()
    });
}

#[test]
fn contradictions_are_refused_with_their_reason() {
    type Change = fn(&mut Profile);
    let cases: [(&str, Change); 17] = [
        ("string_table is empty", |p| p.string_table.clear()),
        ("string_table[0] is not empty", |p| {
            p.string_table[0] = b"x".to_vec()
        }),
        (
            "a value type has string index -1, but there are 8 strings",
            |p| p.sample_type[0].kind = -1,
        ),
        (
            "a value type has string index 8, but there are 8 strings",
            |p| p.sample_type[0].unit = 8,
        ),
        (
            "function 2 has string index 99, but there are 8 strings",
            |p| p.function[1].file = 99,
        ),
        (
            "mapping 1 has string index -5, but there are 8 strings",
            |p| {
                p.mapping.push(Mapping {
                    id: 1,
                    file: -5,
                    ..Mapping::default()
                });
            },
        ),
        (
            "a label of sample 1 has string index 4294967296, but there are 8 strings",
            |p| with_label(p, 1 << 32, 1),
        ),
        ("a label of sample 1 has no key", |p| with_label(p, 0, 7)),
        ("sample 1 has 2 values, but there are 1 sample types", |p| {
            p.sample[1].value.push(1)
        }),
        ("sample 0 has 0 values, but there are 1 sample types", |p| {
            p.sample[0].value.clear()
        }),
        ("samples without sample types", |p| p.sample_type.clear()),
        ("sample 0 names unknown location 3", |p| {
            p.sample[0].location_id.push(3)
        }),
        ("sample 0 names unknown location 0", |p| {
            p.sample[0].location_id.push(0)
        }),
        ("location 2 names unknown function 9", |p| {
            p.location[1].line[0].function_id = 9
        }),
        ("location 1 names unknown mapping 4", |p| {
            p.location[0].mapping_id = 4
        }),
        ("two locations have id 1", |p| p.location[1].id = 1),
        ("a function has no id", |p| p.function[0].id = 0),
    ];
    for (why, change) in cases {
        assert_eq!(reason(change), format!("invalid profile: {why}"));
    }
}

#[test]
fn limits_are_named() {
    let limits = Limits::default();
    for (limits, why) in [
        (
            Limits {
                samples_max: 1,
                excess: Excess::Refuse,
                ..limits
            },
            "2 samples: more than samples_max=1",
        ),
        (
            Limits {
                depth_max: 1,
                excess: Excess::Refuse,
                ..limits
            },
            "frames of sample 0: more than depth_max=1",
        ),
        (
            Limits {
                sample_types_max: 0,
                ..limits
            },
            "1 sample types: more than sample_types_max=0",
        ),
        (
            Limits {
                string_bytes_max: 6,
                ..limits
            },
            "string 1 has 7 bytes: more than string_bytes_max=6",
        ),
        (
            Limits {
                sample_labels_max: 0,
                ..limits
            },
            "labels of sample 1: more than sample_labels_max=0",
        ),
        (
            Limits {
                label_name_bytes_max: 2,
                ..limits
            },
            "a label name of sample 1 has 3 bytes: more than label_name_bytes_max=2",
        ),
        (
            Limits {
                label_value_bytes_max: 4,
                ..limits
            },
            "a label value of sample 1 has 5 bytes: more than label_value_bytes_max=4",
        ),
        (
            Limits {
                profile_bytes_max: 50,
                ..limits
            },
            "at least 109 bytes after inflating: more than profile_bytes_max=50",
        ),
    ] {
        let reason = reason_within(&limits, |profile| with_label(profile, 6, 7));
        assert_eq!(reason, format!("invalid profile: {why}"));
    }
}

#[test]
fn of_samples_that_are_left_out_only_values_are_read() {
    let limits = Limits {
        samples_max: 1,
        ..Limits::default()
    };
    let mut sent = valid();
    sent.sample[1].location_id = vec![99];
    with_label(&mut sent, 99, 99);
    let decoded = cairn_pprof::decode(&sent.encode_to_vec(), &limits, &Options::default())
        .expect("what is left out refers to nothing");
    assert_eq!(decoded.truncated_samples, 1);
    assert_eq!(decoded.profile.samples.values, [5, 7]);

    let reason = reason_within(&limits, |p| p.sample[1].value.push(1));
    let why = "invalid profile: sample 1 has 2 values, but there are 1 sample types";
    assert_eq!(reason, why);
}

#[test]
fn what_is_left_out_and_what_is_cut_share_a_frame() {
    let limits = Limits {
        samples_max: 1,
        depth_max: 1,
        ..Limits::default()
    };
    let decoded = cairn_pprof::decode(&valid().encode_to_vec(), &limits, &Options::default())
        .expect("nothing is refused");
    assert_eq!(
        (decoded.truncated_samples, decoded.truncated_stacks),
        (1, 1)
    );
    let profile = &decoded.profile;
    assert_eq!(profile.stack(1), &profile.stack(0)[1..]);
    assert_eq!(profile.tables.locations.len(), 3);
}

/// Samples that fit may hold inlined calls that do not.
#[test]
fn inlined_calls_are_frames_of_the_stacks_that_have_them() {
    let limits = Limits {
        depth_max: 2,
        excess: Excess::Refuse,
        ..Limits::default()
    };
    let inlined = |profile: &mut Profile| {
        let line = profile.location[1].line[0];
        profile.location[1].line = vec![line; 3];
    };
    let reason = reason_within(&limits, inlined);
    let why = "invalid profile: frames of sample 0: more than depth_max=2";
    assert_eq!(reason, why);
    let mut unused = valid();
    inlined(&mut unused);
    unused.sample[0].location_id = vec![1];
    cairn_pprof::decode(&unused.encode_to_vec(), &limits, &Options::default())
        .expect("no stack is too deep");
}

#[test]
fn undecodable_bytes_say_so() {
    for raw in [
        &b"\x0a"[..],
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00garbage",
        b"GET / HTTP/1.1",
        &[0xff; 20],
        b"\x08\x01",
    ] {
        let error = decode(raw).expect_err("no profile").to_string();
        assert!(error.starts_with("failed to parse profile: "), "{error}");
    }
}

#[test]
fn executable_info_fits_the_mappings_or_is_refused() {
    let options = Options {
        executable_info: &[ExecutableInfo::default()],
        ..Options::default()
    };
    let raw = valid().encode_to_vec();
    let error = cairn_pprof::decode(&raw, &Limits::default(), &options).expect_err("no mapping");
    assert_eq!(
        error.to_string(),
        "invalid profile: 1 executable_info for 0 mappings"
    );
}

#[test]
fn oddities_are_accepted() {
    type Change = fn(&mut Profile);
    let cases: [(&str, Change); 8] = [
        ("nothing at all", |p| *p = Profile::default()),
        ("no samples", |p| p.sample.clear()),
        ("no locations", |p| p.sample[0].location_id.clear()),
        ("function without name", |p| p.function[0].name = 0),
        ("line without function", |p| {
            p.location[0].line[0].function_id = 0
        }),
        ("ids in any order", |p| {
            p.function[0].id = u64::MAX;
            p.location[0].line[0].function_id = u64::MAX;
        }),
        ("the same location many times", |p| {
            p.sample[0].location_id = vec![2; 500]
        }),
        ("no UTF-8", |p| p.string_table[3] = b"ma\xffin".to_vec()),
    ];
    for (what, change) in cases {
        let mut profile = valid();
        change(&mut profile);
        let decoded =
            decode(&profile.encode_to_vec()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let has_replaced = what == "no UTF-8";
        assert_eq!(decoded.replaced_strings, u64::from(has_replaced), "{what}");
        assert_eq!(
            decoded.profile.samples.len(),
            profile.sample.len(),
            "{what}"
        );
    }
}

#[test]
fn unpacked_numbers_and_unknown_fields_are_read_over() {
    let mut raw = valid().encode_to_vec();
    // Sample 2: locations 2 and 1, value 5, each in a field of its own; then fields nobody knows.
    raw.extend([0x12, 6, 0x08, 2, 0x08, 1, 0x10, 5]);
    raw.extend([
        0xf8, 0x07, 1, 0xfd, 0x07, 1, 2, 3, 4, 0xf9, 0x07, 1, 2, 3, 4, 5, 6, 7, 8,
    ]);
    let profile = decode(&raw).expect("valid").profile;
    assert_eq!(profile.samples.len(), 3);
    assert_eq!(profile.stack(2), profile.stack(0));
    let rows: Vec<i64> = canonical(&profile).into_values().flatten().collect();
    assert_eq!(rows, [7, 10]);
}

fn mapped() -> Vec<u8> {
    let mut sent = valid();
    let mapping = |id, start| Mapping {
        id,
        start,
        limit: start + 0x1000,
        offset: 0x200,
        file: 5,
        build_id: 6,
    };
    sent.mapping = vec![mapping(1, 0x5000), mapping(2, 0x9000)];
    let location = |id, mapping_id, address| Location {
        id,
        mapping_id,
        address,
        line: vec![],
    };
    sent.location = vec![
        location(1, 1, 0x5010),
        location(2, 1, 0x77),
        location(3, 2, 0x9010),
        location(4, 0, 0x42),
    ];
    sent.encode_to_vec()
}

#[test]
fn one_mapping_becomes_two_and_twins_become_one() {
    let raw = mapped();
    let profile = decode(&raw).expect("valid").profile;
    let rows: Vec<Addressing> = profile
        .tables
        .mappings
        .iter()
        .map(|mapping| mapping.addressing)
        .collect();
    assert_eq!(rows, [Addressing::FileOffset, Addressing::Virtual]);
    let places: Vec<(u32, u64)> = profile
        .tables
        .locations
        .iter()
        .map(|at| (at.mapping, at.address))
        .collect();
    assert_eq!(
        places,
        [(0, 0x210), (1, 0x77), (0, 0x210), (u32::MAX, 0x42)]
    );
}

#[test]
fn senders_may_know_better() {
    let raw = mapped();
    let normalized = Options {
        normalized: true,
        ..Options::default()
    };
    let profile = cairn_pprof::decode(&raw, &Limits::default(), &normalized)
        .expect("valid")
        .profile;
    assert_eq!(
        (
            profile.tables.mappings.len(),
            profile.tables.locations[0].address
        ),
        (1, 0x5010)
    );
    assert_eq!(profile.tables.mappings[0].addressing, Addressing::Virtual);

    let segment = LoadSegment {
        offset: 0x200,
        vaddr: 0x1200,
    };
    let infos = [ExecutableInfo {
        elf_type: 3,
        load_segment: Some(segment),
    }; 2];
    let known = Options {
        executable_info: &infos,
        ..Options::default()
    };
    let profile = cairn_pprof::decode(&raw, &Limits::default(), &known)
        .expect("valid")
        .profile;
    let addresses: Vec<u64> = profile
        .tables
        .locations
        .iter()
        .map(|at| at.address)
        .collect();
    assert_eq!(
        (profile.tables.mappings.len(), addresses),
        (1, vec![0x1210, 0x77, 0x1210, 0x42])
    );
}

#[test]
fn labels_keep_order_and_ids_become_links() {
    let mut sent = valid();
    let mut string = |text: &str| {
        sent.string_table.push(text.as_bytes().to_vec());
        sent.string_table.len() as i64 - 1
    };
    let (trace, span) = (string("trace_id"), string("span_id"));
    let (good, short) = (
        string("4bf92f3577b34da6a3ce929d0e0e4736"),
        string("00f067aa0ba902b7"),
    );
    for (key, str) in [(6, 7), (span, short), (6, 5), (trace, short), (trace, good)] {
        with_label(&mut sent, key, str);
    }
    sent.sample[1].label.push(Label {
        key: 6,
        num: -3,
        unit: 2,
        ..Label::default()
    });
    let profile = decode(&sent.encode_to_vec()).expect("valid").profile;
    assert_eq!(profile.samples.link(0), None);
    let link = profile.tables.links[profile.samples.link(1).expect("linked") as usize];
    assert_eq!((link.trace_id[0], link.span_id[1]), (0x4b, 0xf0));
    assert!(profile.samples.attrs(0).is_empty());
    let attrs: Vec<(&str, String)> = profile
        .samples
        .attrs(1)
        .iter()
        .map(|attr| {
            let value = match attr.value {
                AttrValue::Str(text) => profile.str(text).to_owned(),
                AttrValue::Num { value, unit } => format!("{value} {}", profile.str(unit)),
            };
            (profile.str(attr.key), value)
        })
        .collect();
    let want = [
        ("key", "value"),
        ("key", "file"),
        ("trace_id", "00f067aa0ba902b7"),
        ("key", "-3 count"),
    ];
    assert_eq!(attrs, want.map(|(key, value)| (key, value.to_owned())));
}
