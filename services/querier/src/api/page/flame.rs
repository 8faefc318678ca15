//! Flame graphs as columns, in the order of a walk down the tree.

use std::collections::HashMap;

use cairn_engine::{Flame, Node};
use serde::Serialize;

#[derive(Debug, Default, Serialize, PartialEq)]
pub(super) struct FlameColumns {
    names: Vec<String>,
    level: Vec<u32>,
    value: Vec<i64>,
    #[serde(rename = "self")]
    own: Vec<i64>,
    /// Position in `names`.
    label: Vec<u32>,
    #[serde(rename = "valueRight", skip_serializing_if = "Option::is_none")]
    value_right: Option<Vec<i64>>,
    #[serde(rename = "selfRight", skip_serializing_if = "Option::is_none")]
    own_right: Option<Vec<i64>>,
    total: i64,
    #[serde(rename = "totalRight", skip_serializing_if = "Option::is_none")]
    total_right: Option<i64>,
    /// Value of the calls that are not shown one by one.
    truncated: i64,
    /// The same, under the name that other reports use.
    trimmed: i64,
    /// No call that is not shown has more than this.
    #[serde(rename = "maxError", skip_serializing_if = "is_zero")]
    max_error: u64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

pub(super) fn single(flame: &Flame, unit: &'static str, warnings: Vec<String>) -> FlameColumns {
    FlameColumns {
        value: column(flame, |node| node.cumulative),
        own: column(flame, |node| node.flat),
        total: flame.nodes.first().map_or(0, |root| root.cumulative),
        unit,
        warnings,
        ..shape(flame)
    }
}

/// `value` and `self` are those of the base alone.
pub(super) fn compared(flame: &Flame, unit: &'static str, warnings: Vec<String>) -> FlameColumns {
    let root = flame.nodes.first();
    FlameColumns {
        value: column(flame, |node| node.base_cumulative),
        own: column(flame, |node| node.base_flat),
        value_right: Some(column(flame, |node| node.cumulative)),
        own_right: Some(column(flame, |node| node.flat)),
        total: root.map_or(0, |root| root.base_cumulative),
        total_right: Some(root.map_or(0, |root| root.cumulative)),
        unit,
        warnings,
        ..shape(flame)
    }
}

fn is_zero(error: &u64) -> bool {
    *error == 0
}

fn column(flame: &Flame, of: fn(&Node) -> i64) -> Vec<i64> {
    flame.nodes.iter().map(of).collect()
}

fn shape(flame: &Flame) -> FlameColumns {
    let mut names = Vec::new();
    let mut known: HashMap<String, u32> = HashMap::new();
    let mut label = Vec::with_capacity(flame.nodes.len());
    for node in &flame.nodes {
        let name = flame.name(node).into_owned();
        let id = *known.entry(name).or_insert_with_key(|name| {
            names.push(name.clone());
            names.len() as u32 - 1
        });
        label.push(id);
    }
    FlameColumns {
        names,
        level: flame.depths(),
        label,
        truncated: flame.trimmed,
        trimmed: flame.trimmed,
        max_error: flame.max_error,
        ..FlameColumns::default()
    }
}
