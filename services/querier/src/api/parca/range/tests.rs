use std::collections::BTreeMap;

use super::*;

const SECOND: i64 = 1_000_000_000;

fn profile_type(text: &str) -> ProfileType {
    text.parse().expect("valid")
}

fn point(value: i64, times: (i64, i64)) -> Point {
    Point {
        value,
        profiles: 2,
        duration: 10 * SECOND,
        first: 7,
        first_time: times.0,
        last_time: times.1,
        period: SECOND / 100,
    }
}

#[test]
fn values_follow_the_type_and_the_step() {
    let cpu = "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta";
    let samples = "parca_agent:samples:count:cpu:nanoseconds:delta";
    let heap = "memory:inuse_space:bytes:space:bytes";
    let alloc = "memory:alloc_space:bytes:space:bytes:delta";
    let (one, two) = ((3, 3), (3, 4));
    // type, step, value, times of first and last profile -> value, per second, duration
    let table = [
        (
            cpu,
            15 * SECOND,
            5 * SECOND,
            one,
            (5 * SECOND, 0.5, 10 * SECOND),
        ),
        (
            cpu,
            20 * SECOND,
            5 * SECOND,
            two,
            (5 * SECOND, 0.25, 20 * SECOND),
        ),
        (cpu, 0, 5 * SECOND, one, (5 * SECOND, 0.5, 10 * SECOND)),
        (
            samples,
            15 * SECOND,
            1000,
            one,
            (10 * SECOND, 1.0, 10 * SECOND),
        ),
        (alloc, 0, 4000, one, (4000, 400.0, 10 * SECOND)),
        (heap, 15 * SECOND, 4000, two, (7, 7.0, 0)),
    ];
    for (name, step, sum, times, expected) in table {
        let found = value(&profile_type(name), step, &point(sum, times));
        assert_eq!(found, expected, "{name} at step {step}");
    }
}

#[test]
fn a_duration_of_zero_divides_nothing() {
    let mut point = point(5, (3, 3));
    point.duration = 0;
    let cpu = profile_type("p:cpu:nanoseconds:cpu:nanoseconds:delta");
    assert_eq!(value(&cpu, 0, &point), (5, 0.0, 0));
}

fn series(rows: &[(&str, i64)]) -> Series {
    let mut out = BTreeMap::new();
    for (pod, value) in rows {
        let labels = Labels::from_pairs([("pod", *pod)]).expect("valid");
        out.insert(
            labels,
            BTreeMap::from([(60 * SECOND, point(*value, (1, 1)))]),
        );
    }
    Series(out)
}

#[test]
fn counts_of_samples_are_shown_as_what_the_period_measures() {
    let samples = profile_type("parca_agent:samples:count:cpu:nanoseconds:delta");
    let found = render(&samples, 0, 0, series(&[("a", 3)]));
    let expected = ValueType {
        r#type: "cpu".to_owned(),
        unit: "nanoseconds".to_owned(),
    };
    assert_eq!(found[0].sample_type.as_ref(), Some(&expected));
    assert_eq!(found[0].period_type.as_ref(), Some(&expected));
    assert_eq!(found[0].samples[0].value, 3 * SECOND / 100);
    assert_eq!(found[0].samples[0].count, 2);
    assert_eq!(
        found[0].samples[0].timestamp,
        Some(cairn_wire::timestamp(60 * SECOND))
    );
}

#[test]
fn a_limit_keeps_the_largest_series_in_the_order_of_their_labels() {
    let cpu = profile_type("p:cpu:nanoseconds:cpu:nanoseconds:delta");
    let all = [("a", 5), ("b", 1), ("c", 9), ("d", 9)];
    let pods = |limit| -> Vec<String> {
        let found = render(&cpu, 0, limit, series(&all));
        let pod = |series: MetricsSeries| series.labelset.expect("set").labels[0].value.clone();
        found.into_iter().map(pod).collect()
    };
    assert_eq!(pods(0), ["a", "b", "c", "d"]);
    assert_eq!(pods(9), ["a", "b", "c", "d"]);
    assert_eq!(pods(2), ["c", "d"]);
    assert_eq!(pods(1), ["c"]);
}
