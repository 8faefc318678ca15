//! Stacks as lines of text: `main;work;read 7`.

use std::fmt::Write;

use crate::flame::{Flame, Kind};

/// One line per node with a value of its own, outermost call first. Separators in names become
/// spaces.
pub fn folded(flame: &Flame) -> String {
    let mut out = String::new();
    let mut path: Vec<(u32, usize)> = Vec::new();
    let mut line = String::new();
    for (at, node) in flame.nodes.iter().enumerate() {
        while path.pop_if(|(open, _)| *open != node.parent).is_some() {}
        line.truncate(path.last().map_or(0, |(_, len)| *len));
        if node.kind != Kind::Root {
            // Not after the root, but after a call without a name.
            if path.len() > 1 {
                line.push(';');
            }
            let name = flame.name(node);
            line.extend(name.chars().map(|c| {
                if matches!(c, ';' | '\n' | '\r') {
                    ' '
                } else {
                    c
                }
            }));
        }
        path.push((at as u32, line.len()));
        if node.flat != 0 && node.kind != Kind::Root {
            writeln!(out, "{line} {}", node.flat).expect("writing to a string succeeds");
        }
    }
    out
}
