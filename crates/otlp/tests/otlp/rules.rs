//! One hand-made request per rule: labels, names, values, times, dictionary.

use std::sync::Arc;

use prost::Message;

use crate::messages::{
    Any, AnyValue, Book, KeyValue, Pairs, Profile, Resource, Resources, Sample, Scope, Scopes,
    Values, any, key_value, text,
};
use crate::{attrs, decode, frames, kinds, label, only, points, refusal};

const TIME: u64 = 1_764_000_000_000_000_000;

/// A profile of one kind of value and these samples.
fn profile(book: &mut Book, samples: Vec<Sample>) -> Profile {
    Profile {
        sample_type: book.kind("events", "count"),
        samples,
        time_unix_nano: TIME,
        ..Profile::default()
    }
}

fn with_resource(
    book: Book,
    resource: Resource,
    scope: Option<Scope>,
    profile: &Profile,
) -> Vec<u8> {
    book.request_of(vec![Resources {
        resource: Some(resource),
        scopes: vec![Scopes {
            scope,
            profiles: vec![profile.encode_to_vec()],
            schema_url: "https://example.com/scope".to_owned(),
        }],
        schema_url: "https://example.com/resource".to_owned(),
    }])
}

#[test]
fn labels_of_all_kinds_are_gathered_and_later_ones_win() {
    let mut book = Book::new();
    let mut profile = profile(&mut book, vec![]);
    let reference = book.string("by reference");
    profile.attribute_indices = vec![
        book.attribute("deployment", text("canary"), ""),
        book.attribute("weight", Any::Double(0.5), "kg"),
        0,
    ];
    profile.dropped_attributes_count = 4;
    let resource = Resource {
        attributes: vec![
            key_value("deployment", text("prod")),
            key_value("pid", Any::Int(-7)),
            key_value("is.leader", Any::Bool(true)),
            key_value("load", Any::Double(2.0)),
            key_value("digest", Any::Bytes(vec![0xde, 0x0a])),
            key_value(
                "argv",
                Any::Array(Values {
                    values: vec![
                        AnyValue {
                            value: Some(text("a \"b\"")),
                        },
                        AnyValue {
                            value: Some(Any::Int(1)),
                        },
                        AnyValue {
                            value: Some(Any::Reference(reference)),
                        },
                    ],
                }),
            ),
            key_value(
                "map",
                Any::Map(Pairs {
                    values: vec![key_value("k", Any::Bool(false))],
                }),
            ),
            KeyValue {
                key_strindex: reference,
                value: any(Any::Reference(reference)),
                ..KeyValue::default()
            },
            key_value("", text("nobody")),
            KeyValue {
                key: "unset".to_owned(),
                ..KeyValue::default()
            },
            key_value("scoped", text("resource")),
        ],
        dropped_attributes_count: 1,
    };
    let scope = Scope {
        name: "agent".to_owned(),
        version: "1.2".to_owned(),
        attributes: vec![key_value("scoped", text("scope"))],
        dropped_attributes_count: 2,
    };
    let request = decode(&with_resource(book, resource, Some(scope), &profile));
    let expected = [
        ("deployment", "canary"),
        ("pid", "-7"),
        ("is.leader", "true"),
        ("load", "2"),
        ("digest", "de0a"),
        ("argv", r#"["a \"b\"",1,"by reference"]"#),
        ("map", r#"{"k":false}"#),
        ("by reference", "by reference"),
        ("unset", ""),
        ("scoped", "scope"),
        ("otel.scope.name", "agent"),
        ("otel.scope.version", "1.2"),
        ("weight", "0.5"),
        ("service_name", "unknown_service"),
    ];
    let labels = &only(&request).described.labels;
    let labels: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(labels, expected);
    let counts = request.counts;
    assert_eq!(counts.dropped_attributes, 7);
    assert_eq!(counts.schema_urls, 2);
    assert_eq!(counts.unnamed_attributes, 1);
    assert_eq!(counts.units_left_out, 1);
}

#[test]
fn the_service_has_a_name_in_any_case() {
    let service = ("service.name", "cart");
    let executable = ("process.executable.name", "java");
    for (attributes, expected) in [
        (vec![], "unknown_service"),
        (vec![executable], "unknown_service:java"),
        (
            vec![executable, ("service.name", "")],
            "unknown_service:java",
        ),
        (vec![executable, ("service_name", "own")], "own"),
        (vec![service, executable, ("service_name", "own")], "cart"),
    ] {
        let mut book = Book::new();
        let profile = profile(&mut book, vec![]);
        let resource = Resource {
            attributes: attributes
                .iter()
                .map(|(key, value)| key_value(key, text(value)))
                .collect(),
            ..Resource::default()
        };
        let request = decode(&with_resource(book, resource, None, &profile));
        assert_eq!(label(only(&request), "service_name"), Some(expected));
        let sent = attributes.iter().find(|(key, _)| *key == "service.name");
        assert_eq!(
            label(only(&request), "service.name"),
            sent.map(|(_, value)| *value)
        );
    }
}

#[test]
fn a_profile_may_name_another_service_than_its_resource() {
    let mut book = Book::new();
    let mut profile = profile(&mut book, vec![]);
    profile.attribute_indices = vec![book.attribute("service.name", text("other"), "")];
    let resource = Resource {
        attributes: vec![key_value("service.name", text("cart"))],
        ..Resource::default()
    };
    let request = decode(&with_resource(book, resource, None, &profile));
    assert_eq!(label(only(&request), "service_name"), Some("other"));
}

#[test]
fn attributes_of_samples_keep_numbers_and_write_the_rest() {
    let mut book = Book::new();
    let reference = book.string("pool-1");
    let attribute_indices = vec![
        book.attribute("thread.name", Any::Reference(reference), ""),
        book.attribute("thread.id", Any::Int(9), ""),
        book.attribute("size", Any::Int(-3), "bytes"),
        book.attribute("hit", Any::Bool(true), "ignored"),
        book.attribute("ratio", Any::Double(1.25), ""),
        book.attribute("raw", Any::Bytes(vec![1]), ""),
        book.attribute("", text("nameless"), ""),
        0,
    ];
    let samples = vec![
        Sample {
            values: vec![1],
            ..Sample::default()
        },
        Sample {
            values: vec![1],
            attribute_indices,
            ..Sample::default()
        },
        Sample {
            values: vec![1],
            attribute_indices: vec![2],
            ..Sample::default()
        },
    ];
    let profile = profile(&mut book, samples);
    let request = decode(&book.request(&[profile]));
    let profile = &only(&request).described.profile;
    assert_eq!(attrs(profile, 0), [""; 0]);
    assert_eq!(
        attrs(profile, 1),
        [
            "thread.name=pool-1",
            "thread.id=9 ",
            "size=-3 bytes",
            "hit=true",
            "ratio=1.25",
            "raw=01"
        ]
    );
    assert_eq!(attrs(profile, 2), ["thread.id=9 "]);
    assert_eq!(request.counts.unnamed_attributes, 1);
    assert_eq!(request.counts.units_left_out, 1);
}

#[test]
fn values_and_times_come_in_several_shapes() {
    let sample = |values: &[i64], times: &[u64]| Sample {
        values: values.to_vec(),
        timestamps_unix_nano: times.iter().map(|time| TIME + time).collect(),
        // Keeps the layout certain.
        link_index: 1,
        ..Sample::default()
    };
    let mut book = Book::new();
    book.link(&[1; 16], &[2; 8]);
    let samples = vec![
        sample(&[], &[1, 2, 3]),
        sample(&[5, -2], &[4, 5]),
        sample(&[7], &[]),
        sample(&[7, 8, 9], &[]),
        sample(&[10], &[6, 7]),
        sample(&[11], &[8]),
    ];
    let mut sent = profile(&mut book, samples);
    sent.sample_type = book.kind("samples", "count");
    sent.period_type = book.kind("wall", "nanoseconds");
    sent.period = 1_000;
    let request = decode(&book.request(&[sent]));
    let decoded = only(&request);
    assert_eq!(decoded.described.name.as_deref(), Some("wall"));
    let profile = &decoded.described.profile;
    assert_eq!(kinds(profile), ["wall/nanoseconds", "wall/nanoseconds"]);
    assert_eq!(
        profile.samples.values,
        [3_000, 3_000, 7_000, 24_000, 10_000, 11_000]
    );
    let time = TIME as i64;
    assert_eq!(
        points(profile, 0),
        [(time + 1, 1_000), (time + 2, 1_000), (time + 3, 1_000)]
    );
    assert_eq!(points(profile, 1), [(time + 4, 5_000), (time + 5, -2_000)]);
    for sample in 2..5 {
        assert_eq!(points(profile, sample), []);
    }
    assert_eq!(points(profile, 5), [(time + 8, 11_000)]);
    assert_eq!(request.counts.odd_samples, 1);
}

#[test]
fn mismatched_absent_and_huge_values_refuse_the_profile() {
    for (values, times, why) in [
        (
            vec![1, 2],
            vec![TIME; 3],
            "sample 0 has 2 values but 3 times",
        ),
        (vec![], vec![], "sample 0 has neither values nor times"),
        (
            vec![i64::MAX, 1],
            vec![],
            "value of sample 0 is out of range",
        ),
        (
            vec![i64::MAX / 2],
            vec![],
            "value of sample 0 is out of range",
        ),
        (
            vec![1],
            vec![u64::MAX],
            "a sample's time of 18446744073709551615 ns",
        ),
    ] {
        let mut book = Book::new();
        book.link(&[1; 16], &[2; 8]);
        let mut sent = profile(
            &mut book,
            vec![Sample {
                values,
                timestamps_unix_nano: times,
                link_index: 1,
                ..Sample::default()
            }],
        );
        sent.sample_type = book.kind("samples", "count");
        sent.period_type = book.kind("cpu", "nanoseconds");
        sent.period = 3;
        let request = decode(&book.request(&[sent]));
        let refusal = refusal(&request);
        assert_eq!(refusal.kind, "contradiction");
        assert!(refusal.reason.contains(why), "{}", refusal.reason);
    }
}

#[test]
fn a_profile_begins_no_later_than_its_points() {
    for (sent, first, expected) in [
        (TIME, TIME - 5, TIME - 5),
        (TIME, TIME + 5, TIME),
        (0, TIME, TIME),
    ] {
        let mut book = Book::new();
        let sample = Sample {
            timestamps_unix_nano: vec![first + 1, first],
            ..Sample::default()
        };
        let mut profile = profile(&mut book, vec![sample]);
        profile.time_unix_nano = sent;
        let request = decode(&book.request(&[profile]));
        let profile = &only(&request).described.profile;
        assert_eq!((profile.time, profile.duration), (expected as i64, 0));
    }
}

#[test]
fn names_come_from_the_period_or_the_values() {
    for (kind, period, name, types) in [
        (
            ("samples", "count"),
            ("cpu", "nanoseconds"),
            "process_cpu",
            "samples/count",
        ),
        (
            ("off_cpu", "nanoseconds"),
            ("", ""),
            "off_cpu",
            "off_cpu/nanoseconds",
        ),
        (("events", "count"), ("", ""), "events", "events/count"),
        (("a:b c", "x{"), ("", ""), "a_b_c", "a_b_c/x_"),
        (("", ""), ("", ""), "unknown", "unknown/"),
    ] {
        let mut book = Book::new();
        let profile = Profile {
            sample_type: book.kind(kind.0, kind.1),
            period_type: book.kind(period.0, period.1),
            ..Profile::default()
        };
        let request = decode(&book.request(&[profile]));
        let described = &only(&request).described;
        assert_eq!(described.name.as_deref(), Some(name));
        assert_eq!(kinds(&described.profile)[0], types);
    }
}

#[test]
fn ids_of_profiles_are_kept_if_they_are_ids() {
    for (sent, expected, odd) in [
        (vec![7; 16], Some([7; 16]), 0),
        (vec![0; 16], None, 0),
        (vec![], None, 0),
    ] {
        let mut book = Book::new();
        let mut profile = profile(&mut book, vec![]);
        profile.profile_id = sent;
        let request = decode(&book.request(&[profile]));
        assert_eq!(only(&request).profile_id, expected);
        assert_eq!(request.counts.odd_profile_ids, odd);
    }
}

#[test]
fn a_sample_may_have_no_stack_and_stacks_may_have_gaps() {
    let mut book = Book::new();
    let stack = book.frames(&["leaf"]);
    let with_gap = book.stack(&[0, 1, 0]);
    let sample = |stack_index| Sample {
        stack_index,
        values: vec![1],
        ..Sample::default()
    };
    let profile = profile(&mut book, vec![sample(0), sample(with_gap), sample(stack)]);
    let request = decode(&book.request(&[profile]));
    let profile = &only(&request).described.profile;
    assert_eq!(frames(profile, 0), [""; 0]);
    assert_eq!(frames(profile, 1), ["leaf"]);
    assert_eq!(frames(profile, 2), ["leaf"]);
    assert_eq!(request.counts.frames_left_out, 2);
}

/// Each profile says what it was sent with, whatever its neighbours say.
#[test]
fn profiles_share_tables_and_nothing_else() {
    let mut book = Book::new();
    let stacks = [book.frames(&["a", "main"]), book.frames(&["b", "main"])];
    let attributes = ["x", "y"].map(|key| book.attribute(key, text("v"), ""));
    let mut profiles = Vec::new();
    for at in [0, 1, 0] {
        let sample = Sample {
            stack_index: stacks[at],
            attribute_indices: vec![attributes[at]],
            values: vec![at as i64 + 1],
            ..Sample::default()
        };
        profiles.push(profile(&mut book, vec![sample.clone(), sample]));
    }
    let request = decode(&book.request(&profiles));
    let decoded: Vec<_> = request
        .profiles
        .iter()
        .map(|p| p.as_ref().unwrap())
        .collect();
    assert_eq!(decoded[0], decoded[2]);
    for (at, leaf, key) in [(0, "a", "x=v"), (1, "b", "y=v")] {
        let profile = &decoded[at].described.profile;
        for sample in 0..2 {
            assert_eq!(frames(profile, sample), [leaf, "main"]);
            assert_eq!(attrs(profile, sample), [key]);
        }
    }
    let tables = &decoded[0].described.profile.tables;
    assert!(Arc::ptr_eq(tables, &decoded[1].described.profile.tables));
    assert_eq!((tables.functions.len(), tables.locations.len()), (4, 4));
    assert_eq!(tables.stacks.len(), 2);
    let texts: Vec<&str> = tables.strings.iter().collect();
    let expected = ["", "events", "count", "a", "main", "x", "v", "b", "y"];
    assert_eq!(texts, expected);
}

#[test]
fn strings_that_are_not_utf8_are_mended_and_counted() {
    let mut book = Book::new();
    let stack = book.frames(&["caf\u{e9}"]);
    let sample = Sample {
        stack_index: stack,
        values: vec![1],
        ..Sample::default()
    };
    let profile = profile(&mut book, vec![sample]);
    let mut bytes = book.request(&[profile]);
    let at = bytes
        .windows(5)
        .position(|at| at == "caf\u{e9}".as_bytes())
        .unwrap();
    bytes[at + 4] = b'!';
    let request = decode(&bytes);
    assert_eq!(
        frames(&only(&request).described.profile, 0),
        ["caf\u{fffd}!"]
    );
    assert_eq!(request.counts.replaced_strings, 1);
}
