//! Parts of what there is: callers and callees of one function, lines of one file.

use std::collections::BTreeMap;

use cairn_engine::{
    Flame, Frame, GroupBy, Half, KeyBy, Names, folded, name, sandwich, source_lines,
};
use cairn_model::{Addressing, Ask, BuildId};
use cairn_trie::Partial;
use proptest::prelude::*;

use crate::model::{LOCATIONS, Made, rows};
use crate::reports::{one, stacks};
use crate::scan::many;

/// Calls, outermost first -> value.
type Folded = BTreeMap<Vec<String>, i64>;

fn paths(partial: &Partial) -> Folded {
    let flame = Flame::build(partial, KeyBy::default());
    let mut names: Vec<Vec<String>> = Vec::new();
    let mut out = Folded::new();
    for node in &flame.nodes {
        let mut path = names.get(node.parent as usize).cloned().unwrap_or_default();
        if !names.is_empty() {
            path.push(flame.name(node).into_owned());
        }
        out.insert(path.clone(), node.flat);
        names.push(path);
    }
    out.retain(|_, value| *value != 0);
    out
}

fn expected(all: &[Made], function: &str, half: Half) -> Folded {
    let mut out = Folded::new();
    for row in rows(all).iter().filter(|row| row.sample.is_some()) {
        let calls = row.calls();
        let Some(at) = calls.iter().position(|call| call == function) else {
            continue;
        };
        let part = match half {
            Half::Callers => &calls[..=at],
            Half::Callees => &calls[at..],
        };
        let sum = out.entry(part.to_vec()).or_default();
        *sum = i64::wrapping_add(*sum, row.value());
    }
    out.retain(|_, value| *value != 0);
    out
}

/// File and line of the calls of one location that have both, and whether it is the innermost.
fn lines_of(location: u32, build_id: &str) -> Vec<(i64, bool)> {
    let (file, _, calls) = LOCATIONS[location as usize];
    let wanted = build_id.is_empty() || file == build_id;
    let calls = calls.iter().enumerate().filter(|_| wanted);
    calls.map(|(at, (_, _, line))| (*line, at == 0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn halves_are_cut_at_the_outermost_call(
        all in many(),
        function in prop::sample::select(vec!["f", "g", "sys", "absent"]),
    ) {
        for half in [Half::Callers, Half::Callees] {
            let partial = stacks(&all, GroupBy::Nothing);
            let part = sandwich(&partial, function, half);
            prop_assert_eq!(paths(&part), expected(&all, function, half));
        }
    }

    #[test]
    fn lines_count_once_per_stack(
        all in many(),
        build_id in prop::sample::select(vec!["", "app", "lib"]),
    ) {
        // All functions of the model are of one file once its empty name is made one.
        let partial = in_file(stacks(&all, GroupBy::Nothing));
        let mut expected: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for row in rows(&all).iter().filter(|row| row.sample.is_some()) {
            let mut seen = Vec::new();
            for (depth, location) in row.stack().iter().enumerate() {
                for (line, is_innermost) in lines_of(*location, build_id) {
                    let (cumulative, flat) = expected.entry(line).or_default();
                    if !seen.contains(&line) {
                        seen.push(line);
                        *cumulative = cumulative.wrapping_add(row.value());
                    }
                    if depth == 0 && is_innermost {
                        *flat = flat.wrapping_add(row.value());
                    }
                }
            }
        }
        expected.retain(|_, values| *values != (0, 0));
        let got: BTreeMap<i64, (i64, i64)> = source_lines(&partial, build_id, "src/app.c")
            .iter()
            .map(|line| (line.line, (line.cumulative, line.flat)))
            .collect();
        prop_assert_eq!(got, expected);
        prop_assert!(source_lines(&partial, build_id, "pp.c").is_empty());
        prop_assert!(source_lines(&partial, build_id, "").is_empty());
    }

    #[test]
    fn inverted_comparisons_hold_both_sides(a in many(), b in many()) {
        let (base, compare) = (stacks(&a, GroupBy::SampleLabels), stacks(&b, GroupBy::Nothing));
        let flame = Flame::compare_inverted(&base, &compare, KeyBy::default());
        let alone = |partial: &Partial| {
            let summed = Flame::compare(&Partial::default(), partial, KeyBy::default());
            summed.nodes[0].cumulative
        };
        let root = &flame.nodes[0];
        prop_assert_eq!((root.base_cumulative, root.cumulative), (alone(&base), alone(&compare)));
        let one_side = Flame::inverted(&compare, KeyBy::default());
        let sums = |flame: &Flame| {
            let mut sums: BTreeMap<Vec<String>, i64> = BTreeMap::new();
            let mut names: Vec<Vec<String>> = Vec::new();
            for node in &flame.nodes {
                let mut path = names.get(node.parent as usize).cloned().unwrap_or_default();
                path.push(flame.name(node).into_owned());
                sums.insert(path.clone(), node.cumulative);
                names.push(path);
            }
            sums.retain(|_, value| *value != 0);
            sums
        };
        prop_assert_eq!(sums(&flame), sums(&one_side));
    }
}

/// The same with all functions in one file.
fn in_file(mut partial: Partial) -> Partial {
    let file = partial.symbols.strings.push("/home/build/src/app.c");
    for function in &mut partial.symbols.functions {
        function.file = file;
    }
    partial
}

#[test]
fn inlined_calls_of_one_location_are_cut_apart() {
    let mut names = Names::default();
    let app = BuildId::parse("app").expect("valid");
    let frames = ["inner", "middle", "outer"].map(|name| Frame {
        name,
        ..Frame::default()
    });
    names.insert((&app, Ask::Addresses(Addressing::Virtual)), 0x40, &frames);
    let partial = name(stacks(&[one(vec![1, 3, 0])], GroupBy::Nothing), &names);
    let text = |half| {
        let part = sandwich(&partial, "middle", half);
        folded(&Flame::build(&part, KeyBy::default()))
    };
    assert_eq!(text(Half::Callers), "f;outer;middle 1\n");
    assert_eq!(text(Half::Callees), "middle;inner;f 1\n");
}
