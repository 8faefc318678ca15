//! What people see: flame graphs, tables, downloads, names.

use std::collections::{BTreeMap, BTreeSet};

use cairn_block::{Head, Origin};
use cairn_engine::{
    Answer, Flame, Frame, GroupBy, KeyBy, Kind, Meta, Names, Node, Question, Source, Trim, folded,
    name, profile, scan_head, top, unnamed,
};
use cairn_model::{Addressing, Ask, BuildId, Labels};
use cairn_trie::Partial;
use proptest::prelude::*;

use crate::model::{Made, Row, made, profile_type, rows, sums};
use crate::scan::{answer, many, query};

pub(crate) fn stacks(all: &[Made], by: GroupBy) -> Partial {
    match answer(all, &query(Question::Stacks(by))).answer {
        Answer::Stacks(partial) => partial,
        _ => panic!("not stacks"),
    }
}

/// Path of names, outermost first -> cumulative and flat value.
type Paths = BTreeMap<Vec<String>, (i64, i64)>;

fn paths(flame: &Flame) -> Paths {
    let mut names: Vec<Vec<String>> = Vec::new();
    let mut out = Paths::new();
    for (at, node) in flame.nodes.iter().enumerate() {
        let mut path = match at {
            0 => Vec::new(),
            _ => names[node.parent as usize].clone(),
        };
        if at > 0 {
            path.push(flame.name(node).into_owned());
        }
        names.push(path.clone());
        let values = (node.cumulative, node.flat);
        assert_eq!(out.insert(path, values), None, "a path twice");
    }
    out
}

/// All that can be seen of a flame graph, whatever its tables are like.
fn drawn(flame: &Flame) -> impl PartialEq + std::fmt::Debug + use<> {
    let node = |node: &Node| {
        let mapping = flame.symbols.mappings.get(node.mapping as usize);
        let mapping =
            mapping.map(|row| [row.file, row.build_id].map(|id| flame.symbols.str(id).to_owned()));
        let plain = Node {
            key: 0,
            mapping: 0,
            kind: Kind::Root,
            ..*node
        };
        (flame.name(node).into_owned(), mapping, plain)
    };
    let nodes: Vec<_> = flame.nodes.iter().map(node).collect();
    (nodes, flame.groups.clone(), flame.trimmed, flame.max_error)
}

fn expected_paths(rows: &[Row], label: Option<&str>) -> Paths {
    let mut out = Paths::from([(Vec::new(), (0, 0))]);
    for row in rows.iter().filter(|row| row.sample.is_some()) {
        let mut path = Vec::new();
        if let Some(label) = label {
            let by = GroupBy::Labels(vec![label.to_owned()]);
            let pairs = row.group(&by).0.into_iter();
            let pairs = pairs.map(|(key, value)| format!("{key}={}", crate::model::text(&value)));
            let pairs: Vec<String> = pairs.collect();
            path.extend((!pairs.is_empty()).then(|| pairs.join(", ")));
        }
        path.extend(row.calls());
        for len in 0..=path.len() {
            let (cumulative, flat) = out.entry(path[..len].to_vec()).or_default();
            *cumulative = cumulative.wrapping_add(row.value());
            if len == path.len() {
                *flat = flat.wrapping_add(row.value());
            }
        }
    }
    out
}

/// Stacks whose sum is zero are not there to be seen.
fn without_zeros(mut paths: Paths) -> Paths {
    paths.retain(|_, values| *values != (0, 0));
    paths
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn flame_graphs_add_up_like_rows(all in many(), label in prop::option::of(prop::sample::select(vec!["thread", "size", "c"]))) {
        let by = label.map_or(GroupBy::Nothing, |label| GroupBy::Labels(vec![label.to_owned()]));
        let flame = Flame::build(&stacks(&all, by), KeyBy::default());
        prop_assert_eq!(without_zeros(paths(&flame)), without_zeros(expected_paths(&rows(&all), label)));
        for (at, node) in flame.nodes.iter().enumerate().skip(1) {
            prop_assert!((node.parent as usize) < at);
        }
    }

    #[test]
    fn inverted_flame_graphs_keep_the_total(all in many()) {
        let partial = stacks(&all, GroupBy::Nothing);
        let flame = Flame::inverted(&partial, KeyBy::default());
        prop_assert_eq!(flame.nodes[0].cumulative, partial.total());
        let mut expected = BTreeMap::new();
        for row in rows(&all).iter().filter(|row| row.sample.is_some()) {
            let leaf = row.calls().pop();
            let sum: &mut i64 = expected.entry(leaf).or_default();
            *sum = sum.wrapping_add(row.value());
        }
        for node in flame.nodes.iter().skip(1).filter(|node| node.parent == 0) {
            let name = Some(flame.name(node).into_owned());
            prop_assert_eq!(Some(&node.cumulative), expected.get(&name));
        }
    }

    #[test]
    fn comparisons_hold_both_sides(a in many(), b in many()) {
        let (base, compare) = (stacks(&a, GroupBy::Nothing), stacks(&b, GroupBy::SampleLabels));
        let flame = Flame::compare(&base, &compare, KeyBy::default());
        let (root, nodes) = (&flame.nodes[0], &flame.nodes);
        prop_assert_eq!((root.base_cumulative, root.cumulative), (base.total(), compare.total()));
        let flat = nodes.iter().fold((0i64, 0i64), |(base, value), node| {
            (base.wrapping_add(node.base_flat), value.wrapping_add(node.flat))
        });
        prop_assert_eq!(flat, (base.total(), compare.total()));
    }

    #[test]
    fn keys_keep_apart_only_what_they_name(all in many()) {
        let partial = stacks(&all, GroupBy::Nothing);
        let plain = Flame::build(&partial, KeyBy::default());
        let fine = Flame::build(&partial, KeyBy { file: true, address: true, mapping: true });
        prop_assert!(fine.nodes.len() >= plain.nodes.len());
        prop_assert_eq!(fine.nodes[0].cumulative, plain.nodes[0].cumulative);
        for node in fine.nodes.iter().filter(|node| node.kind == Kind::Unnamed) {
            prop_assert_ne!(node.address, 0);
        }
    }

    #[test]
    fn trimming_to_a_number_of_nodes_conserves_totals(all in many(), nodes_max in 0usize..8) {
        let whole = Flame::build(&stacks(&all, GroupBy::Nothing), KeyBy::default());
        let trimmed = whole.clone().trim(&Trim { fraction: 0.0, nodes_max });
        let total = |flame: &Flame| flame.nodes.iter().fold(0i64, |sum, node| sum.wrapping_add(node.flat));
        prop_assert_eq!(total(&trimmed), total(&whole));
        let kept: Vec<_> = trimmed.nodes.iter().filter(|node| node.kind != Kind::Trimmed).collect();
        prop_assert_eq!(kept.len(), whole.nodes.len().min(nodes_max.max(1)));
        let (all, shown) = (paths(&whole), paths(&trimmed));
        for (path, values) in &shown {
            prop_assert!(path.last().is_some_and(|name| name == "(trimmed)") || all[path] == *values);
        }
        // Values below zero may make a call smaller than what it calls.
        let hidden = all.iter().filter(|(path, _)| !shown.contains_key(*path));
        let largest = hidden.map(|(_, (cumulative, _))| cumulative.unsigned_abs()).max();
        prop_assert_eq!(trimmed.max_error, largest.unwrap_or(0));
    }

    #[test]
    fn trimming_by_fraction_keeps_what_is_larger_than_its_part_of_the_parent(all in many(), percent in 0u32..90) {
        let whole = Flame::build(&stacks(&all, GroupBy::Nothing), KeyBy::default());
        let fraction = f64::from(percent) / 100.0;
        let trimmed = whole.clone().trim(&Trim { fraction, nodes_max: usize::MAX });
        let mut kept = vec![true; whole.nodes.len()];
        let mut lost = 0i64;
        for (at, node) in whole.nodes.iter().enumerate().skip(1) {
            let parent = whole.nodes[node.parent as usize].cumulative as f64 * fraction;
            let survives = percent == 0 || node.cumulative > parent as i64;
            kept[at] = kept[node.parent as usize] && survives;
            if kept[node.parent as usize] && !survives {
                lost = lost.wrapping_add(node.cumulative);
            }
        }
        prop_assert_eq!(trimmed.nodes.len(), kept.iter().filter(|kept| **kept).count());
        prop_assert_eq!(trimmed.trimmed, lost);
    }

    #[test]
    fn what_is_trimmed_while_it_grows_is_what_is_trimmed_when_it_is_whole(
        (a, b) in (many(), many()),
        (nodes_max, percent) in (0usize..12, 0u32..60),
        is_positive in prop::bool::weighted(0.9),
    ) {
        let trim = Trim { fraction: f64::from(percent) / 100.0, nodes_max };
        let made = |all: &[Made]| {
            let mut partial = stacks(all, GroupBy::Nothing);
            for value in partial.values.iter_mut().filter(|_| is_positive) {
                value.value = value.value.saturating_abs() >> 8 | 1;
            }
            partial
        };
        let (a, b) = (made(&a), made(&b));
        let key_by = KeyBy::default();
        let whole = Flame::build(&a, key_by).trim(&trim);
        prop_assert_eq!(drawn(&Flame::trimmed(&a, key_by, &trim)), drawn(&whole));
        let whole = Flame::compare(&a, &b, key_by).trim(&trim);
        prop_assert_eq!(drawn(&Flame::compare_trimmed(&a, &b, key_by, &trim)), drawn(&whole));
    }

    #[test]
    fn the_table_counts_recursion_once(all in many()) {
        let flame = Flame::build(&stacks(&all, GroupBy::Nothing), KeyBy::default());
        let mut expected: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for row in rows(&all).iter().filter(|row| row.sample.is_some()) {
            let calls = row.calls();
            for call in calls.iter().collect::<BTreeSet<_>>() {
                let (cumulative, flat) = expected.entry(call.clone()).or_default();
                *cumulative = cumulative.wrapping_add(row.value());
                if calls.last() == Some(call) {
                    *flat = flat.wrapping_add(row.value());
                }
            }
        }
        let rows = top(&flame);
        let mut got = BTreeMap::new();
        for (at, row) in rows.iter().enumerate() {
            let name = flame.name(&flame.nodes[row.node as usize]).into_owned();
            prop_assert_eq!(got.insert(name, (row.cumulative, row.flat)), None);
            for callee in &row.callees {
                prop_assert!(rows[*callee as usize].callers.contains(&(at as u32)));
            }
        }
        got.retain(|_, values| *values != (0, 0));
        expected.retain(|_, values| *values != (0, 0));
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn downloads_read_back_as_the_same_rows(all in prop::collection::vec(made(), 1..4)) {
        let partial = stacks(&all, GroupBy::SampleLabels);
        let meta = Meta { profile_type: profile_type(&all[0], 0), time: 1, duration: 2, period: 3 };
        let download = profile(&partial, &meta);
        let mut head = Head::default();
        let origin = Origin { name: "cpu".into(), labels: Labels::default(), time: 1, lsn: 1, batch: 0 };
        head.append(&download, &origin).expect("room");
        let again = scan_head(&head, 0, &query(Question::Stacks(GroupBy::SampleLabels)), Source::ALONE);
        let Answer::Stacks(again) = again.answer else { panic!("not stacks") };
        prop_assert_eq!(sums(&again), sums(&partial));
        prop_assert_eq!((download.time, download.duration, download.period), (1, 2, 3));
    }

    #[test]
    fn naming_changes_names_only(all in many()) {
        let partial = stacks(&all, GroupBy::SampleLabels);
        let mut names = Names::default();
        for wanted in unnamed(&partial) {
            prop_assert!(wanted.addresses.is_sorted());
            for address in &wanted.addresses {
                let frame = |name, line| Frame { name, line, ..Frame::default() };
                let frames = [frame("inner", 1), frame("outer", 2)];
                names.insert((&wanted.build_id, wanted.ask), *address, &frames);
            }
        }
        let named = name(partial.clone(), &names);
        prop_assert_eq!((&named.trie, &named.values, &named.groups), (&partial.trie, &partial.values, &partial.groups));
        prop_assert!(unnamed(&named).is_empty());
        let flame = Flame::build(&named, KeyBy::default());
        for node in &flame.nodes {
            match &*flame.name(node) {
                "inner" => {
                    prop_assert_eq!(flame.name(&flame.nodes[node.parent as usize]), "outer");
                    prop_assert!(node.inlined);
                }
                "outer" => prop_assert!(!node.inlined),
                other => prop_assert!(!other.starts_with("lib") && !other.starts_with("app"), "{}", other),
            }
        }
    }
}

/// A profile of one sample.
pub(crate) fn one(stack: Vec<u32>) -> Made {
    Made {
        labels: Vec::new(),
        name: "cpu",
        time: 0,
        duration: 0,
        period: 0,
        types: 1,
        samples: vec![crate::model::MadeSample {
            stack,
            values: [1, 0],
            attrs: Vec::new(),
            taken: None,
            link: None,
        }],
    }
}

#[test]
fn names_are_found_by_binary_and_kind_of_address() {
    let partial = stacks(&[one(vec![4, 3, 0, 7])], GroupBy::Nothing);
    let wanted = unnamed(&partial);
    let asked: Vec<_> = wanted
        .iter()
        .map(|w| (w.build_id.as_str(), w.addresses.as_slice()))
        .collect();
    assert_eq!(asked, [("app", &[0x40][..]), ("lib", &[0x40][..])]);
    let mut names = Names::default();
    let lib = BuildId::parse("lib").expect("valid");
    let frame = Frame {
        name: "read",
        ..Frame::default()
    };
    names.insert((&lib, Ask::Addresses(Addressing::Virtual)), 0x40, &[frame]);
    let app = BuildId::parse("app").expect("valid");
    names.insert(
        (&app, Ask::Addresses(Addressing::FileOffset)),
        0x40,
        &[frame],
    );
    let flame = Flame::build(&name(partial, &names), KeyBy::default());
    assert_eq!(folded(&flame), "0x7;f;app+0x40;read 1\n");
}

#[test]
fn separators_in_names_do_not_break_lines() {
    let mut names = Names::default();
    let app = BuildId::parse("app").expect("valid");
    let frame = Frame {
        name: "a;b\nc",
        ..Frame::default()
    };
    names.insert((&app, Ask::Addresses(Addressing::Virtual)), 0x40, &[frame]);
    let flame = Flame::build(
        &name(stacks(&[one(vec![3])], GroupBy::Nothing), &names),
        KeyBy::default(),
    );
    assert_eq!(folded(&flame), "a b c 1\n");
}

#[test]
fn a_call_without_a_name_keeps_its_place() {
    let all = [one(vec![0, 6]), one(vec![0])];
    let flame = Flame::build(&stacks(&all, GroupBy::Nothing), KeyBy::default());
    let text = folded(&flame);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [";f 1", "f 1"]);
}
