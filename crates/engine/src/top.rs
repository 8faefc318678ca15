//! The table of functions: what each used itself, and in all it called.

use crate::flame::Flame;

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
    let _ = flame;
    unimplemented!("top")
}
