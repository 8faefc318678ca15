//! The tables of one profile. Owns how parts of a buffer's tables are copied into them.

use cairn_model::{Function, Line, Location, Mapping, NONE, Profile, StrId, Strings};

use super::Writer;
use crate::Error;
use crate::meter::Meter;
use crate::table::View;

/// Tables of the profile being written, whose memory is used again for the next.
#[derive(Default)]
pub(super) struct Parts {
    functions: Vec<Function>,
    mappings: Vec<Mapping>,
    locations: Vec<Location>,
    lines: Vec<Line>,
    /// Texts of the profile itself.
    own: Vec<String>,
    /// Those of the table, which come after.
    strings: Vec<StrId>,
    string_bytes: usize,
}

impl Parts {
    pub(super) fn clear(&mut self) {
        self.functions.clear();
        self.mappings.clear();
        self.locations.clear();
        self.lines.clear();
        self.own.clear();
        self.strings.clear();
        self.string_bytes = 0;
    }

    pub(super) fn own(&mut self, text: &str, meter: &mut Meter<'_>) -> Result<StrId, Error> {
        if text.is_empty() {
            return Ok(0);
        }
        meter.profiles.take(text.len() + 4)?;
        self.string_bytes += text.len();
        self.own.push(text.to_owned());
        Ok(self.own.len() as StrId)
    }

    pub(super) fn put_into(&self, profile: &mut Profile, table: View<'_>) {
        let count = self.own.len() + self.strings.len();
        let mut strings = Strings::with_capacity(count, self.string_bytes);
        for text in &self.own {
            strings.push(text);
        }
        for id in &self.strings {
            strings.push(table.parts.strings.get(*id));
        }
        profile.strings = strings;
        profile.functions = self.functions.clone();
        profile.mappings = self.mappings.clone();
        profile.locations = self.locations.clone();
        profile.lines = self.lines.clone();
    }
}

impl Writer<'_> {
    pub(super) fn location(&mut self, id: u32, meter: &mut Meter<'_>) -> Result<u32, Error> {
        if let Some(known) = self.locations.get(id) {
            return Ok(known);
        }
        let location = self.table.parts.locations[id as usize];
        let lines = self.table.parts.lines(id);
        let bytes = size_of::<Location>() + size_of_val(lines);
        meter.profiles.take(bytes)?;
        let mapping = match location.mapping {
            NONE => NONE,
            mapping => self.mapping(mapping, meter)?,
        };
        let start = self.parts.lines.len() as u32;
        for line in lines {
            let function = self.function(line.function, meter)?;
            self.parts.lines.push(Line { function, ..*line });
        }
        let new = self.parts.locations.len() as u32;
        self.parts.locations.push(Location {
            mapping,
            lines: (start, self.parts.lines.len() as u32),
            ..location
        });
        self.locations.set(id, new);
        Ok(new)
    }

    fn mapping(&mut self, id: u32, meter: &mut Meter<'_>) -> Result<u32, Error> {
        if let Some(known) = self.mappings.get(id) {
            return Ok(known);
        }
        let mapping = self.table.parts.mappings[id as usize];
        let mapping = Mapping {
            file: self.string(mapping.file, meter)?,
            build_id: self.string(mapping.build_id, meter)?,
            ..mapping
        };
        meter.profiles.take(size_of::<Mapping>())?;
        let new = self.parts.mappings.len() as u32;
        self.parts.mappings.push(mapping);
        self.mappings.set(id, new);
        Ok(new)
    }

    fn function(&mut self, id: u32, meter: &mut Meter<'_>) -> Result<u32, Error> {
        if let Some(known) = self.functions.get(id) {
            return Ok(known);
        }
        let function = self.table.parts.functions[id as usize];
        let function = Function {
            name: self.string(function.name, meter)?,
            system_name: self.string(function.system_name, meter)?,
            file: self.string(function.file, meter)?,
            ..function
        };
        meter.profiles.take(size_of::<Function>())?;
        let new = self.parts.functions.len() as u32;
        self.parts.functions.push(function);
        self.functions.set(id, new);
        Ok(new)
    }

    fn string(&mut self, id: StrId, meter: &mut Meter<'_>) -> Result<StrId, Error> {
        if id == 0 {
            return Ok(0);
        }
        if let Some(known) = self.strings.get(id) {
            return Ok(known);
        }
        let bytes = self.table.parts.strings.get(id).len();
        meter.profiles.take(bytes + 4)?;
        self.parts.string_bytes += bytes;
        self.parts.strings.push(id);
        let new = (self.parts.own.len() + self.parts.strings.len()) as StrId;
        self.strings.set(id, new);
        Ok(new)
    }
}
