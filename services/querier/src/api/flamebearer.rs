//! A flame graph as levels of bars.

use std::collections::HashMap;

use cairn_engine::{Flame, Kind};
use serde::Serialize;

/// Per level, groups of four: where the bar begins, counted from the end of the bar before it;
/// total; self; name.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Flamebearer {
    pub(super) names: Vec<String>,
    pub(super) levels: Vec<Vec<i64>>,
    pub(super) num_ticks: i64,
    pub(super) max_self: i64,
}

impl Flamebearer {
    pub(super) fn of(flame: &Flame) -> Self {
        let mut out = Self::default();
        let mut ids: HashMap<String, i64> = HashMap::new();
        // End of the last bar per level; where the next child begins, per node.
        let mut ends: Vec<i64> = Vec::new();
        let mut next = vec![0i64; flame.nodes.len()];
        for (at, (node, depth)) in flame.nodes.iter().zip(flame.depths()).enumerate() {
            let depth = depth as usize;
            if out.levels.len() == depth {
                out.levels.push(Vec::new());
                ends.push(0);
            }
            let start = match node.kind {
                Kind::Root => 0,
                _ => {
                    let parent = &mut next[node.parent as usize];
                    let start = *parent;
                    *parent = start.saturating_add(node.cumulative);
                    start
                }
            };
            next[at] = start;
            let name = match node.kind {
                // What Pyroscope calls the calls that are not shown one by one.
                Kind::Trimmed => "other".to_owned(),
                _ => flame.name(node).into_owned(),
            };
            let names = &mut out.names;
            let id = *ids.entry(name).or_insert_with_key(|name| {
                names.push(name.clone());
                names.len() as i64 - 1
            });
            out.levels[depth].extend([start - ends[depth], node.cumulative, node.flat, id]);
            ends[depth] = start.saturating_add(node.cumulative);
            out.max_self = out.max_self.max(node.flat);
        }
        out.num_ticks = flame.nodes.first().map_or(0, |root| root.cumulative);
        out
    }
}
