//! The table of functions: what each used itself, and in all it called.

use cairn_model::NONE;
use hashbrown::{HashMap, HashSet};

use crate::flame::{Flame, Kind};

/// One function, whoever called it. A recursive function's value counts once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopRow {
    /// A node of the flame graph that stands for the function.
    pub node: u32,
    pub flat: i64,
    pub cumulative: i64,
    pub base_flat: i64,
    pub base_cumulative: i64,
    /// Rows of the functions that call this one, ascending.
    pub callers: Vec<u32>,
    /// Rows of the functions that this one calls, ascending.
    pub callees: Vec<u32>,
}

/// The functions of an untrimmed flame graph, largest cumulative value first.
pub fn top(flame: &Flame) -> Vec<TopRow> {
    let mut rows: Vec<TopRow> = Vec::new();
    let mut edges: HashSet<(u32, u32), foldhash::fast::RandomState> = HashSet::default();
    let mut of_key: HashMap<u32, u32, foldhash::fast::RandomState> = HashMap::default();
    // Row per node, and how often the row is on the path to the node.
    let mut of_node = vec![NONE; flame.nodes.len()];
    let mut on_path: Vec<u32> = Vec::new();
    let mut path: Vec<u32> = Vec::new();
    for (at, node) in flame.nodes.iter().enumerate() {
        while let Some(left) = path.pop_if(|open| *open != node.parent) {
            if of_node[left as usize] != NONE {
                on_path[of_node[left as usize] as usize] -= 1;
            }
        }
        path.push(at as u32);
        if !matches!(node.kind, Kind::Function(_) | Kind::Unnamed) {
            continue;
        }
        let row = *of_key.entry(node.key).or_insert_with(|| {
            rows.push(row_of(at as u32));
            on_path.push(0);
            rows.len() as u32 - 1
        });
        of_node[at] = row;
        let sums = &mut rows[row as usize];
        sums.flat = sums.flat.wrapping_add(node.flat);
        sums.base_flat = sums.base_flat.wrapping_add(node.base_flat);
        if on_path[row as usize] == 0 {
            sums.cumulative = sums.cumulative.wrapping_add(node.cumulative);
            sums.base_cumulative = sums.base_cumulative.wrapping_add(node.base_cumulative);
        }
        on_path[row as usize] += 1;
        let caller = of_node[node.parent as usize];
        if caller != NONE {
            edges.insert((caller, row));
        }
    }
    sorted(rows, edges.into_iter())
}

fn row_of(node: u32) -> TopRow {
    TopRow {
        node,
        flat: 0,
        cumulative: 0,
        base_flat: 0,
        base_cumulative: 0,
        callers: Vec::new(),
        callees: Vec::new(),
    }
}

/// Equal rows stay in the order in which the flame graph has them.
fn sorted(rows: Vec<TopRow>, edges: impl Iterator<Item = (u32, u32)>) -> Vec<TopRow> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse((rows[*at].cumulative, rows[*at].flat)));
    let mut place = vec![0u32; rows.len()];
    for (new, old) in order.iter().enumerate() {
        place[*old] = new as u32;
    }
    let mut out: Vec<TopRow> = order.iter().map(|at| rows[*at].clone()).collect();
    for (caller, callee) in edges {
        let (caller, callee) = (place[caller as usize], place[callee as usize]);
        out[caller as usize].callees.push(callee);
        out[callee as usize].callers.push(caller);
    }
    for row in &mut out {
        row.callers.sort_unstable();
        row.callees.sort_unstable();
    }
    out
}
