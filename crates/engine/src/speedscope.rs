//! Stacks as the JSON of <https://www.speedscope.app>.

use std::collections::HashMap;

use serde::Serialize;

use crate::flame::{Flame, Kind, Node};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

/// Those that it knows besides `none`.
const UNITS: [&str; 5] = [
    "nanoseconds",
    "microseconds",
    "milliseconds",
    "seconds",
    "bytes",
];

#[derive(Serialize)]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    name: &'a str,
    exporter: &'static str,
    shared: Shared,
    profiles: [Sampled<'a>; 1],
}

#[derive(Serialize)]
struct Shared {
    frames: Vec<Frame>,
}

#[derive(Serialize)]
struct Frame {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    file: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sampled<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    unit: &'static str,
    start_value: i64,
    end_value: i64,
    /// Positions of frames, outermost first.
    samples: Vec<Vec<u32>>,
    weights: Vec<i64>,
}

/// One sample per node with a value of its own. `unit` is that of the values.
pub fn speedscope(flame: &Flame, name: &str, unit: &str) -> Result<String, serde_json::Error> {
    let mut frames = Vec::new();
    let mut known: HashMap<u32, u32> = HashMap::new();
    let mut path: Vec<(u32, u32)> = Vec::new();
    let (mut samples, mut weights) = (Vec::new(), Vec::new());
    for (at, node) in flame.nodes.iter().enumerate().skip(1) {
        while path.pop_if(|(open, _)| *open != node.parent).is_some() {}
        let frame = *known.entry(node.key).or_insert_with(|| {
            frames.push(frame(flame, node));
            frames.len() as u32 - 1
        });
        path.push((at as u32, frame));
        if node.flat != 0 {
            samples.push(path.iter().map(|(_, frame)| *frame).collect());
            weights.push(node.flat);
        }
    }
    let profile = Sampled {
        kind: "sampled",
        name,
        unit: UNITS
            .iter()
            .find(|known| **known == unit)
            .unwrap_or(&"none"),
        start_value: 0,
        end_value: weights
            .iter()
            .fold(0i64, |sum, weight| sum.wrapping_add(*weight)),
        samples,
        weights,
    };
    serde_json::to_string(&File {
        schema: SCHEMA,
        name,
        exporter: "Cairn",
        shared: Shared { frames },
        profiles: [profile],
    })
}

fn frame(flame: &Flame, node: &Node) -> Frame {
    let symbols = &flame.symbols;
    let file = match node.kind {
        Kind::Function(function) => symbols.str(symbols.functions[function as usize].file),
        Kind::Root | Kind::Group(_) | Kind::Unnamed | Kind::Trimmed => "",
    };
    Frame {
        name: flame.name(node).into_owned(),
        file: file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use cairn_model::{Function, Line, NONE};
    use cairn_trie::{Interner, Partial, Trie, TrieBuilder, Value};

    use super::*;
    use crate::flame::KeyBy;

    #[test]
    fn stacks_are_samples_of_shared_frames() {
        let mut interner = Interner::default();
        let mut location = |name: &str, file: &str| {
            let function = Function {
                name: interner.str(name),
                file: interner.str(file),
                ..Function::default()
            };
            let line = Line {
                function: interner.function(function),
                ..Line::default()
            };
            interner.location(NONE, 0, &[line])
        };
        let (main, walk) = (location("main", "a.c"), location("walk", ""));
        let mut trie = TrieBuilder::default();
        let main = trie.child(Trie::ROOT, main);
        let once = trie.child(main, walk);
        let twice = trie.child(once, walk);
        let value = |(node, value)| Value {
            node,
            group: 0,
            value,
        };
        let partial = Partial {
            symbols: interner.into_symbols(),
            trie: trie.into_trie(),
            values: [(main, 2), (twice, 5)].map(value).to_vec(),
            ..Partial::default()
        };
        let flame = Flame::build(&partial, KeyBy::default());
        let text = speedscope(&flame, "cpu", "nanoseconds").expect("plain data");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let frames = serde_json::json!([{"name": "main", "file": "a.c"}, {"name": "walk"}]);
        assert_eq!(json["shared"]["frames"], frames);
        let profile = &json["profiles"][0];
        assert_eq!(profile["samples"], serde_json::json!([[0], [0, 1, 1]]));
        assert_eq!(profile["weights"], serde_json::json!([2, 5]));
        assert_eq!(
            (&profile["unit"], &profile["endValue"]),
            (&"nanoseconds".into(), &7.into())
        );
        let none = speedscope(&flame, "objects", "count").expect("plain data");
        assert!(none.contains(r#""unit":"none""#), "{none}");
    }
}
