//! Flame graphs as text: the table of functions, and the tree with bars.

use std::fmt::Write;

use cairn_engine::{Flame, Kind, Node, top as top_rows};

const BAR: usize = 20;
/// Calls below this share of the whole are left out of the tree.
const SHARE_MIN: f64 = 0.005;

/// The functions that cost most by themselves.
pub(super) fn top(flame: &Flame, unit: &str, limit: usize) -> String {
    let total = flame.nodes.first().map_or(0, |root| root.cumulative);
    let mut rows = top_rows(flame);
    rows.sort_by_key(|row| {
        (
            std::cmp::Reverse(row.flat),
            std::cmp::Reverse(row.cumulative),
        )
    });
    let mut out = format!("total {}\n", amount(total, unit));
    let _ = writeln!(
        out,
        "{:>12} {:>7} {:>12} {:>7}  function",
        "flat", "flat%", "cum", "cum%"
    );
    for row in rows.iter().take(limit) {
        let node = &flame.nodes[row.node as usize];
        let _ = writeln!(
            out,
            "{:>12} {:>6.2}% {:>12} {:>6.2}%  {}",
            amount(row.flat, unit),
            percent(row.flat, total),
            amount(row.cumulative, unit),
            percent(row.cumulative, total),
            name(flame, node)
        );
    }
    if rows.len() > limit {
        let _ = writeln!(
            out,
            "... {} more functions; --limit shows them",
            rows.len() - limit
        );
    }
    out
}

/// The call tree, largest calls first.
pub(super) fn tree(flame: &Flame, unit: &str) -> String {
    let total = flame.nodes.first().map_or(0, |root| root.cumulative);
    let mut depths = vec![0usize; flame.nodes.len()];
    let mut out = String::new();
    for (at, node) in flame.nodes.iter().enumerate() {
        depths[at] = if at == 0 {
            0
        } else {
            depths[node.parent as usize] + 1
        };
        let share = node.cumulative as f64 / total.max(1) as f64;
        if share < SHARE_MIN && at > 0 {
            continue;
        }
        let filled = (share * BAR as f64).round().clamp(0.0, BAR as f64) as usize;
        let _ = writeln!(
            out,
            "{:>6.2}% {:>12} {}{} {}{}",
            share * 100.0,
            amount(node.cumulative, unit),
            "█".repeat(filled),
            "·".repeat(BAR - filled),
            "  ".repeat(depths[at]),
            name(flame, node)
        );
    }
    out
}

fn name(flame: &Flame, node: &Node) -> String {
    match node.kind {
        Kind::Root => "total".to_owned(),
        Kind::Trimmed => "(trimmed)".to_owned(),
        Kind::Group(group) => format!("{:?}", flame.groups[group as usize].0),
        Kind::Function(function) => {
            let function = &flame.symbols.functions[function as usize];
            let named = [function.name, function.system_name].map(|id| flame.symbols.str(id));
            named
                .into_iter()
                .find(|text| !text.is_empty())
                .unwrap_or("(unnamed function)")
                .to_owned()
        }
        Kind::Unnamed => {
            let mapping = flame.symbols.mappings.get(node.mapping as usize);
            let file = mapping.map_or("?", |mapping| flame.symbols.str(mapping.file));
            format!(
                "{}+{:#x}",
                file.rsplit('/').next().unwrap_or(file),
                node.address
            )
        }
    }
}

fn percent(part: i64, total: i64) -> f64 {
    if total == 0 {
        0.0
    } else {
        part as f64 * 100.0 / total as f64
    }
}

/// A value in the largest unit that keeps it above one.
pub(super) fn amount(value: i64, unit: &str) -> String {
    let steps: &[(f64, &str)] = match unit {
        "nanoseconds" => &[
            (3.6e12, "h"),
            (6e10, "min"),
            (1e9, "s"),
            (1e6, "ms"),
            (1e3, "µs"),
            (1.0, "ns"),
        ],
        "bytes" => &[
            (1099511627776.0, "TiB"),
            (1073741824.0, "GiB"),
            (1048576.0, "MiB"),
            (1024.0, "KiB"),
            (1.0, "B"),
        ],
        _ => return value.to_string(),
    };
    let size = (value as f64).abs();
    let (factor, name) = steps
        .iter()
        .find(|(factor, _)| size >= *factor)
        .unwrap_or(&steps[steps.len() - 1]);
    format!("{:.2} {name}", value as f64 / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_readable() {
        assert_eq!(amount(1_500_000, "nanoseconds"), "1.50 ms");
        assert_eq!(amount(0, "nanoseconds"), "0.00 ns");
        assert_eq!(amount(-3 << 20, "bytes"), "-3.00 MiB");
        assert_eq!(amount(42, "count"), "42");
    }
}
