//! Locations, the calls at them, and the files that they lie in. Owns how addresses are read; does
//! not look into ELF files.

use cairn_model::{Addressing, Function, Line, Location, Mapping, NONE, StrId};
use cairn_protobuf::{Reader, push_numbers};

use crate::dictionary::Kind;
use crate::layout::read::Place;
use crate::{Counts, Error};

use super::{NOTHING, Workbench, check_string};

/// The attributes that tell a file's build id, the most wanted first.
const BUILD_IDS: [&str; 4] = [
    "process.executable.build_id.gnu",
    "process.executable.build_id.go",
    "process.executable.build_id.htlhash",
    "process.executable.build_id.profiling",
];

const FRAME_TYPE: &str = "profile.frame.type";

/// Where the kernel puts programs that may lie anywhere: far above the addresses that ELF files
/// give themselves.
const RUNTIME_START: u64 = 0x1_0000_0000;

/// A mapping as sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mapped {
    start: u64,
    limit: u64,
    offset: u64,
    file: StrId,
    build_id: StrId,
}

impl<'a> Workbench<'_, 'a> {
    /// Makes a location of the dictionary one of the profile.
    pub(super) fn make_location(&mut self, index: u32, counts: &mut Counts) -> Result<u32, Error> {
        let dictionary = self.source.dictionary;
        let row = dictionary.row(Kind::Location, index);
        self.costs.add(row.len() + size_of::<Location>())?;
        let depth_max = self.source.limits.depth_max;
        let start = self.tables.lines.len();
        let mut is_cut = false;
        let place = Place::read(row, self.layout, |raw| {
            if self.tables.lines.len() - start > depth_max {
                is_cut = true;
                return Ok(());
            }
            match self.line(raw, counts)? {
                Some(line) => self.tables.lines.push(line),
                None => counts.lines_left_out += 1,
            }
            Ok::<_, Error>(())
        })?;
        let id = self.tables.locations.len() as u32;
        let frames = self.tables.lines.len() - start;
        let is_cut = is_cut || frames > depth_max;
        if is_cut {
            // Leaves room for the frame that says so.
            let kept = depth_max.saturating_sub(1).max(1);
            self.tables.lines.truncate(start + kept);
        }
        let (mapping, address) = self.place(&place, frames > 0, counts)?;
        if is_cut {
            self.cut.push(id);
        }
        let lines = (start as u32, self.tables.lines.len() as u32);
        self.tables.locations.push(Location {
            mapping,
            address,
            lines,
        });
        let len = dictionary.len(Kind::Location);
        self.locations.set(index, id, len);
        Ok(id)
    }

    /// `None` for a line without function: it names nothing.
    fn line(&mut self, raw: &[u8], counts: &mut Counts) -> Result<Option<Line>, Error> {
        let mut function = 0;
        let mut line = Line::default();
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => function = value.varint()?,
                2 => line.line = value.int()?,
                3 => line.column = value.int()?,
                _ => {}
            }
        }
        let Some(index) = self.source.dictionary.find(Kind::Function, function)? else {
            return Ok(None);
        };
        line.function = match self.functions.get(index) {
            Some(id) => id,
            None => self.make_function(index, counts)?,
        };
        Ok(Some(line))
    }

    fn make_function(&mut self, index: u32, counts: &mut Counts) -> Result<u32, Error> {
        let dictionary = self.source.dictionary;
        let row = dictionary.row(Kind::Function, index);
        self.costs.add(row.len() + size_of::<Function>())?;
        let mut function = Function::default();
        let (mut name, mut system_name, mut file) = (0, 0, 0);
        let mut reader = Reader::new(row);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => name = value.varint()?,
                2 => system_name = value.varint()?,
                3 => file = value.varint()?,
                4 => function.start_line = value.int()?,
                _ => {}
            }
        }
        function.name = self.string(name, counts)?;
        function.system_name = self.string(system_name, counts)?;
        function.file = self.string(file, counts)?;
        let id = self.tables.functions.len() as u32;
        self.tables.functions.push(function);
        let len = dictionary.len(Kind::Function);
        self.functions.set(index, id, len);
        Ok(id)
    }

    /// The file of a location and its address within it.
    ///
    /// Interpreted frames have no file of machine code; their kind stands in its place, as
    /// `[jvm]`, unless there is a file after all.
    fn place(
        &mut self,
        place: &Place,
        has_lines: bool,
        counts: &mut Counts,
    ) -> Result<(u32, u64), Error> {
        let mut mapped = self.mapped(place.mapping, counts)?;
        let frame_type = self.frame_type(&place.attributes, counts)?;
        let has_file = mapped.file != 0 || mapped.build_id != 0;
        match frame_type {
            b"" | b"native" | b"go" => {}
            b"kernel" => {
                if mapped.file == 0 {
                    mapped.file = self.text(b"[kernel]", counts)?;
                }
            }
            kind if has_lines && !has_file => {
                check_string(kind, self.source)?;
                mapped.file = self.text(&[b"[", kind, b"]"].concat(), counts)?;
            }
            _ => counts.frame_types_left_out += 1,
        }
        if mapped.file == 0 && mapped.build_id == 0 {
            return Ok((NONE, place.address));
        }
        let (addressing, address) = normalise(place.address, &mapped);
        let mapping = Mapping {
            file: mapped.file,
            build_id: mapped.build_id,
            addressing,
        };
        let key = (mapping.file, mapping.build_id, addressing);
        let mappings = &mut self.tables.mappings;
        let row = *self.files.entry(key).or_insert_with(|| {
            mappings.push(mapping);
            mappings.len() as u32 - 1
        });
        Ok((row, address))
    }

    fn frame_type(&mut self, attributes: &[u64], counts: &mut Counts) -> Result<&'a [u8], Error> {
        let mut found = None;
        for index in attributes {
            let Some(attribute) = self.attribute(*index)? else {
                continue;
            };
            let value = attribute.value.text(self.source.dictionary)?;
            match value {
                Some(value) if attribute.key == FRAME_TYPE.as_bytes() => found = Some(value),
                _ => counts.attributes_left_out += 1,
            }
        }
        Ok(found.unwrap_or_default())
    }

    fn mapped(&mut self, index: Option<u64>, counts: &mut Counts) -> Result<Mapped, Error> {
        let dictionary = self.source.dictionary;
        let index = match index {
            Some(index) => dictionary.find(Kind::Mapping, index)?,
            None => None,
        };
        let Some(index) = index else {
            return Ok(Mapped::default());
        };
        if let Some(id) = self.mappings.get(index) {
            return Ok(self.mapped[id as usize]);
        }
        let row = dictionary.row(Kind::Mapping, index);
        self.costs.add(row.len() + size_of::<Mapped>())?;
        let mut mapped = Mapped::default();
        let mut file = 0;
        let mut attributes = Vec::new();
        let mut reader = Reader::new(row);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => mapped.start = value.varint()?,
                2 => mapped.limit = value.varint()?,
                3 => mapped.offset = value.varint()?,
                4 => file = value.varint()?,
                5 => push_numbers(value, &mut attributes)?,
                _ => {}
            }
        }
        mapped.file = self.string(file, counts)?;
        mapped.build_id = self.build_id(&attributes, counts)?;
        self.mapped.push(mapped);
        let id = self.mapped.len() as u32 - 1;
        debug_assert_ne!(id, NOTHING);
        let len = dictionary.len(Kind::Mapping);
        self.mappings.set(index, id, len);
        Ok(mapped)
    }

    fn build_id(&mut self, attributes: &[u64], counts: &mut Counts) -> Result<StrId, Error> {
        let mut best: Option<(usize, &'a [u8])> = None;
        for index in attributes {
            let Some(attribute) = self.attribute(*index)? else {
                continue;
            };
            let text = attribute.value.text(self.source.dictionary)?;
            let rank = BUILD_IDS
                .iter()
                .position(|name| name.as_bytes() == attribute.key);
            match (rank, text) {
                (Some(rank), Some(text)) if !text.is_empty() => {
                    if best.is_none_or(|(least, _)| rank < least) {
                        best = Some((rank, text));
                    }
                }
                _ => counts.attributes_left_out += 1,
            }
        }
        match best {
            Some((_, text)) => self.text(text, counts),
            None => Ok(0),
        }
    }
}

/// Addresses that OpenTelemetry's producers send are virtual addresses of the ELF file, and so are
/// the bounds of their mappings, or those are 0. Bounds as far up as only the kernel's loader puts
/// them are those of a process: an address within them is one of the process too, and becomes an
/// offset into the file.
fn normalise(address: u64, mapped: &Mapped) -> (Addressing, u64) {
    let is_inside = mapped.start <= address && address < mapped.limit;
    if mapped.start >= RUNTIME_START && is_inside {
        // Hostile numbers may wrap; the result is a wrong address, as wrong as what was sent.
        let in_file = (address - mapped.start).wrapping_add(mapped.offset);
        (Addressing::FileOffset, in_file)
    } else {
        (Addressing::Virtual, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_processes_become_file_offsets() {
        let mapped = |start, limit| Mapped {
            start,
            limit,
            offset: 0x1000,
            ..Mapped::default()
        };
        for (address, mapped, expected) in [
            (
                0x40_1234,
                mapped(0x40_0000, 0x50_0000),
                (Addressing::Virtual, 0x40_1234),
            ),
            (0x1234, mapped(0, 0), (Addressing::Virtual, 0x1234)),
            (u64::MAX, mapped(0, 0), (Addressing::Virtual, u64::MAX)),
            (
                0x7f00_0000_0010,
                mapped(0x7f00_0000_0000, 0x7f00_0001_0000),
                (Addressing::FileOffset, 0x1010),
            ),
            (
                0x7f00_0001_0000,
                mapped(0x7f00_0000_0000, 0x7f00_0001_0000),
                (Addressing::Virtual, 0x7f00_0001_0000),
            ),
            (
                0x1_0000_0000,
                mapped(0x1_0000_0000, 0x1_0000_0001),
                (Addressing::FileOffset, 0x1000),
            ),
            (
                0xffff_ffff,
                mapped(0xffff_ffff, 0x1_0000_0001),
                (Addressing::Virtual, 0xffff_ffff),
            ),
        ] {
            assert_eq!(normalise(address, &mapped), expected, "{address:x}");
        }
    }
}
