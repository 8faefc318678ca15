//! Values over time, on the steps that Pyroscope's page expects.

use std::collections::BTreeMap;

use cairn_engine::Point;
use cairn_model::{ProfileType, TimeRange};
use serde::Serialize;

use crate::api::parca::range::value;

const SECOND: i64 = 1_000_000_000;
const POINTS: i64 = 1500;
const STEP_MIN: i64 = 15 * SECOND;
/// Points of one timeline, however long the range.
const POINTS_MAX: i64 = 10_000;

/// Steps of up to so many seconds are rounded to so many.
const ROUNDED: [(i64, i64); 18] = [
    (17, 15),
    (25, 20),
    (45, 30),
    (90, 60),
    (210, 120),
    (450, 300),
    (750, 600),
    (1_050, 900),
    (1_500, 1_200),
    (2_700, 1_800),
    (5_400, 3_600),
    (9_000, 7_200),
    (16_200, 10_800),
    (32_400, 21_600),
    (86_400, 43_200),
    (604_800, 86_400),
    (1_814_400, 604_800),
    (3_628_800, 2_592_000),
];
const YEAR_SECONDS: i64 = 31_536_000;

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timeline {
    /// Seconds.
    start_time: i64,
    samples: Vec<i64>,
    /// Seconds.
    duration_delta: i64,
    watermarks: Option<()>,
}

/// A 1500th of the range, rounded to what people count in, at least 15 seconds.
pub(super) fn step(range: TimeRange) -> i64 {
    let raw = range.end.saturating_sub(range.start) / POINTS;
    let seconds = raw / SECOND;
    let rounded = ROUNDED.iter().find(|(up_to, _)| seconds <= *up_to);
    let rounded = rounded.map_or(YEAR_SECONDS, |(_, to)| *to);
    (rounded * SECOND).max(STEP_MIN)
}

impl Timeline {
    /// One value per step of the range, 0 where there is none.
    pub(super) fn of(
        profile_type: &ProfileType,
        range: TimeRange,
        step: i64,
        points: &BTreeMap<i64, Point>,
    ) -> Self {
        let first = range.start.div_euclid(step);
        let last = range
            .end
            .div_euclid(step)
            .min(first.saturating_add(POINTS_MAX));
        let sample = |at: i64| {
            let point = points.get(&at.saturating_mul(step));
            point.map_or(0, |point| value(profile_type, step, point).0)
        };
        Self {
            start_time: first.saturating_mul(step) / SECOND,
            samples: (first..=last).map(sample).collect(),
            duration_delta: step / SECOND,
            watermarks: None,
        }
    }
}
