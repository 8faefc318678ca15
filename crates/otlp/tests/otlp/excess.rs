//! More samples, points and frames than a profile has room for: what is left of them adds up.

use cairn_model::{Limits, Profile};
use cairn_otlp::{Request, TRUNCATED_FRAME};
use proptest::prelude::*;

use crate::messages::{Book, Profile as Sent, Sample};
use crate::{attrs, decode, frames, only, points, refusal};

const TIME: u64 = 1_764_000_000_000_000_000;

fn within(samples_max: usize) -> Limits {
    Limits {
        samples_max,
        ..Limits::default()
    }
}

fn sample(values: &[i64], times: &[u64]) -> Sample {
    Sample {
        values: values.to_vec(),
        timestamps_unix_nano: times.iter().map(|time| TIME + time).collect(),
        // Keeps the layout certain.
        link_index: 1,
        ..Sample::default()
    }
}

/// Samples that stand for a microsecond each.
fn request(samples: Vec<Sample>) -> Vec<u8> {
    let mut book = Book::new();
    book.link(&[1; 16], &[2; 8]);
    let sent = Sent {
        sample_type: book.kind("samples", "count"),
        period_type: book.kind("wall", "nanoseconds"),
        period: 1_000,
        samples,
        ..Sent::default()
    };
    book.request(&[sent])
}

fn cut(bytes: &[u8], samples_max: usize) -> Request {
    cairn_otlp::decode(bytes, &within(samples_max)).unwrap()
}

fn profile(request: &Request) -> &Profile {
    &only(request).described.profile
}

#[test]
fn samples_that_are_left_out_become_one() {
    let samples = vec![
        sample(&[5], &[9]),
        sample(&[1, 2], &[8, 7]),
        sample(&[], &[6, 5, 4]),
        sample(&[10], &[]),
    ];
    let request = cut(&request(samples), 1);
    let profile = profile(&request);
    assert_eq!(profile.samples.values, [5_000, 16_000]);
    assert_eq!(frames(profile, 1), [TRUNCATED_FRAME]);
    assert_eq!(attrs(profile, 1), [""; 0]);
    assert_eq!(profile.samples.link(0), Some(0));
    assert_eq!(profile.samples.link(1), None);
    assert_eq!(points(profile, 0), [(TIME as i64 + 9, 5_000)]);
    assert_eq!(points(profile, 1), []);
    assert_eq!(profile.time, TIME as i64 + 4, "it covers all samples");
    let counts = &request.counts;
    assert_eq!((counts.truncated_samples, counts.truncated_points), (3, 5));
}

#[test]
fn a_sample_keeps_its_points_or_none() {
    let samples = vec![
        sample(&[], &[1, 2]),
        sample(&[], &[3, 4]),
        sample(&[7], &[5]),
        sample(&[8], &[6, 7]),
    ];
    let request = cut(&request(samples), 3);
    let profile = profile(&request);
    assert_eq!(profile.samples.values, [2_000, 2_000, 7_000, 8_000]);
    let kept: Vec<usize> = (0..4).map(|at| points(profile, at).len()).collect();
    assert_eq!(kept, [2, 0, 1, 0]);
    let counts = &request.counts;
    assert_eq!((counts.truncated_samples, counts.truncated_points), (1, 2));
    assert_eq!(counts.odd_samples, 1);
}

#[test]
fn samples_that_are_left_out_share_a_frame_with_deep_stacks() {
    let mut book = Book::new();
    let stack = book.frames(&["leaf", "work", "main"]);
    let one = |stack_index| Sample {
        stack_index,
        values: vec![1],
        ..Sample::default()
    };
    let sent = Sent {
        sample_type: book.kind("events", "count"),
        samples: vec![one(stack), one(stack), one(stack)],
        ..Sent::default()
    };
    let limits = Limits {
        depth_max: 2,
        ..within(2)
    };
    let request = cairn_otlp::decode(&book.request(&[sent.clone(), sent]), &limits).unwrap();
    for decoded in &request.profiles {
        let profile = &decoded.as_ref().unwrap().described.profile;
        assert_eq!(frames(profile, 0), ["leaf", TRUNCATED_FRAME]);
        assert_eq!(profile.stack(0), profile.stack(1));
        assert_eq!(profile.stack(2), &profile.stack(0)[1..]);
        let named = |name: &str| {
            profile
                .tables
                .strings
                .iter()
                .filter(|text| *text == name)
                .count()
        };
        assert_eq!(
            (named(TRUNCATED_FRAME), profile.tables.locations.len()),
            (1, 4)
        );
    }
    let counts = &request.counts;
    assert_eq!((counts.truncated_samples, counts.truncated_stacks), (2, 4));
}

#[test]
fn of_samples_that_are_left_out_only_values_are_read() {
    let mut astray = sample(&[1], &[]);
    astray.stack_index = 99;
    let bytes = request(vec![sample(&[1], &[]), astray]);
    assert!(decode(&bytes).profiles[0].is_err());
    assert_eq!(profile(&cut(&bytes, 1)).samples.values, [1_000, 1_000]);
    for (bad, why) in [
        (sample(&[1, 2], &[1, 2, 3]), "2 values but 3 times"),
        (sample(&[], &[]), "neither values nor times"),
        (sample(&[i64::MAX], &[]), "out of range"),
        (sample(&[1], &[u64::MAX - TIME]), "a sample's time"),
    ] {
        let good = sample(&[1], &[]);
        let request = cut(&request(vec![good.clone(), good, bad]), 1);
        let reason = &refusal(&request).reason;
        assert!(reason.contains(why), "{reason}");
        let names_it = reason.contains("sample 2 ") || why == "out of range";
        assert!(names_it || why == "a sample's time", "{reason}");
    }
}

/// Values as sent, and times by their distance from the first.
fn shape() -> impl Strategy<Value = (Vec<i64>, Vec<u64>)> {
    let values = || prop::collection::vec(-1_000i64..1_000, 1..4);
    let time = || 0u64..1_000;
    prop_oneof![
        values().prop_map(|values| (values, vec![])),
        prop::collection::vec(time(), 1..4).prop_map(|times| (vec![], times)),
        prop::collection::vec((-1_000i64..1_000, time()), 1..4)
            .prop_map(|both| both.into_iter().unzip()),
        (-1_000i64..1_000, time()).prop_map(|(value, time)| (vec![value], vec![time, time + 1])),
    ]
}

proptest! {
    #[test]
    fn sums_stay_and_points_add_up(
        shapes in prop::collection::vec(shape(), 1..12),
        samples_max in 0..24usize,
    ) {
        let samples = shapes.iter().map(|(values, times)| sample(values, times)).collect();
        let bytes = request(samples);
        let (all, request) = (decode(&bytes), cut(&bytes, samples_max));
        let (all, counts) = (profile(&all), &request.counts);
        let cut = profile(&request);
        let kept = all.samples.len().min(samples_max);
        let left_out = all.samples.len() - kept;
        prop_assert_eq!(counts.truncated_samples, left_out as u64);
        prop_assert_eq!(cut.samples.len(), kept + left_out.min(1));
        prop_assert_eq!(&cut.samples.values[..kept], &all.samples.values[..kept]);
        let sum = |profile: &Profile| profile.samples.values.iter().sum::<i64>();
        prop_assert_eq!(sum(cut), sum(all));
        let held = cut.samples.points.len();
        prop_assert!(held <= samples_max);
        prop_assert_eq!(counts.truncated_points as usize, all.samples.points.len() - held);
        for at in 0..kept {
            let points = cut.samples.points(at);
            prop_assert!(points.is_empty() || points == all.samples.points(at));
        }
        prop_assert_eq!(cut.time, all.time);
    }
}
