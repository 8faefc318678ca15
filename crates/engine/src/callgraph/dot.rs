//! The graph of calls as text that Graphviz draws.

use std::fmt::Write;

use super::{Call, Callgraph, Edge};
use crate::flame::Flame;

/// How red a box is: from white, for a call that costs nothing itself, to this.
const SATURATION_MAX: f64 = 0.6;
/// Width of the line of a call that everything goes through.
const WIDTH_MAX: f64 = 6.0;
const TEXT: &str = "writing to a string succeeds";

/// `graph` must be of this `flame`. `unit` is that of its values.
pub fn dot(flame: &Flame, graph: &Callgraph, unit: &str) -> String {
    let total = flame.nodes.first().map_or(0, |root| root.cumulative);
    let printer = Printer { flame, unit, total };
    let mut out = String::from("digraph \"calls\" {\n");
    writeln!(
        out,
        "  graph [label=\"{} in all\" labelloc=t]\n  node [shape=box style=\"rounded,filled\"]",
        printer.quantity(total)
    )
    .expect(TEXT);
    for (at, call) in graph.calls.iter().enumerate() {
        printer.call(&mut out, at, call);
    }
    for edge in &graph.edges {
        printer.edge(&mut out, edge);
    }
    out.push_str("}\n");
    out
}

struct Printer<'a> {
    flame: &'a Flame,
    unit: &'a str,
    total: i64,
}

impl Printer<'_> {
    fn call(&self, out: &mut String, at: usize, call: &Call) {
        let name = self.name(call);
        let part = self.part(call.flat).abs().min(1.0);
        let mut label = format!("{name}\\n{}", self.share(call.flat));
        if call.cumulative != call.flat {
            write!(label, "\\nof {}", self.share(call.cumulative)).expect(TEXT);
        }
        writeln!(
            out,
            "  call{at} [label=\"{label}\" fillcolor=\"0.0 {:.2} 1.0\"]",
            part * SATURATION_MAX
        )
        .expect(TEXT);
    }

    fn edge(&self, out: &mut String, edge: &Edge) {
        let part = self.part(edge.value).abs().min(1.0);
        // Calls that are left out lie between the two.
        let style = if edge.collapsed { "dashed" } else { "solid" };
        writeln!(
            out,
            "  call{} -> call{} [label=\"{}\" style={style} penwidth={:.2}]",
            edge.caller,
            edge.callee,
            self.quantity(edge.value),
            (part * WIDTH_MAX).max(0.5),
        )
        .expect(TEXT);
    }

    fn name(&self, call: &Call) -> String {
        let name = self.flame.name(&self.flame.nodes[call.node as usize]);
        let mut out = String::with_capacity(name.len());
        for c in name.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                c if c.is_control() => out.push(' '),
                c => out.push(c),
            }
        }
        out
    }

    fn part(&self, value: i64) -> f64 {
        match self.total {
            0 => 0.0,
            total => value as f64 / total as f64,
        }
    }

    /// A quantity and how much of everything it is.
    fn share(&self, value: i64) -> String {
        let percent = self.part(value) * 100.0;
        format!("{} ({percent:.2}%)", self.quantity(value))
    }

    fn quantity(&self, value: i64) -> String {
        match self.unit {
            "nanoseconds" => scaled(value, 1000.0, &["ns", "us", "ms", "s"]),
            "bytes" => scaled(value, 1024.0, &["B", "kB", "MB", "GB", "TB"]),
            _ => value.to_string(),
        }
    }
}

/// The value in the largest unit of which there is at least one.
fn scaled(value: i64, step: f64, units: &[&str]) -> String {
    let mut scaled = value as f64;
    let mut units = units.iter().peekable();
    let mut unit = units.next().copied().unwrap_or_default();
    let mut whole = true;
    while let Some(next) = units.next_if(|_| scaled.abs() >= step) {
        scaled /= step;
        unit = next;
        whole = false;
    }
    match whole {
        true => format!("{value}{unit}"),
        false => format!("{scaled:.2}{unit}"),
    }
}
