//! The TOP report: functions by value.

use cairn_engine::{Flame, Kind};
use cairn_model::NONE;
use cairn_wire::parca::metastore::v1alpha1 as meta;
use cairn_wire::parca::query::v1alpha1::{Top, TopNode, TopNodeMeta};

#[expect(
    deprecated,
    reason = "old clients read the number of functions from `total`"
)]
pub(super) fn report(flame: &Flame, unit: String, compared: bool) -> Top {
    let rows = cairn_engine::top(flame);
    let count = i32::try_from(rows.len()).unwrap_or(i32::MAX);
    let list = rows.iter().map(|row| TopNode {
        meta: Some(node_meta(flame, row.node)),
        cumulative: row.cumulative,
        flat: row.flat,
        diff: match compared {
            true => row.cumulative.wrapping_sub(row.base_cumulative),
            false => 0,
        },
    });
    Top {
        list: list.collect(),
        reported: count,
        total: count,
        unit,
    }
}

fn node_meta(flame: &Flame, node: u32) -> TopNodeMeta {
    let node = &flame.nodes[node as usize];
    let symbols = &flame.symbols;
    let text = |id| symbols.str(id).to_owned();
    let function = match node.kind {
        Kind::Function(function) => {
            let function = symbols.functions[function as usize];
            meta::Function {
                start_line: function.start_line,
                name: flame.name(node).into_owned(),
                system_name: text(function.system_name),
                filename: text(function.file),
                ..meta::Function::default()
            }
        }
        _ => meta::Function {
            name: flame.name(node).into_owned(),
            ..meta::Function::default()
        },
    };
    let mapping = (node.mapping != NONE).then(|| {
        let mapping = symbols.mappings[node.mapping as usize];
        meta::Mapping {
            file: text(mapping.file),
            build_id: text(mapping.build_id),
            ..meta::Mapping::default()
        }
    });
    TopNodeMeta {
        location: Some(meta::Location {
            address: node.address,
            ..meta::Location::default()
        }),
        mapping,
        function: Some(function),
        line: Some(meta::Line {
            line: node.line,
            ..meta::Line::default()
        }),
    }
}
