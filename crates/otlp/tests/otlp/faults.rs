//! What must be refused, what limits do, and that small requests can't become large.

use cairn_model::{Excess, Limits};
use cairn_otlp::{Error, PROFILES_MAX, Refusal, TRUNCATED_FRAME};
use prost::Message;

use crate::messages::{
    Any, Book, Location, Profile, Resource, Resources, Sample, Scopes, key_value, text,
};
use crate::{decode, frames, only, refusal};

pub(crate) fn sampled(book: &mut Book, samples: Vec<Sample>) -> Profile {
    Profile {
        sample_type: book.kind("events", "count"),
        samples,
        ..Profile::default()
    }
}

pub(crate) fn one(stack_index: i32) -> Sample {
    Sample {
        stack_index,
        values: vec![1],
        ..Sample::default()
    }
}

/// One for each time.
fn timed(times: &[u64]) -> Sample {
    Sample {
        timestamps_unix_nano: times.to_vec(),
        ..Sample::default()
    }
}

pub(crate) fn refused(bytes: &[u8], limits: &Limits) -> Refusal {
    refusal(&cairn_otlp::decode(bytes, limits).unwrap()).clone()
}

#[test]
fn indices_out_of_range_refuse_the_profile_that_has_them() {
    type Fault = fn(&mut Book) -> Sample;
    let faults: [(&str, Fault); 12] = [
        ("index 77 of stack_table, which has 1 rows", |_| one(77)),
        ("index -1 of stack_table, which has 1 rows", |_| one(-1)),
        ("index 9 of location_table, which has 1 rows", |book| {
            one(book.stack(&[9]))
        }),
        ("index 9 of function_table, which has 1 rows", |book| {
            let lines = vec![crate::messages::Line {
                function_index: 9,
                ..Default::default()
            }];
            let location = book.location(&Location {
                lines,
                ..Location::default()
            });
            one(book.stack(&[location]))
        }),
        ("index 9 of mapping_table, which has 1 rows", |book| {
            let location = book.location(&Location {
                mapping_index: 9,
                ..Location::default()
            });
            one(book.stack(&[location]))
        }),
        ("index 9 of attribute_table, which has 1 rows", |book| {
            let location = book.location(&Location {
                attribute_indices: vec![9],
                ..Location::default()
            });
            one(book.stack(&[location]))
        }),
        ("index 9 of attribute_table, which has 1 rows", |_| Sample {
            attribute_indices: vec![9],
            ..one(0)
        }),
        ("index 9 of link_table, which has 1 rows", |_| Sample {
            link_index: 9,
            ..one(0)
        }),
        ("index 99 of string_table", |book| {
            book.tables.functions.push(crate::messages::Function {
                name_strindex: 99,
                ..Default::default()
            });
            let lines = vec![crate::messages::Line {
                function_index: 1,
                ..Default::default()
            }];
            let location = book.location(&Location {
                lines,
                ..Location::default()
            });
            one(book.stack(&[location]))
        }),
        ("index 99 of string_table", |book| Sample {
            attribute_indices: vec![book.attribute("key", Any::Reference(99), "")],
            ..one(0)
        }),
        ("the trace id of link 1 has 3 bytes instead of 16", |book| {
            Sample {
                link_index: book.link(&[1; 3], &[2; 8]),
                ..one(0)
            }
        }),
        ("the span id of link 1 has 16 bytes instead of 8", |book| {
            Sample {
                link_index: book.link(&[1; 16], &[2; 16]),
                ..one(0)
            }
        }),
    ];
    for (why, fault) in faults {
        let mut book = Book::new();
        let sample = fault(&mut book);
        let good = sampled(&mut book, vec![one(0)]);
        let bad = sampled(&mut book, vec![one(0), sample]);
        let request = decode(&book.request(&[good.clone(), bad, good]));
        assert!(
            request.profiles[0].is_ok() && request.profiles[2].is_ok(),
            "{why}"
        );
        assert_eq!(request.profiles[0], request.profiles[2]);
        let refusal = request.profiles[1].as_ref().unwrap_err();
        assert_eq!(refusal.profile, 1);
        assert_eq!(refusal.kind, "contradiction");
        assert!(refusal.reason.contains(why), "{}", refusal.reason);
    }
}

#[test]
fn refusals_say_where_the_profile_stood() {
    let mut book = Book::new();
    let good = sampled(&mut book, vec![one(0)]).encode_to_vec();
    let bad = sampled(&mut book, vec![one(5)]).encode_to_vec();
    let scope = |profiles: Vec<Vec<u8>>| Scopes {
        profiles,
        ..Scopes::default()
    };
    let resource = |scopes| Resources {
        scopes,
        ..Resources::default()
    };
    let request = decode(&book.request_of(vec![
        resource(vec![]),
        resource(vec![
            scope(vec![good.clone()]),
            scope(vec![]),
            scope(vec![good, bad]),
        ]),
    ]));
    let refusal = request.profiles[2].as_ref().unwrap_err();
    assert_eq!(
        (refusal.resource, refusal.scope, refusal.profile),
        (1, 2, 1)
    );
}

#[test]
fn what_refused_profiles_leave_out_is_not_counted() {
    let mut book = Book::new();
    book.link(&[1; 16], &[2; 8]);
    // One value at two times, then an index that leads nowhere.
    let odd = Sample {
        timestamps_unix_nano: vec![1, 2],
        link_index: 1,
        ..one(0)
    };
    let good = sampled(&mut book, vec![odd.clone()]);
    let bad = sampled(&mut book, vec![odd.clone(), odd, one(9)]);
    let request = decode(&book.request(&[bad, good]));
    assert!(request.profiles[0].is_err() && request.profiles[1].is_ok());
    assert_eq!(request.counts.odd_samples, 1);
}

#[test]
fn broken_requests_are_errors() {
    let mut book = Book::new();
    let profile = sampled(&mut book, vec![one(0)]);
    let bytes = book.request(&[profile]);
    let mut broken = 0;
    for cut in 1..bytes.len() {
        if let Err(error) = cairn_otlp::decode(&bytes[..cut], &Limits::default()) {
            assert_eq!(error.kind(), "undecodable", "{error}");
            broken += 1;
        }
    }
    assert!(broken > bytes.len() * 9 / 10, "{broken} of {}", bytes.len());
    let error = cairn_otlp::decode(b"no protobuf", &Limits::default()).unwrap_err();
    assert!(matches!(error, Error::Undecodable(_)));
    assert_eq!(decode(b"").profiles, []);
}

#[test]
fn attributes_that_can_not_be_read_refuse_their_profiles_only() {
    let mut book = Book::new();
    let profile = sampled(&mut book, vec![one(0)]).encode_to_vec();
    let resources = |value| Resources {
        resource: Some(Resource {
            attributes: vec![key_value("key", value)],
            ..Resource::default()
        }),
        scopes: vec![Scopes {
            profiles: vec![profile.clone(); 2],
            ..Scopes::default()
        }],
        ..Resources::default()
    };
    let request =
        decode(&book.request_of(vec![resources(Any::Reference(88)), resources(text("fine"))]));
    let fine: Vec<bool> = request.profiles.iter().map(Result::is_ok).collect();
    assert_eq!(fine, [false, false, true, true]);
}

#[test]
fn limits_are_named() {
    let limits = Limits::default();
    let long = "x".repeat(100);
    type Case = fn(&mut Book, &str) -> Profile;
    let cases: [(Limits, Case, &str); 9] = [
        (
            Limits {
                samples_max: 1,
                excess: Excess::Refuse,
                ..limits
            },
            |book, _| sampled(book, vec![one(0), one(0)]),
            "2 samples: more than samples_max=1",
        ),
        (
            Limits {
                samples_max: 1,
                excess: Excess::Refuse,
                ..limits
            },
            |book, _| sampled(book, vec![timed(&[1, 2])]),
            "points: more than samples_max=1",
        ),
        (
            Limits {
                depth_max: 1,
                excess: Excess::Refuse,
                ..limits
            },
            |book, _| {
                let stack = book.frames(&["work", "main"]);
                sampled(book, vec![one(0), one(stack)])
            },
            "frames of sample 1: more than depth_max=1",
        ),
        (
            Limits {
                string_bytes_max: 99,
                ..limits
            },
            |book, long| {
                let stack = book.frames(&[long]);
                sampled(book, vec![one(stack)])
            },
            "a string of 100 bytes: more than string_bytes_max=99",
        ),
        (
            Limits {
                sample_labels_max: 1,
                ..limits
            },
            |book, _| {
                let attribute = book.attribute("a", Any::Int(1), "");
                let sample = Sample {
                    attribute_indices: vec![attribute, attribute],
                    ..one(0)
                };
                sampled(book, vec![sample])
            },
            "attributes of sample 0: more than sample_labels_max=1",
        ),
        (
            Limits {
                label_name_bytes_max: 99,
                ..limits
            },
            |book, long| {
                let sample = Sample {
                    attribute_indices: vec![book.attribute(long, Any::Int(1), "")],
                    ..one(0)
                };
                sampled(book, vec![sample])
            },
            "more than label_name_bytes_max=99",
        ),
        (
            Limits {
                label_value_bytes_max: 99,
                ..limits
            },
            |book, long| {
                let sample = Sample {
                    attribute_indices: vec![book.attribute("a", text(long), "")],
                    ..one(0)
                };
                sampled(book, vec![sample])
            },
            "more than label_value_bytes_max=99",
        ),
        (
            Limits {
                labels_max: 1,
                ..limits
            },
            |book, _| Profile {
                attribute_indices: vec![
                    book.attribute("a", Any::Int(1), ""),
                    book.attribute("b", Any::Int(1), ""),
                ],
                ..sampled(book, vec![])
            },
            "more than labels_max=1",
        ),
        (
            Limits {
                sample_types_max: 0,
                ..limits
            },
            |book, _| sampled(book, vec![]),
            "1 sample types: more than sample_types_max=0",
        ),
    ];
    for (limits, case, why) in cases {
        let mut book = Book::new();
        let profile = case(&mut book, &long);
        let bytes = book.request(&[profile]);
        decode(&bytes).profiles[0].as_ref().expect(why);
        let refusal = refused(&bytes, &limits);
        assert_eq!(refusal.kind, "over_limit");
        assert!(refusal.reason.contains(why), "{}", refusal.reason);
    }
}

#[test]
fn deep_stacks_keep_their_leaf_side() {
    let names: Vec<String> = (0..10).map(|at| format!("f{at}")).collect();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let cut = |depth_max: usize, inlined: bool| {
        let mut book = Book::new();
        let stack = if inlined {
            let lines = names.iter().map(|name| book.line(name, 1)).collect();
            let location = book.location(&Location {
                lines,
                ..Location::default()
            });
            book.stack(&[location])
        } else {
            book.frames(&names)
        };
        let profile = sampled(&mut book, vec![one(stack), one(stack)]);
        let limits = Limits {
            depth_max,
            ..Limits::default()
        };
        let request = cairn_otlp::decode(&book.request(&[profile]), &limits).unwrap();
        let profile = &only(&request).described.profile;
        assert_eq!(frames(profile, 0), frames(profile, 1));
        (frames(profile, 0), request.counts.truncated_stacks)
    };
    for inlined in [false, true] {
        assert_eq!(
            cut(10, inlined),
            (names.iter().map(|n| (*n).to_owned()).collect(), 0)
        );
        let (frames, count) = cut(4, inlined);
        assert_eq!(frames, ["f0", "f1", "f2", TRUNCATED_FRAME]);
        assert_eq!(count, 2);
    }
}

#[test]
fn what_a_refused_profile_began_does_not_cut_the_next_one() {
    let mut book = Book::new();
    let lines = ["a", "b", "c"].map(|name| book.line(name, 1)).to_vec();
    let location = book.location(&Location {
        lines,
        mapping_index: 99,
        ..Location::default()
    });
    let bad = book.stack(&[location]);
    let good = book.frames(&["leaf", "main"]);
    let profiles = [bad, good].map(|stack| sampled(&mut book, vec![one(stack)]));
    let limits = Limits {
        depth_max: 2,
        ..Limits::default()
    };
    let request = cairn_otlp::decode(&book.request(&profiles), &limits).unwrap();
    let refused = request.profiles[0].as_ref().unwrap_err();
    assert!(
        refused.reason.contains("mapping_table"),
        "{}",
        refused.reason
    );
    let profile = &request.profiles[1].as_ref().unwrap().described.profile;
    assert_eq!(frames(profile, 0), ["leaf", "main"]);
    assert_eq!(request.counts.truncated_stacks, 0);
    // Nor does anything of it stay.
    let texts: Vec<&str> = profile.tables.strings.iter().collect();
    assert!(!texts.contains(&"a"), "{texts:?}");
}

/// Two bytes a profile, hundreds in memory.
#[test]
fn too_many_profiles_are_an_error() {
    let of = |count| {
        Book::new().request_of(vec![Resources {
            scopes: vec![Scopes {
                profiles: vec![vec![]; count],
                ..Scopes::default()
            }],
            ..Resources::default()
        }])
    };
    assert_eq!(decode(&of(100)).profiles.len(), 100);
    let error = cairn_otlp::decode(&of(PROFILES_MAX + 1), &Limits::default()).unwrap_err();
    assert!(error.to_string().ends_with("profiles_max=65536"), "{error}");
}
