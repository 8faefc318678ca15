//! About how much memory answers take, for whoever keeps them.

use cairn_model::Labels;
use cairn_trie::{Group, GroupValue, Partial, Value};

use crate::query::{Answer, Point, Scanned, Series};

/// Of a map's or a set's entry besides what it holds.
const ENTRY_BYTES: usize = 32;
pub(crate) const POINT_BYTES: usize = size_of::<Point>() + ENTRY_BYTES;
/// Of a group that is being looked up: its labels and the places where it is found.
pub(crate) const GROUP_BYTES: usize = 8 * ENTRY_BYTES;

pub fn partial_bytes(partial: &Partial) -> usize {
    partial.symbols.bytes()
        + size_of_val(partial.trie.frames()) * 2
        + size_of_val::<[Value]>(&partial.values)
        + pairs_bytes(partial)
}

/// What is there because groups are kept apart.
pub(crate) fn group_bytes(partial: &Partial) -> usize {
    let more = partial.values.len().saturating_sub(partial.trie.len());
    pairs_bytes(partial) + more * size_of::<Value>()
}

fn pairs_bytes(partial: &Partial) -> usize {
    let value = |value: &GroupValue| match value {
        GroupValue::Str(text) | GroupValue::Num { unit: text, .. } => text.len(),
    };
    let pairs = partial.groups.iter().flat_map(|group| &group.0);
    let pairs = pairs.map(|(name, of)| name.len() + value(of) + 2 * ENTRY_BYTES);
    pairs.sum::<usize>() + size_of_val::<[Group]>(&partial.groups)
}

pub(crate) fn series_bytes(series: &Series) -> usize {
    let labels = series.0.keys().map(labels_bytes);
    let points = series.0.values().map(|points| points.len());
    labels.sum::<usize>() + points.sum::<usize>() * POINT_BYTES
}

pub(crate) fn labels_bytes(labels: &Labels) -> usize {
    let pairs = labels.iter();
    let pairs = pairs.map(|(name, value)| name.len() + value.len() + ENTRY_BYTES);
    pairs.sum()
}

impl Scanned {
    pub fn bytes(&self) -> usize {
        let answer = match &self.answer {
            Answer::Stacks(partial) => partial_bytes(partial),
            Answer::Series(series) => series_bytes(series),
            Answer::Names(names) => names.iter().map(|name| name.len() + ENTRY_BYTES).sum(),
            Answer::ProfileTypes(types) => types.len() * 8 * ENTRY_BYTES,
        };
        answer + size_of_val(&self.told.stretches[..]) + size_of_val(&self.told.deliveries[..])
    }
}
