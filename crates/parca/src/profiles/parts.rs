//! The tables of one profile. Owns how parts of a buffer's tables are copied into them.

use cairn_model::{Function, Line, Location, Mapping, NONE, Profile, StrId, Strings};

use crate::Error;
use crate::meter::Meter;
use crate::remap::Remap;

/// Copies out of the tables of a buffer what each profile needs.
pub(super) struct Parts<'a> {
    table: &'a Profile,
    texts: Vec<&'a str>,
    pub(super) locations: Remap,
    functions: Remap,
    mappings: Remap,
    strings: Remap,
    /// Texts of the profile itself, which come before those of the table.
    own: Vec<&'a str>,
    /// Lines of the profile being written, whose memory is used again for the next.
    lines: Vec<Line>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(table: &'a Profile) -> Self {
        Self {
            table,
            texts: table.strings.iter().collect(),
            locations: Remap::new(table.locations.len()),
            functions: Remap::new(table.functions.len()),
            mappings: Remap::new(table.mappings.len()),
            strings: Remap::new(table.strings.len()),
            own: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Begins a profile.
    pub(super) fn clear(&mut self) {
        for remap in [
            &mut self.locations,
            &mut self.functions,
            &mut self.mappings,
            &mut self.strings,
        ] {
            remap.clear();
        }
        self.own.clear();
    }

    /// A text that is not in the table; all of these come first.
    pub(super) fn own(&mut self, text: &'a str) -> StrId {
        if text.is_empty() {
            return 0;
        }
        self.own.push(text);
        self.own.len() as StrId
    }

    /// Gives a profile the locations that have names, and all that they refer to.
    pub(super) fn put_into(
        &mut self,
        profile: &mut Profile,
        meter: &mut Meter<'_>,
    ) -> Result<(), Error> {
        self.put_locations(profile, meter)?;
        let Self {
            table,
            functions,
            mappings,
            strings,
            own,
            ..
        } = self;
        let mut string = |id: StrId| match id {
            0 => 0,
            id => strings.name(id) + 1 + own.len() as StrId,
        };
        meter.profiles.take(
            functions
                .named()
                .len()
                .saturating_mul(size_of::<Function>()),
        )?;
        let function = |id: &u32| {
            let function = &table.functions[*id as usize];
            Function {
                name: string(function.name),
                system_name: string(function.system_name),
                file: string(function.file),
                start_line: function.start_line,
            }
        };
        profile.functions = functions.named().iter().map(function).collect();
        meter
            .profiles
            .take(mappings.named().len().saturating_mul(size_of::<Mapping>()))?;
        let mapping = |id: &u32| {
            let mapping = &table.mappings[*id as usize];
            Mapping {
                file: string(mapping.file),
                build_id: string(mapping.build_id),
                addressing: mapping.addressing,
            }
        };
        profile.mappings = mappings.named().iter().map(mapping).collect();
        self.put_strings(profile, meter)
    }

    fn put_locations(&mut self, profile: &mut Profile, meter: &mut Meter<'_>) -> Result<(), Error> {
        let Self {
            table,
            locations,
            functions,
            mappings,
            lines,
            ..
        } = self;
        let named = locations.named();
        let bytes = named.len().saturating_mul(size_of::<Location>());
        meter.profiles.take(bytes)?;
        // One simple thing after another is faster than all for one location after another.
        let copies = named.iter().map(|id| table.locations[*id as usize]);
        profile.locations = copies.collect();
        lines.clear();
        for location in &mut profile.locations {
            let (start, end) = location.lines;
            let new = lines.len() as u32;
            if start < end {
                lines.extend_from_slice(&table.lines[start as usize..end as usize]);
            }
            location.lines = (new, lines.len() as u32);
        }
        for location in &mut profile.locations {
            if location.mapping != NONE {
                location.mapping = mappings.name(location.mapping);
            }
        }
        for line in lines.iter_mut() {
            line.function = functions.name(line.function);
        }
        meter.profiles.take(size_of_val(&lines[..]))?;
        profile.lines = lines.clone();
        Ok(())
    }

    fn put_strings(&self, profile: &mut Profile, meter: &mut Meter<'_>) -> Result<(), Error> {
        let named = self.strings.named();
        let of_table = named.iter().map(|id| self.texts[*id as usize]);
        let texts = || self.own.iter().copied().chain(of_table.clone());
        let count = self.own.len() + named.len();
        let bytes: usize = texts().map(str::len).sum();
        meter
            .profiles
            .take(bytes.saturating_add(count.saturating_mul(4)))?;
        profile.strings = Strings::with_capacity(count, bytes);
        texts().for_each(|text| {
            profile.strings.push(text);
        });
        Ok(())
    }
}
