//! Third walk: locations, with addresses normalised. Owns the choice between the conventions that
//! senders use for addresses; does not look into ELF files.

use cairn_model::{Addressing, Line, Location, Mapping, NONE, Tables};
use cairn_protobuf::Reader;
use hashbrown::HashMap;

use crate::Error;
use crate::ids::Ids;

use super::strings::LOCATION;
use super::tables::{Mapped, Numbered};
use super::{ExecutableInfo, Input, Options};

/// `ET_EXEC`: such files are mapped where they say, so runtime addresses are virtual ones.
const FIXED_ADDRESS: u32 = 2;

pub(super) struct Locations {
    pub(super) ids: Ids,
    /// Most frames of one location, to tell quickly that a stack can't be too deep.
    pub(super) frames_max: usize,
    /// Locations whose outer inlined calls alone were over the depth limit.
    pub(super) cut: Vec<u32>,
}

pub(super) fn read(
    input: &Input<'_>,
    numbered: &Numbered,
    tables: &mut Tables,
) -> Result<Locations, Error> {
    let depth_max = input.limits.depth_max;
    let mut normaliser = Normaliser::new(numbered, input.options)?;
    let mut out = Locations {
        ids: Ids::new("location"),
        frames_max: 1,
        cut: Vec::new(),
    };
    tables
        .locations
        .reserve_exact(input.rows.to_reserve(LOCATION));
    tables.lines.reserve(input.rows.to_reserve(LOCATION));
    let mut reader = Reader::new(input.plain);
    while let Some((field, value)) = reader.field()? {
        if field != LOCATION {
            continue;
        }
        let start = tables.lines.len();
        let sent = read_location(value.bytes()?, numbered, tables)?;
        out.ids.push(sent.id)?;
        let frames = tables.lines.len() - start;
        if frames > depth_max {
            // Leaves room for the frame that says so.
            tables
                .lines
                .truncate(start + depth_max.saturating_sub(1).max(1));
            out.cut.push(tables.locations.len() as u32);
        }
        out.frames_max = out.frames_max.max(frames);
        let (mapping, address) = normaliser.place(&sent, tables)?;
        tables.locations.push(Location {
            mapping,
            address,
            lines: (start as u32, tables.lines.len() as u32),
        });
    }
    Ok(out)
}

#[derive(Default)]
struct Sent {
    id: u64,
    mapping: u64,
    address: u64,
}

fn read_location(raw: &[u8], numbered: &Numbered, tables: &mut Tables) -> Result<Sent, Error> {
    let mut sent = Sent::default();
    let mut reader = Reader::new(raw);
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => sent.id = value.varint()?,
            2 => sent.mapping = value.varint()?,
            3 => sent.address = value.varint()?,
            4 => {
                let line = read_line(value.bytes()?, numbered, sent.id)?;
                tables.lines.extend(line);
            }
            _ => {}
        }
    }
    Ok(sent)
}

/// `None` for a line without function: it names nothing.
fn read_line(raw: &[u8], numbered: &Numbered, location: u64) -> Result<Option<Line>, Error> {
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
    if function == 0 {
        return Ok(None);
    }
    let functions = &numbered.functions;
    line.function = functions.find(function, || format!("location {location}"))?;
    Ok(Some(line))
}

/// Turns (mapping, runtime address) into (file, address within it).
struct Normaliser<'a> {
    numbered: &'a Numbered,
    options: &'a Options<'a>,
    /// Rows of `Tables::mappings` per mapping as sent and addressing, or [`NONE`].
    rows: Vec<[u32; 2]>,
    seen: HashMap<(Box<str>, Box<str>, Addressing), u32, foldhash::fast::RandomState>,
}

impl<'a> Normaliser<'a> {
    fn new(numbered: &'a Numbered, options: &'a Options<'a>) -> Result<Self, Error> {
        let (infos, mappings) = (options.executable_info.len(), numbered.mappings.len());
        if infos != 0 && infos != mappings {
            return Err(Error::contradiction(format!(
                "{infos} executable_info for {mappings} mappings"
            )));
        }
        Ok(Self {
            numbered,
            options,
            rows: vec![[NONE; 2]; mappings],
            seen: HashMap::default(),
        })
    }

    fn place(&mut self, sent: &Sent, tables: &mut Tables) -> Result<(u32, u64), Error> {
        if sent.mapping == 0 {
            return Ok((NONE, sent.address));
        }
        let ids = &self.numbered.mapping_ids;
        let at = ids.find(sent.mapping, || format!("location {}", sent.id))?;
        let mapped = &self.numbered.mappings[at as usize];
        let info = self.options.executable_info.get(at as usize);
        let (addressing, address) = if self.options.normalized {
            (Addressing::Virtual, sent.address)
        } else {
            normalise(sent.address, mapped, info.copied().unwrap_or_default())
        };
        let row = &mut self.rows[at as usize][addressing as usize];
        if *row == NONE {
            let strings = &tables.strings;
            let (file, build_id) = (strings.get(mapped.file), strings.get(mapped.build_id));
            let key = (file.into(), build_id.into(), addressing);
            *row = *self.seen.entry(key).or_insert_with(|| {
                tables.mappings.push(Mapping {
                    file: mapped.file,
                    build_id: mapped.build_id,
                    addressing,
                });
                tables.mappings.len() as u32 - 1
            });
        }
        Ok((*row, address))
    }
}

fn normalise(address: u64, mapped: &Mapped, info: ExecutableInfo) -> (Addressing, u64) {
    // A limit of all ones means "everything", its own address included.
    let inside = mapped.start <= address && (address < mapped.limit || mapped.limit == u64::MAX);
    if !inside {
        return (Addressing::Virtual, address);
    }
    // Hostile numbers may wrap; the result is a wrong address, as wrong as what was sent.
    let in_file = (address - mapped.start).wrapping_add(mapped.offset);
    match info.load_segment {
        Some(segment) => (
            Addressing::Virtual,
            in_file
                .wrapping_sub(segment.offset)
                .wrapping_add(segment.vaddr),
        ),
        None if info.elf_type == FIXED_ADDRESS => (Addressing::Virtual, address),
        None => (Addressing::FileOffset, in_file),
    }
}

#[cfg(test)]
mod tests {
    use super::super::LoadSegment;
    use super::*;

    const MAPPED: Mapped = Mapped {
        start: 0x5000,
        limit: 0x6000,
        offset: 0x1000,
        file: 0,
        build_id: 0,
    };

    fn place(address: u64) -> (Addressing, u64) {
        normalise(address, &MAPPED, ExecutableInfo::default())
    }

    #[test]
    fn addresses_inside_become_file_offsets_and_others_stay() {
        assert_eq!(place(0x5000), (Addressing::FileOffset, 0x1000));
        assert_eq!(place(0x5fff), (Addressing::FileOffset, 0x1fff));
        assert_eq!(place(0x6000), (Addressing::Virtual, 0x6000));
        assert_eq!(place(0x4fff), (Addressing::Virtual, 0x4fff));
    }

    #[test]
    fn empty_and_full_ranges_have_their_meaning() {
        let none = ExecutableInfo::default();
        let empty = Mapped::default();
        assert_eq!(normalise(7, &empty, none), (Addressing::Virtual, 7));
        let full = Mapped {
            limit: u64::MAX,
            ..Mapped::default()
        };
        assert_eq!(normalise(7, &full, none), (Addressing::FileOffset, 7));
        assert_eq!(
            normalise(u64::MAX, &full, none),
            (Addressing::FileOffset, u64::MAX)
        );
    }

    #[test]
    fn known_segments_give_virtual_addresses() {
        let info = ExecutableInfo {
            elf_type: 3,
            load_segment: Some(LoadSegment {
                offset: 0x1000,
                vaddr: 0x2000,
            }),
        };
        assert_eq!(
            normalise(0x5010, &MAPPED, info),
            (Addressing::Virtual, 0x2010)
        );
        assert_eq!(
            normalise(0x7010, &MAPPED, info),
            (Addressing::Virtual, 0x7010)
        );
        let fixed = ExecutableInfo {
            elf_type: 2,
            load_segment: None,
        };
        assert_eq!(
            normalise(0x5010, &MAPPED, fixed),
            (Addressing::Virtual, 0x5010)
        );
    }
}
