//! What is passed on arrives as it was; what makes no sense is told.

use bytes::Bytes;
use cairn_model::{Code, ProfileBuilder};
use cairn_wal::{unpack, unpack_tables};
use prost::Message;

use super::*;
use crate::error::Place;

fn push() -> Push {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Push {
        tenant: TenantId::parse("team-a").expect("valid"),
        door: Door::Ingest,
        sender: Default::default(),
        received: 7,
        from: Some(-1),
        until: None,
        normalized: true,
        series: vec![
            Series {
                labels: vec![label("__name__", "memory"), label("pod", "a")],
                naming: Naming::Required,
                profiles: vec![
                    Raw::Pprof {
                        bytes: Bytes::from_static(b"one"),
                        executables: vec![
                            ExecutableInfo {
                                elf_type: 3,
                                load_segment: Some(LoadSegment {
                                    offset: 1,
                                    vaddr: 2,
                                }),
                            },
                            ExecutableInfo {
                                elf_type: 2,
                                load_segment: None,
                            },
                        ],
                    },
                    Raw::pprof(Bytes::new()),
                ],
                sample_rate: 100,
                sample_type_config: "{}".to_owned(),
            },
            Series {
                naming: Naming::ByTypes(vec![label("a", "b")]),
                ..Series::default()
            },
        ],
        tables: Vec::new(),
    }
}

fn part() -> Part {
    Part::new(push(), vec![4095, 0])
}

#[test]
fn a_part_arrives_as_it_was_sent() {
    let bytes = request(&part(), 9).encode_to_vec();
    let message = wire::StoreRequest::decode(&*bytes).expect("as encoded");
    let Forwarded { part, epoch } = read(message).expect("valid");
    assert_eq!(epoch, 9);
    assert_eq!(part.shards, [4095, 0]);
    assert_eq!(format!("{:?}", part.push), format!("{:?}", push()));
}

/// Two profiles that share tables, one with its own, and none.
fn decoded() -> Push {
    let profile = |name: &str| {
        let mut builder = ProfileBuilder::default();
        builder.value_type("samples", "count");
        let frame = builder.frame(name);
        builder.sample(&[frame], &[1], Default::default());
        builder.finish()
    };
    let shared = profile("shared");
    let series = |(at, profile)| Series {
        profiles: vec![Raw::Decoded {
            profile,
            content: [at; 16],
        }],
        ..Series::default()
    };
    let profiles = [shared.clone(), shared, profile("own")];
    Push {
        series: (1..).zip(profiles).map(series).collect(),
        ..push()
    }
}

#[test]
fn decoded_profiles_arrive_packed_with_each_table_once() {
    let sent = decoded();
    let message = request(&Part::new(decoded(), vec![1, 2, 3]), 9);
    let again = message.clone();
    let Forwarded { part, .. } = read(message).expect("valid");
    assert_eq!(part.push.tables.len(), 2);
    let tables = part.push.tables.iter();
    let tables: Vec<_> = tables
        .map(|of| Arc::new(unpack_tables(of).expect("as packed")))
        .collect();
    for (series, sent) in part.push.series.iter().zip(&sent.series) {
        let (
            Raw::Packed {
                bytes,
                tables: at,
                content,
            },
            Raw::Decoded {
                profile,
                content: of,
            },
        ) = (&series.profiles[0], &sent.profiles[0])
        else {
            panic!("{series:?}");
        };
        assert_eq!(content, of);
        assert_eq!(unpack(bytes, &tables[*at as usize]).as_ref(), Ok(profile));
    }
    // What is given another way is the same.
    assert_eq!(request(&part, 9), again);
    let mut old = again;
    old.format = Format::Packed.into();
    let error = read(old).expect_err("it has no tables");
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.to_string().contains("earlier version"), "{error}");
}

#[test]
fn requests_that_make_no_sense_are_refused_by_name() {
    let good = request(&part(), 9);
    let bad = |change: &dyn Fn(&mut wire::StoreRequest), why: &str| {
        let mut request = good.clone();
        change(&mut request);
        let error = read(request).expect_err(why);
        assert_eq!(error.code(), Code::Invalid);
        assert!(error.to_string().contains(why), "{error}");
    };
    bad(&|request| request.tenant = "../x".to_owned(), "tenant");
    bad(&|request| request.door = 0, "door 0");
    bad(&|request| request.door = 77, "door 77");
    bad(&|request| request.series[1].shard = 4096, "shard 4096");
    bad(
        &|request| request.series[0].shard = u32::MAX,
        "shard 4294967295",
    );
}

fn refused(series: usize, sample: Option<usize>) -> Refusal {
    Refusal {
        place: place(series, sample, &push().series[series]),
        reason: "bad".to_owned(),
        kind: "time",
        bytes: 0,
    }
}

#[test]
fn answers_come_back_with_the_places_of_the_request() {
    let said = Outcome {
        stored: Stored {
            profiles: 1,
            samples: 5,
            repeats: 1,
            bytes: 0,
        },
        refused: vec![refused(0, Some(1)), refused(1, None)],
        ..Outcome::default()
    };
    let heard = outcome(stored(said), &part())
        .expect("valid")
        .expect("owned");
    let places: Vec<String> = heard.refused.iter().map(|r| r.place.to_string()).collect();
    assert_eq!(places, ["series 0 (memory), sample 1", "series 1"]);
    assert_eq!(heard.refused[0].kind, "time");
    assert_eq!((heard.stored.samples, heard.more), (5, 0));
    assert_eq!(
        outcome(not_owner(12), &part()).expect("valid").err(),
        Some(12)
    );
}

#[test]
fn long_lists_are_counted() {
    let said = Outcome {
        refused: (0..2)
            .cycle()
            .take(30)
            .map(|at| refused(0, Some(at)))
            .collect(),
        more: 3,
        ..Outcome::default()
    };
    let response = stored(said);
    let Some(WireOutcome::Stored(stored)) = response.outcome else {
        panic!("it is stored");
    };
    assert_eq!((stored.refusals.len(), stored.refused), (10, 33));
}

#[test]
fn answers_that_make_no_sense_are_faults() {
    let empty = wire::StoreResponse { outcome: None };
    assert_eq!(
        outcome(empty, &part()).expect_err("empty").code(),
        Code::Internal
    );
    for (series, profile) in [(2, None), (0, Some(2)), (1, Some(0))] {
        let refusal = wire::Refusal {
            series,
            profile,
            ..wire::Refusal::default()
        };
        let stored = wire::Stored {
            refusals: vec![refusal],
            ..wire::Stored::default()
        };
        let response = wire::StoreResponse {
            outcome: Some(WireOutcome::Stored(stored)),
        };
        let error = outcome(response, &part()).expect_err("no such place");
        assert_eq!(error.code(), Code::Internal);
    }
    let boast = wire::Stored {
        profiles: u64::MAX,
        samples: u64::MAX,
        repeats: u64::MAX,
        refused: u64::MAX,
        refusals: Vec::new(),
    };
    let response = wire::StoreResponse {
        outcome: Some(WireOutcome::Stored(boast)),
    };
    let mut heard = outcome(response, &part()).expect("valid").expect("owned");
    assert!(heard.stored.profiles <= 2 && heard.more <= 2);
    heard.add(Outcome {
        stored: heard.stored,
        ..Outcome::default()
    });
    assert_eq!(heard.stored.samples, usize::MAX);
}

#[test]
fn forms_have_no_place_to_tell() {
    assert_eq!(Place::Named("x".to_owned()).position(), None);
}
