//! A flame graph as levels of bars, as Pyroscope's clients draw it.

use std::collections::HashMap;

use cairn_engine::{Flame, Kind, Node};
use serde::Serialize;

/// What Pyroscope calls the calls that are not shown one by one.
pub(crate) const OTHER: &str = "other";

/// Per level, groups of four: where the bar begins, counted from the end of the bar before it;
/// total; self; name. In a comparison groups of seven: the first three of the left, of the right,
/// and the name.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Flamebearer {
    pub(crate) names: Vec<String>,
    pub(crate) levels: Vec<Vec<i64>>,
    pub(crate) num_ticks: i64,
    pub(crate) max_self: i64,
}

/// Total and self of a node, on one side.
type Side = fn(&Node) -> (i64, i64);

impl Flamebearer {
    pub(crate) fn of(flame: &Flame) -> Self {
        Self::laid(flame, [|node| (node.cumulative, node.flat)])
    }

    /// The base is on the left.
    pub(crate) fn compared(flame: &Flame) -> Self {
        let left: Side = |node| (node.base_cumulative, node.base_flat);
        Self::laid(flame, [left, |node| (node.cumulative, node.flat)])
    }

    fn laid<const N: usize>(flame: &Flame, sides: [Side; N]) -> Self {
        let mut out = Self::default();
        let mut ids: HashMap<String, i64> = HashMap::new();
        // End of the last bar per level; where the next child begins, per node.
        let mut ends: Vec<[i64; N]> = Vec::new();
        let mut next = vec![[0i64; N]; flame.nodes.len()];
        for (at, (node, depth)) in flame.nodes.iter().zip(flame.depths()).enumerate() {
            let depth = depth as usize;
            if out.levels.len() == depth {
                out.levels.push(Vec::new());
                ends.push([0; N]);
            }
            for (side, of) in sides.iter().enumerate() {
                let (total, own) = of(node);
                let start = match node.kind {
                    Kind::Root => 0,
                    _ => {
                        let parent = &mut next[node.parent as usize][side];
                        let start = *parent;
                        *parent = start.saturating_add(total);
                        start
                    }
                };
                next[at][side] = start;
                let offset = start.saturating_sub(ends[depth][side]);
                out.levels[depth].extend([offset, total, own]);
                ends[depth][side] = start.saturating_add(total);
                out.max_self = out.max_self.max(own);
            }
            let name = name(flame, node);
            let names = &mut out.names;
            let id = *ids.entry(name).or_insert_with_key(|name| {
                names.push(name.clone());
                names.len() as i64 - 1
            });
            out.levels[depth].push(id);
        }
        let totals = flame.nodes.first().map(|root| sides.map(|of| of(root).0));
        let totals = totals.into_iter().flatten();
        out.num_ticks = totals.fold(0, i64::saturating_add);
        out
    }
}

/// What Pyroscope calls a node.
pub(crate) fn name(flame: &Flame, node: &Node) -> String {
    match node.kind {
        Kind::Trimmed => OTHER.to_owned(),
        _ => flame.name(node).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use cairn_engine::KeyBy;

    use super::*;
    use crate::testing;

    #[test]
    fn comparisons_hold_both_sides_with_an_offset_each() {
        let mut left = testing::ungrouped();
        let right = left.clone();
        left.values.retain(|value| value.value > 20);
        let flame = Flame::compare(&left, &right, KeyBy::default());
        let found = Flamebearer::compared(&flame);
        assert_eq!(found.names[0], "total");
        assert_eq!(found.levels[0], [0, 140, 0, 0, 165, 0, 0]);
        assert_eq!((found.num_ticks, found.max_self), (140 + 165, 110));
        // Each side laid out alone says the same of its bars.
        for (side, alone) in [(0, &left), (3, &right)] {
            let alone = Flamebearer::of(&Flame::build(alone, KeyBy::default()));
            let bars =
                |of: &Flamebearer, width: usize, at: usize| -> Vec<(i64, i64, i64, String)> {
                    let mut bars = Vec::new();
                    for level in &of.levels {
                        let mut end = 0;
                        for bar in level.chunks(width) {
                            let (total, own) = (bar[at + 1], bar[at + 2]);
                            let name = of.names[bar[width - 1] as usize].clone();
                            let start = end + bar[at];
                            end = start + total;
                            bars.extend((total != 0).then_some((start, total, own, name)));
                        }
                    }
                    bars.sort();
                    bars
                };
            assert_eq!(bars(&found, 7, side), bars(&alone, 4, 0));
        }
    }
}
