//! Parts of one table as parts of another. Owns that each is looked for once; does not know stacks.

use cairn_model::{Function, Line, Mapping, NONE, StrId, Tables};

use crate::intake::Map;
use crate::parts::Parts;

/// What the parts of one table are called in another that takes stacks from it.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    locations: Map<u32, u32>,
    mappings: Map<u32, u32>,
    functions: Map<u32, u32>,
    strings: Map<StrId, StrId>,
    lines: Vec<Line>,
}

impl Copied {
    pub(crate) fn location(&mut self, from: &Tables, id: u32, to: &mut Parts) -> u32 {
        if let Some(known) = self.locations.get(&id) {
            return *known;
        }
        let location = from.locations[id as usize];
        let mapping = match location.mapping {
            NONE => NONE,
            mapping => self.mapping(from, mapping, to),
        };
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        for line in from.lines(id) {
            let function = self.function(from, line.function, to);
            lines.push(Line { function, ..*line });
        }
        let new = to.location(mapping, location.address, &lines);
        self.lines = lines;
        self.locations.insert(id, new);
        new
    }

    fn mapping(&mut self, from: &Tables, id: u32, to: &mut Parts) -> u32 {
        if let Some(known) = self.mappings.get(&id) {
            return *known;
        }
        let mapping = from.mappings[id as usize];
        let mapping = Mapping {
            file: self.string(from, mapping.file, to),
            build_id: self.string(from, mapping.build_id, to),
            ..mapping
        };
        let new = to.mapping(mapping);
        self.mappings.insert(id, new);
        new
    }

    fn function(&mut self, from: &Tables, id: u32, to: &mut Parts) -> u32 {
        if let Some(known) = self.functions.get(&id) {
            return *known;
        }
        let function = from.functions[id as usize];
        let function = Function {
            name: self.string(from, function.name, to),
            system_name: self.string(from, function.system_name, to),
            file: self.string(from, function.file, to),
            ..function
        };
        let new = to.function(function);
        self.functions.insert(id, new);
        new
    }

    fn string(&mut self, from: &Tables, id: StrId, to: &mut Parts) -> StrId {
        let new = || to.str(from.str(id));
        *self.strings.entry(id).or_insert_with(new)
    }
}
