use cairn_model::{Function, Line, Location, NONE};
use cairn_trie::{Symbols, TrieBuilder, Value};

use super::*;

/// Stack, time, value.
type Sampled = (&'static str, i64, i64);

/// Grouped by time, and by a label where a stack begins with `label/`.
fn partial(samples: &[Sampled]) -> Partial {
    let mut symbols = Symbols::default();
    let mut trie = TrieBuilder::default();
    let mut names: Vec<&str> = Vec::new();
    let (mut groups, mut values) = (vec![Group::default()], Vec::new());
    for (text, time, value) in samples {
        let (label, stack) = text.split_once('/').unwrap_or(("", text));
        let mut node = 0;
        for name in stack.split(';') {
            let known = names.iter().position(|known| *known == name);
            let location = known.unwrap_or_else(|| {
                names.push(name);
                let name = symbols.strings.push(name);
                symbols.functions.push(Function {
                    name,
                    ..Function::default()
                });
                let line = symbols.lines.len() as u32;
                symbols.lines.push(Line {
                    function: symbols.functions.len() as u32 - 1,
                    ..Line::default()
                });
                symbols.locations.push(Location {
                    mapping: NONE,
                    address: 0,
                    lines: (line, line + 1),
                });
                names.len() - 1
            });
            node = trie.child(node, location as u32);
        }
        let at = GroupValue::Num {
            value: *time,
            unit: "nanoseconds".into(),
        };
        let mut pairs = vec![(TIME_LABEL.into(), at)];
        if !label.is_empty() {
            pairs.push(("pod".into(), GroupValue::Str(label.into())));
        }
        let group = Group(pairs);
        let known = groups.iter().position(|known| *known == group);
        let group = known.unwrap_or_else(|| {
            groups.push(group);
            groups.len() - 1
        });
        values.push(Value {
            node,
            group: group as u32,
            value: *value,
        });
    }
    Partial {
        symbols,
        trie: trie.into_trie(),
        groups,
        values,
    }
}

/// Nodes as they stand: depth, name, time, cumulative, flat.
fn charted(samples: &[Sampled], jitter: i64) -> Result<Vec<String>, NoChart> {
    let pace = Pace { unit: 1, jitter };
    let flame = Flame::chart(&partial(samples), (KeyBy::default(), false), pace)?;
    let depths = flame.depths();
    let nodes = flame.nodes.iter().zip(depths);
    let shown = nodes.map(|(node, depth)| {
        let name = flame.name(node);
        let (time, cumulative, flat) = (node.time, node.cumulative, node.flat);
        format!("{depth} {name} @{time} {cumulative} {flat}")
    });
    Ok(shown.collect())
}

#[test]
fn calls_go_on_as_long_as_every_sample_shows_them() {
    let samples = [
        ("main;work;read", 120, 10),
        ("main;work", 100, 10),
        ("main;work", 110, 10),
        ("idle", 130, 10),
        ("main;work", 140, 10),
    ];
    assert_eq!(
        charted(&samples, 0).expect("a chart"),
        [
            "0 total @0 50 0",
            "1 main @100 30 0",
            "2 work @100 30 20",
            "3 read @120 10 10",
            "1 idle @130 10 10",
            "1 main @140 10 0",
            "2 work @140 10 10",
        ]
    );
}

#[test]
fn a_gap_larger_than_the_jitter_begins_anew_with_all_that_is_below() {
    let samples = [("a;b", 100, 50), ("a;b", 155, 50), ("a;b", 261, 50)];
    assert_eq!(
        charted(&samples, 5).expect("a chart"),
        [
            "0 total @0 150 0",
            "1 a @100 100 0",
            "2 b @100 100 100",
            "1 a @261 50 0",
            "2 b @261 50 50",
        ]
    );
}

#[test]
fn every_group_of_labels_has_a_chart_of_its_own() {
    let samples = [("y/a", 100, 10), ("x/a", 100, 10), ("x/a", 110, 10)];
    assert_eq!(
        charted(&samples, 0).expect("a chart"),
        [
            "0 total @0 30 0",
            "1 pod=x @0 20 0",
            "2 a @100 20 20",
            "1 pod=y @0 10 0",
            "2 a @100 10 10",
        ]
    );
}

#[test]
fn two_stacks_at_one_time_are_no_chart() {
    for other in ["a;c", "a", "d"] {
        let samples = [("a;b", 100, 10), (other, 100, 10)];
        assert_eq!(charted(&samples, 0), Err(NoChart::Overlap(100)), "{other}");
    }
}

#[test]
fn samples_of_more_calls_than_there_is_memory_for_are_refused() {
    let deep = vec!["call"; 1_000].join(";");
    let deep: &'static str = Box::leak(deep.into_boxed_str());
    let samples = |count: i64| (0..count).map(|at| (deep, at, 1)).collect::<Vec<_>>();
    assert_eq!(calls(&partial(&samples(3))), 3_000);
    let refused = charted(&samples(2_001), 0).expect_err("too many");
    assert_eq!(refused, NoChart::TooDeep(2_001_000));
    assert!(refused.to_string().contains("at most 2000000"), "{refused}");
}
