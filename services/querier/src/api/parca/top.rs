//! The TOP report: functions by value.

use cairn_engine::Flame;
use cairn_wire::parca::query::v1alpha1::{Top, TopNode};

use super::diff::Diff;
use super::place::Place;

#[expect(
    deprecated,
    reason = "old clients read the number of functions from `total`"
)]
pub(super) fn report(flame: &Flame, unit: String, diff: &Diff) -> Top {
    let rows = cairn_engine::top(flame);
    let count = i32::try_from(rows.len()).unwrap_or(i32::MAX);
    let list = rows.iter().map(|row| TopNode {
        meta: Some(Place::of(flame, &flame.nodes[row.node as usize]).into()),
        cumulative: row.cumulative,
        flat: row.flat,
        diff: diff.of(row.cumulative, row.base_cumulative),
    });
    Top {
        list: list.collect(),
        reported: count,
        total: count,
        unit,
    }
}
