//! Where in the code a node of a report is, as messages spell it.

use cairn_engine::{Flame, Kind, Node};
use cairn_model::NONE;
use cairn_wire::parca::metastore::v1alpha1 as meta;
use cairn_wire::parca::query::v1alpha1::{CallgraphNodeMeta, FlamegraphNodeMeta, TopNodeMeta};

/// The same four parts in every report.
pub(super) struct Place {
    location: meta::Location,
    mapping: Option<meta::Mapping>,
    function: meta::Function,
    line: meta::Line,
}

impl Place {
    pub(super) fn of(flame: &Flame, node: &Node) -> Self {
        let symbols = &flame.symbols;
        let text = |id| symbols.str(id).to_owned();
        let name = flame.name(node).into_owned();
        let function = match node.kind {
            Kind::Function(function) => {
                let function = symbols.functions[function as usize];
                meta::Function {
                    start_line: function.start_line,
                    name,
                    system_name: text(function.system_name),
                    filename: text(function.file),
                    ..meta::Function::default()
                }
            }
            _ => meta::Function {
                name,
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
        Self {
            location: meta::Location {
                address: node.address,
                ..meta::Location::default()
            },
            mapping,
            function,
            line: meta::Line {
                line: node.line,
                ..meta::Line::default()
            },
        }
    }
}

impl From<Place> for TopNodeMeta {
    fn from(place: Place) -> Self {
        Self {
            location: Some(place.location),
            mapping: place.mapping,
            function: Some(place.function),
            line: Some(place.line),
        }
    }
}

impl From<Place> for CallgraphNodeMeta {
    fn from(place: Place) -> Self {
        Self {
            location: Some(place.location),
            mapping: place.mapping,
            function: Some(place.function),
            line: Some(place.line),
        }
    }
}

impl From<Place> for FlamegraphNodeMeta {
    fn from(place: Place) -> Self {
        Self {
            location: Some(place.location),
            mapping: place.mapping,
            function: Some(place.function),
            line: Some(place.line),
            location_index: 0,
            line_index: 0,
        }
    }
}
