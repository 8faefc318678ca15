//! From an ELF file to the bytes of a symbol file.

use crate::elf::Elf;
use crate::layers::{self, Piece};
use crate::tables::Tables;
use crate::{Error, dwarf, format, pclntab};

/// What one conversion may use, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file, and of each that comes with it.
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

/// The files that an ELF file refers to, as far as they are there; [`crate::Wanted`] says which it
/// wants. Without them it is converted as far as it goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Companions<'a> {
    /// What it shares with other debug files: `.gnu_debugaltlink`.
    pub alt: Option<&'a [u8]>,
    /// The package of its split units: `.dwp`.
    pub package: Option<&'a [u8]>,
}

/// Reads names, files and lines out of an ELF file: from DWARF with inlined calls where it covers
/// an address, else from the table that Go keeps in every binary, else from the symbol tables.
pub fn convert(elf: &[u8], companions: &Companions<'_>, limits: &Limits) -> Result<Vec<u8>, Error> {
    let files = [Some(elf), companions.alt, companions.package];
    for bytes in files.into_iter().flatten().map(|file| file.len() as u64) {
        if bytes > limits.file_bytes_max {
            return Err(Error::TooLarge {
                bytes,
                max: limits.file_bytes_max,
            });
        }
    }
    let elf = Elf::parse(elf, limits.section_bytes_max)?;
    if elf.is_split_part() {
        return Err(Error::SplitPart);
    }
    if elf.has_moving_code() {
        return Err(Error::MovingCode);
    }
    if companions.package.is_some() {
        dwarf::check_package(&elf, companions)?;
    }
    let code = elf.code();
    let mut tables = Tables::new(limits, elf.is_go());
    let symbols = elf.symbols(&mut tables)?;
    let go = pclntab::read(&elf, &code, &mut tables)?;
    let dwarf = dwarf::read(&elf, companions, &code, &symbols, &mut tables)?;
    let mut pieces = symbols;
    for piece in &mut pieces {
        piece.id = tables.bare_location(piece.id)?;
    }
    let mut top: Vec<Piece> = dwarf.functions;
    for below in [go, dwarf.lines, pieces] {
        top = layers::over(top, &below);
    }
    format::encode(tables, top, &elf.code_segments()?, dwarf.lost)
}
