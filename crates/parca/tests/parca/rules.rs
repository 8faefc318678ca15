//! What a record means.

use std::sync::Arc;

use cairn_model::{Excess, Limits};
use cairn_parca::write::{self, Call, Frame, Sample};
use cairn_parca::{DEFAULT_NAME, Error, TRUNCATED_FRAME};

use crate::{decode, kind, labels, named, native, rows, sample};

#[test]
fn rows_of_equal_labels_and_type_are_one_profile() {
    let (main, work) = (native("app", 0x10), native("lib", 0x20));
    let samples = [
        sample("a", &[work.clone(), main.clone()], 1, 500),
        sample("b", std::slice::from_ref(&main), 2, 500),
        sample("a", std::slice::from_ref(&main), 3, 500),
        Sample {
            sample_type: "wallclock".to_owned(),
            ..sample("a", std::slice::from_ref(&main), 4, 500)
        },
        sample("a", &[work, main], 5, 500),
    ];
    let decoded = decode(&write::v2(&samples)).unwrap();
    assert_eq!(decoded.rows, 5);
    let all: Vec<_> = decoded
        .profiles
        .iter()
        .map(|p| (labels(p), kind(p)))
        .collect();
    let kinds = ["samples", "samples", "wallclock"].map(|kind| {
        format!("parca_agent:{kind}:count:cpu:nanoseconds period 52 time 500 duration 1000")
    });
    let pods = ["a", "b", "a"].map(|pod| format!("node=n1,pod={pod}"));
    assert_eq!(all, pods.into_iter().zip(kinds).collect::<Vec<_>>());
    let all: Vec<_> = decoded.profiles.iter().map(|p| rows(&p.profile)).collect();
    assert_eq!(
        all,
        [
            vec![
                "lib(id of lib)0x20 < app(id of app)0x10 = 6 []",
                "app(id of app)0x10 = 3 []"
            ],
            vec!["app(id of app)0x10 = 2 []"],
            vec!["app(id of app)0x10 = 4 []"],
        ]
    );
    let shared = &decoded.profiles[0].profile.tables;
    assert_eq!(shared.mappings.len(), 2);
    for described in &decoded.profiles {
        assert!(Arc::ptr_eq(&described.profile.tables, shared));
    }
}

#[test]
fn differing_times_become_points() {
    let (a, b) = ([native("app", 1)], [native("app", 2)]);
    let samples = [
        sample("p", &a, 1, 30),
        sample("p", &b, 2, 10),
        sample("p", &a, 4, 20),
        sample("q", &a, 8, 70),
        sample("q", &a, 16, 70),
    ];
    let decoded = decode(&write::v2(&samples)).unwrap();
    let [p, q] = &decoded.profiles[..] else {
        panic!("{decoded:?}");
    };
    assert_eq!(p.profile.time, 10);
    assert_eq!(
        rows(&p.profile),
        [
            "app(id of app)0x1 = 5 [1@30 4@20]",
            "app(id of app)0x2 = 2 [2@10]"
        ]
    );
    assert_eq!(q.profile.time, 70);
    assert_eq!(rows(&q.profile), ["app(id of app)0x1 = 24 []"]);
}

#[test]
fn sums_that_do_not_fit_stay_apart() {
    let stack = [native("app", 1)];
    let samples = [i64::MAX, 1, -5].map(|value| sample("p", &stack, value, 1));
    let decoded = decode(&write::v2(&samples)).unwrap();
    let values = &decoded.profiles[0].profile.samples.values;
    assert_eq!(values, &[i64::MAX, -4]);
}

#[test]
fn only_delta_has_a_duration() {
    let stack = [native("app", 1)];
    let samples = ["", "delta", "cumulative"].map(|temporality| Sample {
        temporality: temporality.to_owned(),
        ..sample("p", &stack, 1, 1)
    });
    let decoded = decode(&write::v2(&samples)).unwrap();
    let durations: Vec<i64> = decoded
        .profiles
        .iter()
        .map(|p| p.profile.duration)
        .collect();
    assert_eq!(durations, [0, 1_000, 0]);
}

#[test]
fn frames_without_a_file_get_one_that_says_their_kind() {
    let unnamed = |frame_type: &str| Frame {
        frame_type: frame_type.to_owned(),
        address: 7,
        ..Frame::default()
    };
    let stack = [
        named("python", "f", 3),
        named("kernel", "k", 4),
        unnamed("kernel"),
        unnamed("python"),
        named("native", "n", 5),
        Frame {
            file: "interpreter".to_owned(),
            ..named("ruby", "r", 6)
        },
    ];
    let decoded = decode(&write::v2(&[sample("p", &stack, 1, 1)])).unwrap();
    assert_eq!(
        rows(&decoded.profiles[0].profile),
        [
            "[python]()0x3 f/f:f.src:1:3:2 < [kernel]()0x4 k/k:k.src:1:4:2 < [kernel]()0x7 < 0x7 < \
          0x5 n/n:n.src:1:5:2 < interpreter()0x6 r/r:r.src:1:6:2 = 1 []"
        ]
    );
}

#[test]
fn inlined_calls_stay_innermost_first() {
    let call = |name: &str| Call {
        system_name: name.to_owned(),
        ..Call::default()
    };
    let frame = Frame {
        calls: vec![call("inner"), call("outer")],
        ..native("app", 1)
    };
    let decoded = decode(&write::v2(&[sample("p", &[frame], 1, 1)])).unwrap();
    assert_eq!(
        rows(&decoded.profiles[0].profile),
        ["app(id of app)0x1 inner/inner::0:0:0 outer/outer::0:0:0 = 1 []"]
    );
}

#[test]
fn empty_labels_are_left_out_and_counted() {
    let mut samples = vec![sample("", &[native("app", 1)], 1, 1); 3];
    samples[1].labels.remove(1);
    samples[2].labels[1].1 = "x".to_owned();
    let decoded = decode(&write::v2(&samples)).unwrap();
    assert_eq!(decoded.empty_labels, 1);
    let all: Vec<_> = decoded.profiles.iter().map(labels).collect();
    assert_eq!(
        all,
        ["node=n1", "node=n1,pod=x"],
        "an empty value is as good as none"
    );
    assert_eq!(decoded.profiles[0].profile.samples.values, [2]);
}

#[test]
fn a_producer_that_does_not_say_gets_the_default_name() {
    let unnamed = Sample {
        producer: String::new(),
        labels: Vec::new(),
        ..sample("p", &[], 1, 1)
    };
    let decoded = decode(&write::v2(&[unnamed])).unwrap();
    assert_eq!(decoded.profiles[0].name.as_deref(), Some(DEFAULT_NAME));
    assert_eq!(decoded.profiles[0].labels, []);
    assert_eq!(
        rows(&decoded.profiles[0].profile),
        [" = 1 []"],
        "a stack may be empty"
    );
}

#[test]
fn no_rows_are_no_profiles() {
    let decoded = decode(&write::v2(&[])).unwrap();
    assert_eq!((decoded.rows, decoded.profiles.len()), (0, 0));
}

#[test]
fn deep_stacks_keep_their_leaves() {
    let stack: Vec<Frame> = (1..=6).map(|address| native("app", address)).collect();
    let limits = Limits {
        depth_max: 5,
        ..Limits::default()
    };
    let samples = [
        sample("p", &stack[..5], 1, 1),
        sample("p", &stack, 2, 1),
        sample("q", &stack, 4, 1),
    ];
    let decoded = cairn_parca::decode(&write::v2(&samples), &limits).unwrap();
    assert_eq!(
        decoded.truncated_stacks, 1,
        "one stack, though two profiles have it"
    );
    let leaves = "app(id of app)0x1 < app(id of app)0x2 < app(id of app)0x3 < app(id of app)0x4";
    let cut = format!("{leaves} < 0x0 {TRUNCATED_FRAME}/::0:0:0");
    assert_eq!(
        rows(&decoded.profiles[0].profile),
        [
            format!("{leaves} < app(id of app)0x5 = 1 []"),
            format!("{cut} = 2 []")
        ]
    );
    assert_eq!(
        rows(&decoded.profiles[1].profile),
        [format!("{cut} = 4 []")]
    );
}

#[test]
fn deep_locations_keep_their_innermost_calls() {
    let call = |at: usize| Call {
        system_name: format!("f{at}"),
        ..Call::default()
    };
    let frame = Frame {
        calls: (0..9).map(call).collect(),
        ..Frame::default()
    };
    let limits = Limits {
        depth_max: 3,
        ..Limits::default()
    };
    let decoded = cairn_parca::decode(&write::v2(&[sample("p", &[frame], 1, 1)]), &limits).unwrap();
    assert_eq!(decoded.truncated_stacks, 1);
    assert_eq!(
        rows(&decoded.profiles[0].profile),
        ["0x0 f0/f0::0:0:0 f1/f1::0:0:0 < 0x0 [truncated]/::0:0:0 = 1 []"]
    );
}

#[test]
fn samples_without_room_add_up() {
    let stack = |address| [native("app", address)];
    let limits = Limits {
        samples_max: 2,
        ..Limits::default()
    };
    let samples = [
        sample("p", &stack(1), 1, 10),
        sample("p", &stack(2), 2, 20),
        sample("p", &stack(3), 4, 5),
        sample("p", &stack(1), 8, 30),
        sample("p", &stack(3), 16, 40),
        sample("p", &stack(4), 32, 40),
        sample("q", &stack(4), 64, 40),
        sample("q", &stack(4), 1, 40),
    ];
    let decoded = cairn_parca::decode(&write::v2(&samples), &limits).unwrap();
    assert_eq!((decoded.rows, decoded.truncated_samples), (8, 3));
    // Three rows are kept of the one profile whose times differ: there may be two times.
    assert_eq!(decoded.truncated_points, 3);
    let [p, q] = &decoded.profiles[..] else {
        panic!("{decoded:?}");
    };
    assert_eq!(p.profile.time, 5);
    assert_eq!(
        rows(&p.profile),
        [
            "app(id of app)0x1 = 9 []",
            "app(id of app)0x2 = 2 []",
            "0x0 [truncated]/::0:0:0 = 52 []"
        ]
    );
    assert_eq!(rows(&q.profile), ["app(id of app)0x4 = 65 []"]);
    let none = Limits {
        samples_max: 0,
        ..limits
    };
    let decoded = cairn_parca::decode(&write::v2(&samples), &none).unwrap();
    let all: Vec<_> = decoded.profiles.iter().map(|p| rows(&p.profile)).collect();
    let rest = |sum| vec![format!("0x0 [truncated]/::0:0:0 = {sum} []")];
    assert_eq!(all, [rest(63), rest(65)]);
}

#[test]
fn one_frame_says_that_samples_and_that_frames_are_left_out() {
    let stack: Vec<Frame> = (1..=6).map(|address| native("app", address)).collect();
    let limits = Limits {
        samples_max: 1,
        depth_max: 2,
        ..Limits::default()
    };
    let samples = [sample("p", &stack, 1, 1), sample("p", &stack[1..], 2, 1)];
    let decoded = cairn_parca::decode(&write::v2(&samples), &limits).unwrap();
    assert_eq!(
        (decoded.truncated_stacks, decoded.truncated_samples),
        (2, 1)
    );
    let profile = &decoded.profiles[0].profile;
    let [leaf, marker] = profile.stack(0) else {
        panic!("{:?}", profile.stack(0));
    };
    assert_ne!(leaf, marker);
    assert_eq!(profile.stack(1), [*marker]);
}

fn over(limits: Limits, samples: &[Sample]) -> String {
    match cairn_parca::decode(&write::v2(samples), &limits) {
        Err(Error::OverLimit { name, max, .. }) => format!("{name}={max}"),
        other => panic!("{other:?}"),
    }
}

/// Three samples of short stacks.
fn limited() -> Vec<Sample> {
    let one = |at| sample("pod-of-13-b", &[named("python", "work", at)], 1, 1);
    (0..3).map(one).collect()
}

#[test]
fn limits_are_named() {
    let samples = limited();
    let defaults = Limits::default();
    assert!(cairn_parca::decode(&write::v2(&samples), &defaults).is_ok());
    let refuse = Limits {
        excess: Excess::Refuse,
        ..defaults
    };
    let cases = [
        (
            Limits {
                samples_max: 2,
                ..refuse
            },
            "samples_max=2",
        ),
        (
            Limits {
                depth_max: 0,
                ..refuse
            },
            "depth_max=0",
        ),
        (
            Limits {
                string_bytes_max: 10,
                ..defaults
            },
            "string_bytes_max=10",
        ),
        (
            Limits {
                labels_max: 1,
                ..defaults
            },
            "labels_max=1",
        ),
        (
            Limits {
                label_name_bytes_max: 3,
                ..defaults
            },
            "label_name_bytes_max=3",
        ),
        (
            Limits {
                label_value_bytes_max: 10,
                ..defaults
            },
            "label_value_bytes_max=10",
        ),
        (
            Limits {
                profile_bytes_max: 100,
                ..defaults
            },
            "profile_bytes_max=100",
        ),
    ];
    for (limits, wanted) in cases {
        assert_eq!(over(limits, &samples), wanted);
    }
}

#[test]
fn what_is_at_its_limits_is_taken() {
    let exactly = Limits {
        samples_max: 3,
        labels_max: 2,
        label_name_bytes_max: 4,
        label_value_bytes_max: 11,
        depth_max: 1,
        excess: Excess::Refuse,
        ..Limits::default()
    };
    assert!(cairn_parca::decode(&write::v2(&limited()), &exactly).is_ok());
}

#[test]
fn deep_locations_are_refused() {
    let frame = Frame {
        calls: vec![Call::default(); 3],
        ..Frame::default()
    };
    let limits = Limits {
        depth_max: 2,
        excess: Excess::Refuse,
        ..Limits::default()
    };
    assert_eq!(over(limits, &[sample("p", &[frame], 1, 1)]), "depth_max=2");
}

#[test]
fn one_stack_in_many_profiles_is_there_once() {
    // Half a megabyte of a stack and a name, in thousands of profiles.
    let call = Call {
        system_name: "n".repeat(100_000),
        ..Call::default()
    };
    let frame = Frame {
        calls: vec![call],
        ..Frame::default()
    };
    let stack: Arc<[Frame]> = vec![frame].into();
    let samples: Vec<Sample> = (0..5_000)
        .map(|at| Sample {
            stack: Arc::clone(&stack),
            ..sample(&format!("pod-{at}"), &[], 1, 1)
        })
        .collect();
    let buffer = write::v2(&samples);
    assert!(buffer.len() < 200_000, "{}", buffer.len());
    let decoded = cairn_parca::decode(&buffer, &Limits::default()).unwrap();
    assert_eq!(decoded.profiles.len(), 5_000);
    let bytes = decoded.profiles[0].profile.tables.bytes();
    assert!(bytes < 300_000, "{bytes}");
}
