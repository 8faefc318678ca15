use std::collections::BTreeMap;

use cairn_engine::Point;
use cairn_model::Labels;

use super::*;
use crate::testing;

fn cpu() -> ProfileType {
    "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta"
        .parse()
        .expect("valid")
}

#[test]
fn flame_graphs_are_columns_in_depth_first_order() {
    let flame = Flame::build(&testing::ungrouped(), KeyBy::default());
    let warnings = vec!["block 01A: corrupt: bad".to_owned()];
    let columns = flame::single(&flame, "ns", warnings);
    insta::assert_snapshot!(serde_json::to_string_pretty(&columns).expect("JSON"));
}

#[test]
fn a_trimmed_graph_says_how_much_is_missing() {
    let flame = Flame::build(&testing::ungrouped(), KeyBy::default()).trim(&Trim {
        fraction: 0.0,
        nodes_max: 3,
    });
    let columns = serde_json::to_value(flame::single(&flame, "ns", Vec::new())).expect("JSON");
    assert_eq!(columns["total"], 165);
    assert_eq!(columns["truncated"], columns["trimmed"]);
    assert!(columns["trimmed"].as_i64() > Some(0));
    let shown = Flame::build(&testing::ungrouped(), KeyBy::default());
    let largest_lost = shown.nodes[3..].iter().map(|node| node.cumulative).max();
    assert_eq!(columns["maxError"].as_i64(), largest_lost);
    let own: i64 = columns["self"]
        .as_array()
        .expect("list")
        .iter()
        .filter_map(serde_json::Value::as_i64)
        .sum();
    assert_eq!(own, 165, "what is trimmed is still counted");
    assert!(columns.get("warnings").is_none());
}

#[test]
fn comparisons_have_the_base_on_the_left() {
    let flame = Flame::compare(
        &testing::unmapped(),
        &testing::ungrouped(),
        KeyBy::default(),
    );
    let columns = serde_json::to_value(flame::compared(&flame, "short", Vec::new())).expect("JSON");
    assert_eq!(
        (&columns["total"], &columns["totalRight"]),
        (&7.into(), &165.into())
    );
    assert_eq!(columns["value"][0], 7);
    assert_eq!(columns["valueRight"][0], 165);
}

#[test]
fn series_share_one_axis_of_seconds() {
    let point = |value| Point {
        value,
        profiles: 1,
        ..Point::default()
    };
    let labels = |pod| Labels::from_pairs([("pod", pod)]).expect("valid");
    let second = 1_000_000_000;
    let series = Series(BTreeMap::from([
        (
            labels("a"),
            BTreeMap::from([(second, point(1)), (3 * second, point(3))]),
        ),
        (labels("b"), BTreeMap::from([(2 * second, point(2))])),
    ]));
    let reply = Reply {
        value: series,
        warnings: Vec::new(),
    };
    let expected = SeriesColumns {
        ts: vec![1.0, 2.0, 3.0],
        labels: vec![r#"{pod="a"}"#.to_owned(), r#"{pod="b"}"#.to_owned()],
        series: vec![vec![Some(1), None, Some(3)], vec![None, Some(2), None]],
        warnings: Vec::new(),
    };
    assert_eq!(columns(&cpu(), second, &reply), expected);
}

#[test]
fn steps_are_seconds_or_a_300th_of_the_range() {
    let range = TimeRange {
        start: 0,
        end: 3600 * NANOS_PER_SECOND,
    };
    let step = |query: &str| step(&Params::parse(query), range);
    assert_eq!(step("").expect("default"), 12 * NANOS_PER_SECOND);
    assert_eq!(step("step=15").expect("valid"), 15 * NANOS_PER_SECOND);
    assert!(step("step=0").is_err());
    assert!(step("step=x").is_err());
}
