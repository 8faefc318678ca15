//! The same profile in the layout of each release comes out the same, and is told apart.

use cairn_model::Limits;
use cairn_otlp::{Decoded, Layout};
use prost::Message;

use crate::messages::{
    Any, Book, KeyValue, Location, Location7, Profile, Profile7, Profile8, Profile9, Request,
    Resources, Sample, Sample7, Sample8, Scopes, Tables, Unit7, ValueType, any, key_value,
};
use crate::{attrs, decode, frames, kinds, only, points};

const TIME: u64 = 1_764_000_000_000_000_000;
const ID: [u8; 16] = [9; 16];

fn request(tables: Tables, profile: Vec<u8>) -> Vec<u8> {
    Request {
        resources: vec![Resources {
            scopes: vec![Scopes {
                profiles: vec![profile],
                ..Scopes::default()
            }],
            ..Resources::default()
        }],
        dictionary: Some(tables),
    }
    .encode_to_vec()
}

/// One sample type, a period, two samples with everything.
fn newest() -> (Book, Profile) {
    let mut book = Book::new();
    let stack = book.frames(&["leaf", "main"]);
    let thread = book.attribute("thread.id", Any::Int(42), "");
    let size = book.attribute("size", Any::Int(8), "bytes");
    let link = book.link(&[1; 16], &[2; 8]);
    let profile = Profile {
        sample_type: book.kind("samples", "count"),
        samples: vec![
            Sample {
                stack_index: stack,
                attribute_indices: vec![thread, size],
                link_index: link,
                values: vec![3, 4],
                timestamps_unix_nano: vec![TIME + 5, TIME + 6],
            },
            Sample {
                stack_index: stack,
                values: vec![1],
                ..Sample::default()
            },
        ],
        time_unix_nano: TIME,
        duration_nano: 1_000,
        period_type: book.kind("cpu", "nanoseconds"),
        period: 100,
        profile_id: ID.to_vec(),
        ..Profile::default()
    };
    (book, profile)
}

fn older(sample: &Sample) -> Sample8 {
    Sample8 {
        stack_index: sample.stack_index,
        values: sample.values.clone(),
        attribute_indices: sample.attribute_indices.clone(),
        link_index: sample.link_index,
        timestamps_unix_nano: sample.timestamps_unix_nano.clone(),
    }
}

fn as_1_9(profile: &Profile) -> Profile9 {
    Profile9 {
        sample_type: profile.sample_type.clone(),
        samples: profile.samples.iter().map(older).collect(),
        time_unix_nano: profile.time_unix_nano,
        duration_nano: profile.duration_nano,
        period_type: profile.period_type.clone(),
        period: profile.period,
        profile_id: profile.profile_id.clone(),
        attribute_indices: profile.attribute_indices.clone(),
        ..Profile9::default()
    }
}

fn as_1_8(profile: &Profile) -> Profile8 {
    Profile8 {
        sample_type: profile.sample_type.clone(),
        sample: profile.samples.iter().map(older).collect(),
        time_unix_nano: profile.time_unix_nano,
        duration_nano: profile.duration_nano,
        period_type: profile.period_type.clone(),
        period: profile.period,
        profile_id: profile.profile_id.clone(),
        attribute_indices: profile.attribute_indices.clone(),
        ..Profile8::default()
    }
}

/// As `newest`, in release 1.7.
fn oldest() -> (Tables, Profile7) {
    let mut book = Book::new();
    let (leaf, main) = (book.line("leaf", 7), book.line("main", 7));
    let mut tables = Tables::default();
    for line in [leaf, main] {
        let location = Location7 {
            lines: vec![line],
            ..Location7::default()
        };
        tables.locations.push(location.encode_to_vec());
    }
    let (size, bytes) = (book.string("size"), book.string("bytes"));
    tables.stacks.push(
        Unit7 {
            attribute_key_strindex: size,
            unit_strindex: bytes,
        }
        .encode_to_vec(),
    );
    for attribute in [
        key_value("thread.id", Any::Int(42)),
        key_value("size", Any::Int(8)),
    ] {
        tables.attributes.push(attribute.encode_to_vec());
    }
    book.link(&[1; 16], &[2; 8]);
    let profile = Profile7 {
        sample_type: vec![book.kind("samples", "count").unwrap()],
        sample: vec![
            Sample7 {
                locations_start_index: 1,
                locations_length: 2,
                value: vec![3, 4],
                attribute_indices: vec![0, 1],
                link_index: Some(0),
                timestamps_unix_nano: vec![TIME + 5, TIME + 6],
            },
            Sample7 {
                locations_start_index: 1,
                locations_length: 2,
                value: vec![1],
                ..Sample7::default()
            },
        ],
        location_indices: vec![1, 0, 1],
        time_nanos: TIME as i64,
        duration_nanos: 1_000,
        period_type: book.kind("cpu", "nanoseconds"),
        period: 100,
        profile_id: ID.to_vec(),
        ..Profile7::default()
    };
    tables.functions = book.tables.functions;
    tables.links = book.tables.links.split_off(1);
    tables.strings = book.tables.strings;
    (tables, profile)
}

fn check(decoded: &Decoded) {
    let profile = &decoded.described.profile;
    assert_eq!(decoded.described.name.as_deref(), Some("process_cpu"));
    assert_eq!(decoded.profile_id, Some(ID));
    assert_eq!(kinds(profile), ["cpu/nanoseconds", "cpu/nanoseconds"]);
    assert_eq!((profile.time, profile.duration), (TIME as i64, 1_000));
    assert_eq!(profile.period, 100);
    assert_eq!(profile.samples.values, [700, 100]);
    for sample in 0..2 {
        assert_eq!(frames(profile, sample), ["leaf", "main"]);
    }
    assert_eq!(attrs(profile, 0), ["thread.id=42 ", "size=8 bytes"]);
    assert_eq!(attrs(profile, 1), [""; 0]);
    let time = TIME as i64;
    assert_eq!(points(profile, 0), [(time + 5, 300), (time + 6, 400)]);
    assert_eq!(points(profile, 1), []);
    let link = profile.tables.links[profile.samples.link(0).unwrap() as usize];
    assert_eq!((link.trace_id, link.span_id), ([1; 16], [2; 8]));
    assert_eq!(profile.samples.link(1), None);
}

/// The same profile in every layout.
pub(crate) fn all() -> [(Layout, Vec<u8>); 4] {
    let (tables, profile) = oldest();
    let (book, newest) = newest();
    let newer = |profile| request(book.tables.clone(), profile);
    [
        (Layout::V1_7, request(tables, profile.encode_to_vec())),
        (Layout::V1_8, newer(as_1_8(&newest).encode_to_vec())),
        (Layout::V1_9, newer(as_1_9(&newest).encode_to_vec())),
        (Layout::V1_10, newer(newest.encode_to_vec())),
    ]
}

#[test]
fn every_layout_is_told_and_means_the_same() {
    for (layout, bytes) in all() {
        let request = decode(&bytes);
        assert_eq!(request.layout, layout);
        check(only(&request));
        assert_eq!(request.counts, cairn_otlp::Counts::default(), "{layout}");
    }
}

#[test]
fn one_telling_sample_decides_for_all() {
    let (book, profile) = newest();
    // Only stacks, values and times: alike in all layouts but for the first sample.
    let quiet = Sample {
        stack_index: 1,
        timestamps_unix_nano: vec![TIME],
        ..Sample::default()
    };
    let mut profiles = vec![Profile::default(), profile];
    profiles[0].samples = vec![quiet.clone(); 50];
    profiles[1].samples.resize(50, quiet);
    let newest = decode(
        &Book {
            tables: book.tables.clone(),
        }
        .request(&profiles),
    );
    assert_eq!(newest.layout, Layout::V1_10);
    let mut old = Vec::new();
    for profile in &profiles {
        old.push(as_1_9(profile).encode_to_vec());
    }
    let resources = vec![Resources {
        scopes: vec![Scopes {
            profiles: old,
            ..Scopes::default()
        }],
        ..Resources::default()
    }];
    let oldest = decode(&book.request_of(resources));
    assert_eq!(oldest.layout, Layout::V1_9);
    assert_eq!(newest.profiles, oldest.profiles);
}

#[test]
fn values_are_told_from_attributes_by_what_can_be_an_index() {
    let (mut book, mut profile) = newest();
    for at in 0..5 {
        book.attribute("n", Any::Int(at), "");
    }
    profile.profile_id.clear();
    for (numbers, times, layout) in [
        (vec![3, 4], 1, Layout::V1_10),
        (vec![3], 1, Layout::V1_10),
        (vec![3, 3], 2, Layout::V1_9),
        (vec![30], 1, Layout::V1_9),
        (vec![3], 0, Layout::V1_9),
        (vec![-1], 1, Layout::V1_9),
    ] {
        profile.samples = vec![Sample {
            stack_index: 1,
            attribute_indices: numbers.iter().map(|number| *number as i32).collect(),
            timestamps_unix_nano: vec![TIME; times],
            ..Sample::default()
        }];
        let request = decode(&request(book.tables.clone(), profile.encode_to_vec()));
        assert_eq!(request.layout, layout, "{numbers:?} at {times} times");
        let samples = &only(&request).described.profile.samples;
        let (value, attributes) = match layout {
            Layout::V1_10 => (times as i64, numbers.len()),
            _ => (numbers.iter().sum(), 0),
        };
        assert_eq!(samples.values, [value * 100]);
        assert_eq!(samples.attrs.len(), attributes);
    }
}

#[test]
fn release_1_8_is_told_by_comments_temporality_and_originals() {
    let (book, mut newest) = newest();
    newest.profile_id.clear();
    let plain = as_1_8(&newest);
    let told = decode(&request(book.tables.clone(), plain.encode_to_vec()));
    assert_eq!(told.layout, Layout::V1_9, "both read it alike");
    let mut comments = plain.clone();
    comments.comment_strindices = vec![1, 2];
    let mut temporality = plain.clone();
    temporality
        .sample_type
        .as_mut()
        .unwrap()
        .aggregation_temporality = 1;
    let mut attributes = plain.clone();
    attributes.attribute_indices = vec![1];
    let mut original = plain.clone();
    original.original_payload_format = "pprof".to_owned();
    original.original_payload = b"bytes".to_vec();
    let mut dropped = plain;
    dropped.dropped_attributes_count = 3;
    for (what, profile) in [
        ("comments", &comments),
        ("temporality", &temporality),
        ("attributes", &attributes),
        ("original", &original),
        ("dropped", &dropped),
    ] {
        let told = decode(&request(book.tables.clone(), profile.encode_to_vec()));
        assert_eq!(told.layout, Layout::V1_8, "{what}");
        let counts = told.counts;
        assert_eq!(counts.comments, u64::from(what == "comments"));
        assert_eq!(counts.original_payloads, u64::from(what == "original"));
        assert_eq!(
            counts.dropped_attributes,
            if what == "dropped" { 3 } else { 0 }
        );
        let values = &only(&told).described.profile.samples.values;
        assert_eq!(*values, [700, 100], "{what}");
    }
}

#[test]
fn references_tell_the_newest_layout() {
    let (mut book, mut profile) = newest();
    profile.samples.truncate(0);
    let name = book.string("service.name");
    let value = book.string("cart");
    let resources = vec![Resources {
        resource: Some(crate::messages::Resource {
            attributes: vec![KeyValue {
                key_strindex: name,
                value: any(Any::Reference(value)),
                ..KeyValue::default()
            }],
            ..Default::default()
        }),
        scopes: vec![Scopes {
            profiles: vec![profile.encode_to_vec()],
            ..Scopes::default()
        }],
        ..Resources::default()
    }];
    let request = decode(&book.request_of(resources));
    assert_eq!(request.layout, Layout::V1_10);
    assert_eq!(crate::label(only(&request), "service.name"), Some("cart"));
    assert_eq!(crate::label(only(&request), "service_name"), Some("cart"));
}

/// A profile with several columns, as async-profiler converts recordings.
#[test]
fn several_columns_of_1_7_stay_together() {
    let (mut tables, mut profile) = oldest();
    tables.strings.push("alloc".to_owned());
    let alloc = tables.strings.len() as i32 - 1;
    profile.sample_type.push(ValueType {
        type_strindex: alloc,
        ..ValueType::default()
    });
    profile.sample[1].value = vec![1, 2];
    profile.sample[1].locations_length = 0;
    let bytes = request(tables, profile.encode_to_vec());
    let decoded = decode(&bytes);
    assert_eq!(decoded.layout, Layout::V1_7);
    assert_eq!(decoded.counts.times_left_out, 2);
    let profile = &only(&decoded).described.profile;
    assert_eq!(
        kinds(profile),
        ["samples/count", "alloc/", "cpu/nanoseconds"]
    );
    assert_eq!(profile.samples.values, [3, 4, 1, 2]);
    assert_eq!(frames(profile, 1), [""; 0]);
    assert!(profile.samples.points.is_empty());

    let limits = Limits {
        samples_max: 0,
        ..Limits::default()
    };
    let decoded = cairn_otlp::decode(&bytes, &limits).unwrap();
    assert_eq!(only(&decoded).described.profile.samples.values, [4, 6]);
    let counts = &decoded.counts;
    assert_eq!((counts.truncated_samples, counts.times_left_out), (2, 2));
}

#[test]
fn absent_mappings_of_1_7_are_none_and_zero_is_one() {
    let (mut tables, mut profile) = oldest();
    tables.strings.push("libc.so.6".to_owned());
    tables.mappings = vec![crate::messages::Mapping {
        filename_strindex: tables.strings.len() as i32 - 1,
        ..Default::default()
    }];
    for mapping_index in [Some(0), None] {
        let location = Location7 {
            mapping_index,
            address: 0x10,
            ..Location7::default()
        };
        tables.locations.push(location.encode_to_vec());
    }
    profile.location_indices = vec![0, 2, 3];
    let decoded = decode(&request(tables, profile.encode_to_vec()));
    let profile = &only(&decoded).described.profile;
    let stack = profile.stack(0);
    let mapping = |at: usize| profile.tables.locations[stack[at] as usize].mapping;
    assert_eq!(
        profile.str(profile.tables.mappings[mapping(0) as usize].file),
        "libc.so.6"
    );
    assert_eq!(mapping(1), cairn_model::NONE);
}

#[test]
fn older_releases_are_refused_by_name() {
    let (book, newest) = newest();
    // A mapping that starts at 1 instead of a dictionary, and a string.
    let mut tables_in_request = vec![0x12, 2, 0x08, 1];
    tables_in_request.extend(request(book.tables.clone(), newest.encode_to_vec()));
    tables_in_request.extend([0x42, 0]);
    let with = |bytes: &[u8]| {
        Request {
            resources: vec![Resources {
                scopes: vec![Scopes {
                    profiles: vec![bytes.to_vec()],
                    ..Scopes::default()
                }],
                ..Resources::default()
            }],
            dictionary: None,
        }
        .encode_to_vec()
    };
    // A mapping table and a location table in the profile.
    let tables_in_profile = with(&[0x1a, 0, 0x22, 0]);
    for (bytes, release) in [(tables_in_request, "1.6"), (tables_in_profile, "1.5")] {
        let error = cairn_otlp::decode(&bytes, &Default::default()).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), "unsupported");
        assert!(text.contains(&format!("release {release}")), "{text}");
        assert!(text.contains("upgrade"), "{text}");
    }
    // Nothing but an empty profile is no sign of age.
    assert_eq!(decode(&with(&[])).profiles.len(), 1);
}

/// A profile written in another layout than its neighbours is refused alone.
#[test]
fn a_strange_profile_among_others_is_refused_alone() {
    let (mut book, newest) = newest();
    let location = book.location(&Location::default());
    book.stack(&[location]);
    let mut odd = newest.encode_to_vec();
    odd.extend([0x25, 1, 2, 3, 4]);
    let good = newest.encode_to_vec();
    let resources = vec![Resources {
        scopes: vec![Scopes {
            profiles: vec![good.clone(), odd, good],
            ..Scopes::default()
        }],
        ..Resources::default()
    }];
    let request = decode(&book.request_of(resources));
    let refusal = request.profiles[1].as_ref().unwrap_err();
    assert_eq!(
        (refusal.resource, refusal.scope, refusal.profile),
        (0, 0, 1)
    );
    assert_eq!(refusal.kind, "undecodable");
    check(request.profiles[0].as_ref().unwrap());
    check(request.profiles[2].as_ref().unwrap());
}
