//! Call trees as clients read them out of answers, in one form.

use std::collections::BTreeMap;

use cairn_model::{Limits, Profile};
use cairn_wire::querier::v1::{FlameGraph, Level};

/// Total and self per path of calls, outermost first.
pub(crate) type Nodes = BTreeMap<String, (i64, i64)>;

fn add(nodes: &mut Nodes, calls: &[String], value: i64) {
    for depth in 1..=calls.len() {
        let node = nodes.entry(calls[..depth].join(";")).or_default();
        node.0 += value;
        if depth == calls.len() {
            node.1 += value;
        }
    }
}

pub(crate) fn nodes_of_profile(bytes: &[u8]) -> Nodes {
    let options = cairn_pprof::Options::default();
    let profile = cairn_pprof::decode(bytes, &Limits::default(), &options)
        .unwrap()
        .profile;
    let mut nodes = Nodes::new();
    for sample in 0..profile.samples.len() {
        add(
            &mut nodes,
            &calls(&profile, sample),
            profile.values(sample)[0],
        );
    }
    nodes
}

fn calls(profile: &Profile, sample: usize) -> Vec<String> {
    let tables = &profile.tables;
    let mut calls = Vec::new();
    for location in profile.stack(sample).iter().rev() {
        for line in profile.lines(*location).iter().rev() {
            let name = tables.functions[line.function as usize].name;
            calls.push(tables.strings.get(name).to_owned());
        }
        if profile.lines(*location).is_empty() {
            let address = tables.locations[*location as usize].address;
            calls.push(format!("cart+{address:#x}"));
        }
    }
    calls
}

/// One side of bars of `width` numbers; its numbers begin at `at`.
pub(crate) fn nodes_of_levels(
    names: &[String],
    levels: &[Level],
    width: usize,
    at: usize,
) -> Nodes {
    let mut nodes = Nodes::new();
    let mut above: Vec<(i64, i64, String)> = Vec::new();
    for (depth, level) in levels.iter().enumerate() {
        let mut here = Vec::new();
        let mut end = 0;
        for bar in level.values.chunks(width) {
            let (start, total) = (end + bar[at], bar[at + 1]);
            end = start + total;
            let name = names[bar[width - 1] as usize].as_str();
            if total == 0 {
                continue;
            }
            let parent = above.iter().find(|(s, e, _)| *s <= start && end <= *e);
            let path = match (depth, parent) {
                (0, _) => String::new(),
                (_, Some((_, _, path))) if path.is_empty() => name.to_owned(),
                (_, Some((_, _, path))) => format!("{path};{name}"),
                (_, None) => panic!("{name} lies below nothing"),
            };
            if depth > 0 {
                nodes.insert(path.clone(), (total, bar[at + 2]));
            }
            here.push((start, end, path));
        }
        above = here;
    }
    nodes
}

pub(crate) fn nodes_of_flame_graph(graph: &FlameGraph) -> Nodes {
    nodes_of_levels(&graph.names, &graph.levels, 4, 0)
}

pub(crate) fn nodes_of_tree(mut bytes: &[u8]) -> Nodes {
    let mut nodes = Nodes::new();
    let mut open: Vec<(Vec<String>, u64)> = Vec::new();
    let number = |bytes: &mut &[u8]| prost::encoding::decode_varint(bytes).unwrap();
    while !bytes.is_empty() {
        let (name, rest) = {
            let length = number(&mut bytes) as usize;
            bytes.split_at(length)
        };
        bytes = rest;
        let name = String::from_utf8(name.to_vec()).unwrap();
        let (own, children) = (number(&mut bytes) as i64, number(&mut bytes));
        while open.pop_if(|(_, left)| *left == 0).is_some() {}
        let path = match open.last_mut() {
            None => Vec::new(),
            Some((path, left)) => {
                *left -= 1;
                [path.as_slice(), &[name]].concat()
            }
        };
        if own != 0 {
            add(&mut nodes, &path, own);
        }
        open.push((path, children));
    }
    nodes
}
