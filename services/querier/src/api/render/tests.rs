use cairn_engine::Point;
use cairn_model::TimeRange;

use super::*;
use crate::testing;

const SECOND: i64 = 1_000_000_000;

#[test]
fn levels_are_groups_of_four_with_offsets_from_the_bar_before() {
    let flame = Flame::build(&testing::ungrouped(), KeyBy::default());
    let found = Flamebearer::of(&flame);
    assert_eq!(found.names[0], "total");
    assert_eq!((found.num_ticks, found.max_self), (165, 130 - 20));
    insta::assert_snapshot!(serde_json::to_string_pretty(&found).expect("JSON"));
    // Undoing the deltas, no bar lies outside its level's total.
    for level in &found.levels {
        let mut end = 0;
        for bar in level.chunks(4) {
            assert!(bar[0] >= 0);
            end += bar[0] + bar[1];
        }
        assert!(end <= 165);
    }
}

#[test]
fn what_is_trimmed_is_called_other() {
    let flame = Flame::build(&testing::ungrouped(), KeyBy::default()).trim(&Trim {
        fraction: 0.0,
        nodes_max: 3,
    });
    assert!(Flamebearer::of(&flame).names.contains(&"other".to_owned()));
}

#[test]
fn steps_of_timelines_are_rounded() {
    let table = [
        (0, 15),
        (3600, 15),
        (6 * 3600, 15),
        (12 * 3600, 30),
        (24 * 3600, 60),
        (7 * 86400, 300),
        (30 * 86400, 1800),
        (i64::MAX / SECOND, 43_200),
    ];
    for (seconds, expected) in table {
        let range = TimeRange {
            start: 0,
            end: seconds * SECOND,
        };
        let found = timeline::step(range) / SECOND;
        if seconds < 365 * 86400 {
            assert_eq!(found, expected, "{seconds}");
        } else {
            assert!(found >= expected, "{seconds}");
        }
    }
}

#[test]
fn timelines_have_a_value_per_step() {
    let points = BTreeMap::from([(
        30 * SECOND,
        Point {
            value: 5,
            profiles: 1,
            ..Point::default()
        },
    )]);
    let range = TimeRange {
        start: 20 * SECOND,
        end: 50 * SECOND,
    };
    let cpu: ProfileType = "p:cpu:nanoseconds:cpu:nanoseconds:delta"
        .parse()
        .expect("valid");
    let found = Timeline::of(&cpu, range, 15 * SECOND, &points);
    let json = serde_json::to_value(found).expect("JSON");
    assert_eq!(
        json,
        serde_json::json!({
            "startTime": 15, "samples": [0, 5, 0], "durationDelta": 15, "watermarks": null
        })
    );
}
