//! The flame graph as nested messages: FLAMEGRAPH_UNSPECIFIED, whose nodes say everything in place,
//! and FLAMEGRAPH_TABLE, whose nodes refer to tables.
//!
//! Decoders in several languages stop at a hundred messages within each other, so calls that are
//! nested deeper than [`DEPTH_MAX`] are left out, and the answer says so. The Arrow form has no
//! such limit.

use cairn_engine::{Flame, Kind, Node};
use cairn_model::{NONE, StrId};
use cairn_wire::parca::metastore::v1alpha1 as meta;
use cairn_wire::parca::query::v1alpha1::{
    Flamegraph, FlamegraphNode, FlamegraphNodeMeta, FlamegraphRootNode,
};
use hashbrown::HashMap;

use super::diff::Diff;
use super::place::Place;

/// Calls below the root. A line of the last one lies five messages deeper.
pub(super) const DEPTH_MAX: u32 = 90;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    InPlace,
    Tables,
}

/// The report, and how many calls are left out of it because they are nested too deeply; their
/// values count as trimmed.
#[expect(deprecated, reason = "old clients read the totals from the graph")]
pub(super) fn report(flame: &Flame, unit: String, diff: &Diff, form: Form) -> (Flamegraph, usize) {
    let mut tables = Tables::default();
    let depths = flame.depths();
    let mut trimmed = flame.trimmed;
    let mut left_out = 0;
    let mut children: Vec<Vec<FlamegraphNode>> = vec![Vec::new(); flame.nodes.len()];
    // Children come after their parents, so each is whole when its parent's turn comes.
    for (at, node) in flame.nodes.iter().enumerate().skip(1).rev() {
        if depths[at] > DEPTH_MAX {
            left_out += 1;
            if depths[at] == DEPTH_MAX + 1 {
                trimmed = trimmed.wrapping_add(node.cumulative);
            }
            continue;
        }
        let mut below = std::mem::take(&mut children[at]);
        below.reverse();
        let place = match form {
            Form::InPlace => Place::of(flame, node).into(),
            Form::Tables => tables.place(flame, node),
        };
        children[node.parent as usize].push(FlamegraphNode {
            meta: Some(place),
            cumulative: node.cumulative,
            diff: diff.of(node.cumulative, node.base_cumulative),
            children: below,
        });
    }
    let root = flame.nodes.first();
    let (total, base) = root.map_or((0, 0), |root| (root.cumulative, root.base_cumulative));
    let mut below = children.into_iter().next().unwrap_or_default();
    below.reverse();
    let height = depths.into_iter().max().unwrap_or(0).min(DEPTH_MAX) + 1;
    let Tables {
        strings,
        locations,
        mappings,
        functions,
    } = tables;
    let graph = Flamegraph {
        root: Some(FlamegraphRootNode {
            cumulative: total,
            diff: diff.of(total, base),
            children: below,
        }),
        total,
        unit,
        height: i32::try_from(height).unwrap_or(i32::MAX),
        string_table: match form {
            Form::InPlace => Vec::new(),
            Form::Tables => strings.list,
        },
        locations: locations.list,
        mapping: mappings.list,
        function: functions.list,
        untrimmed_total: total,
        trimmed,
    };
    (graph, left_out)
}

/// Tables in the order in which nodes first need their rows. The positions of rows other than
/// strings are counted from 1, so that 0 is none.
#[derive(Default)]
struct Tables {
    strings: Strings,
    locations: Table<(u32, u64, u32, i64), meta::Location>,
    mappings: Table<u32, meta::Mapping>,
    functions: Table<u32, meta::Function>,
}

struct Table<K, V> {
    known: HashMap<K, u32, foldhash::fast::RandomState>,
    list: Vec<V>,
}

struct Strings {
    known: HashMap<StrId, u32, foldhash::fast::RandomState>,
    list: Vec<String>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            known: HashMap::default(),
            list: Vec::new(),
        }
    }
}

impl Default for Strings {
    fn default() -> Self {
        Self {
            known: HashMap::default(),
            list: vec![String::new()],
        }
    }
}

impl<K: std::hash::Hash + Eq, V> Table<K, V> {
    fn row(&mut self, key: K, make: impl FnOnce() -> V) -> u32 {
        *self.known.entry(key).or_insert_with(|| {
            self.list.push(make());
            self.list.len() as u32
        })
    }
}

impl Strings {
    fn row(&mut self, flame: &Flame, id: StrId) -> u32 {
        if id == 0 {
            return 0;
        }
        *self.known.entry(id).or_insert_with(|| {
            self.list.push(flame.symbols.str(id).to_owned());
            self.list.len() as u32 - 1
        })
    }
}

impl Tables {
    fn place(&mut self, flame: &Flame, node: &Node) -> FlamegraphNodeMeta {
        let Self {
            strings,
            locations,
            mappings,
            functions,
        } = self;
        let mapping_index = match node.mapping {
            NONE => 0,
            mapping => mappings.row(mapping, || {
                let mapping = flame.symbols.mappings[mapping as usize];
                meta::Mapping {
                    file_string_index: strings.row(flame, mapping.file),
                    build_id_string_index: strings.row(flame, mapping.build_id),
                    ..meta::Mapping::default()
                }
            }),
        };
        let function_index = match node.kind {
            Kind::Function(function) => functions.row(function, || {
                let function = flame.symbols.functions[function as usize];
                let name = match function.name {
                    0 => function.system_name,
                    name => name,
                };
                meta::Function {
                    start_line: function.start_line,
                    name_string_index: strings.row(flame, name),
                    system_name_string_index: strings.row(flame, function.system_name),
                    filename_string_index: strings.row(flame, function.file),
                    ..meta::Function::default()
                }
            }),
            Kind::Root | Kind::Group(_) | Kind::Unnamed | Kind::Trimmed => 0,
        };
        let key = (mapping_index, node.address, function_index, node.line);
        let location_index = locations.row(key, || {
            let line = meta::Line {
                line: node.line,
                function_index,
                ..meta::Line::default()
            };
            meta::Location {
                address: node.address,
                mapping_index,
                lines: (function_index != 0).then_some(line).into_iter().collect(),
                ..meta::Location::default()
            }
        });
        FlamegraphNodeMeta {
            location_index,
            line_index: 0,
            ..FlamegraphNodeMeta::default()
        }
    }
}

#[cfg(test)]
mod tests;
