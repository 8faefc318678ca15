use super::*;
use crate::testing;
use cairn_engine::KeyBy;
use cairn_trie::{Interner, Partial, Trie, TrieBuilder, Value};
use prost::Message;

/// Every node as path of names, cumulative value and difference.
fn paths(graph: &Flamegraph) -> Vec<(String, i64, i64)> {
    let root = graph.root.as_ref().expect("a root");
    let mut out = vec![(String::new(), root.cumulative, root.diff)];
    let mut open: Vec<(String, &FlamegraphNode)> = Vec::new();
    open.extend(
        root.children
            .iter()
            .rev()
            .map(|child| (String::new(), child)),
    );
    while let Some((above, node)) = open.pop() {
        let path = format!(
            "{above}/{}",
            name(graph, node.meta.as_ref().expect("a place"))
        );
        let below = node.children.iter().rev();
        open.extend(below.map(|child| (path.clone(), child)));
        out.push((path, node.cumulative, node.diff));
    }
    out
}

/// The name of a call: in place, or by way of the tables.
fn name(graph: &Flamegraph, place: &FlamegraphNodeMeta) -> String {
    if place.location_index == 0 {
        let function = place.function.as_ref().expect("a function");
        return function.name.clone();
    }
    let text = |at: u32| graph.string_table[at as usize].as_str();
    let location = &graph.locations[place.location_index as usize - 1];
    let mapping = match location.mapping_index {
        0 => "",
        at => text(graph.mapping[at as usize - 1].file_string_index),
    };
    match location.lines.get(place.line_index as usize) {
        Some(line) => {
            let function = &graph.function[line.function_index as usize - 1];
            text(function.name_string_index).to_owned()
        }
        None => {
            let file = mapping.rsplit('/').next().unwrap_or_default();
            format!("{file}+{:#x}", location.address)
        }
    }
}

#[test]
fn both_forms_hold_every_node() {
    let mut base = testing::ungrouped();
    base.values.iter_mut().for_each(|value| value.value *= 2);
    let flame = Flame::compare(&base, &testing::ungrouped(), KeyBy::default());
    let diff = Diff::between(1, 1, true);
    let expected = [
        ("", 165),
        ("/main", 165),
        ("/main/walk", 160),
        ("/main/walk/walk", 50),
        ("/main/walk/walk/hash", 30),
        ("/main/lib.so+0x40", 5),
    ];
    let expected = expected.map(|(path, value)| (path.to_owned(), value, -value));
    for form in [Form::InPlace, Form::Tables] {
        let (graph, left_out) = report(&flame, "ns".to_owned(), &diff, form);
        assert_eq!(paths(&graph), expected);
        assert_eq!((graph.height, left_out, graph.trimmed), (5, 0, 0));
        assert_eq!(graph.string_table.is_empty(), form == Form::InPlace);
    }
    let (graph, _) = report(&flame, "ns".to_owned(), &Diff::None, Form::Tables);
    assert_eq!(graph.string_table[0], "");
    let walk = &graph.function[..];
    let files = walk
        .iter()
        .map(|f| &graph.string_table[f.filename_string_index as usize]);
    assert!(files.into_iter().all(|file| file == "/src/app.c"));
}

/// One stack of so many calls.
fn deep(calls: u32) -> Partial {
    let mut interner = Interner::default();
    let mut trie = TrieBuilder::default();
    let mut node = Trie::ROOT;
    for address in 0..calls {
        let location = interner.location(NONE, u64::from(address) + 1, &[]);
        node = trie.child(node, location);
    }
    Partial {
        symbols: interner.into_symbols(),
        trie: trie.into_trie(),
        values: vec![Value {
            node,
            group: 0,
            value: 7,
        }],
        ..Partial::default()
    }
}

#[test]
fn what_is_nested_too_deeply_is_left_out_and_counted() {
    let flame = |calls| Flame::build(&deep(calls), KeyBy::default());
    for form in [Form::InPlace, Form::Tables] {
        let of = |calls| report(&flame(calls), "ns".to_owned(), &Diff::None, form);
        let (graph, left_out) = of(DEPTH_MAX);
        assert_eq!((left_out, graph.trimmed), (0, 0));
        assert_eq!(graph.height, DEPTH_MAX as i32 + 1);
        let (graph, left_out) = of(5000);
        assert_eq!((left_out, graph.trimmed), (5000 - DEPTH_MAX as usize, 7));
        assert_eq!(graph.height, DEPTH_MAX as i32 + 1);
        // This decoder is one of those that stop at a hundred levels.
        let answer = cairn_wire::parca::query::v1alpha1::QueryResponse {
            report: Some(
                cairn_wire::parca::query::v1alpha1::query_response::Report::Flamegraph(graph),
            ),
            ..Default::default()
        };
        let bytes = answer.encode_to_vec();
        let again = cairn_wire::parca::query::v1alpha1::QueryResponse::decode(&bytes[..]);
        assert_eq!(again.expect("decodes"), answer);
    }
}
