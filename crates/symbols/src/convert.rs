//! From an ELF file to the bytes of a symbol file.

use symbolic_debuginfo::ParseObjectOptions;
use symbolic_debuginfo::elf::ElfObject;

use crate::elf::Elf;
use crate::format;
use crate::paint::Painter;
use crate::{Error, dwarf};

/// What one conversion may use, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub file_bytes_max: u64,
    /// Bytes of one section after inflating; a larger one is read as absent.
    pub section_bytes_max: usize,
    /// Distinct (function, file, line, caller) combinations.
    pub locations_max: usize,
    /// Bytes of all names together.
    pub string_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes_max: 4 << 30,
            section_bytes_max: 2 << 30,
            locations_max: 64 << 20,
            string_bytes_max: 1 << 30,
        }
    }
}

/// Reads names, files and lines out of an ELF file: from DWARF with inlined calls where it covers
/// an address, from the symbol tables elsewhere.
pub fn convert(elf: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    let bytes = elf.len() as u64;
    if bytes > limits.file_bytes_max {
        return Err(Error::TooLarge {
            bytes,
            max: limits.file_bytes_max,
        });
    }
    let outline = Elf::parse(elf)?;
    let mut options = ParseObjectOptions::default();
    options.max_decompressed_section_size = Some(limits.section_bytes_max);
    let object = ElfObject::parse_with_opts(elf, options)
        .map_err(|error| Error::NotElf(error.to_string()))?;

    let mut painter = Painter::new(limits, outline.is_go());
    outline.paint_symbols(&mut painter)?;
    let dwarf_units_skipped = dwarf::paint(&object, &mut painter)?;
    let segments = outline.code_segments()?;
    let tables = painter.finish()?;
    Ok(format::encode(&tables, &segments, dwarf_units_skipped))
}
