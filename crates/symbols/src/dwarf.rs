//! Functions, lines and inlined calls out of DWARF 2 to 5, one unit at a time.
//!
//! Which calls lead to an address is said by the tree of entries alone, never by where other code
//! lies; which line it is, by the line table. Knows nothing of symbol tables but what is handed in.

mod names;
mod paths;
mod rows;
mod sections;
mod unit;

use std::rc::Rc;

use gimli::{DebugInfoOffset, UnitType};

use self::sections::{Debug, Loaded, Reader};
use self::unit::Walk;
use crate::Error;
use crate::convert::Companions;
use crate::elf::{Code, Elf};
use crate::format::Lost;
use crate::layers::{self, Piece};
use crate::tables::Tables;

/// Broken units in one file after which the rest is not tried.
const BROKEN_UNITS_MAX: u32 = 10_000;

/// Units that are looked at to see whether any is split.
const LOOKS_MAX: usize = 1 << 12;

/// What the debug information says; ids are locations.
#[derive(Default)]
pub(crate) struct Named {
    /// Code of functions, with the calls that were inlined.
    pub(crate) functions: Vec<Piece>,
    /// Lines of code that no unit describes as a function, named after symbols: assembly.
    pub(crate) lines: Vec<Piece>,
    pub(crate) lost: Lost,
}

/// Reads every function that the file's DWARF describes. A unit that can't be read is skipped,
/// its functions keep the names that the symbol table gives. `symbols` names code that has lines
/// but no function.
pub(crate) fn read(
    elf: &Elf<'_>,
    companions: &Companions<'_>,
    code: &Code,
    symbols: &[Piece],
    tables: &mut Tables,
) -> Result<Named, Error> {
    let loaded = Loaded::new(elf, companions);
    let Some(debug) = calmly(|| loaded.debug()).flatten() else {
        return Ok(Named::default());
    };
    let mut walk = Walk::new(&debug, code, symbols, tables);
    let mut headers = debug.main.units();
    loop {
        // Where the next unit begins is not known if a header can't be read.
        let header = match calmly(|| headers.next()) {
            Some(Ok(Some(header))) => header,
            Some(Ok(None)) => break,
            Some(Err(_)) | None => {
                walk.named.lost.skipped += 1;
                break;
            }
        };
        // A partial unit is code of nobody: the units that import it say where its functions are.
        if !matches!(
            header.type_(),
            UnitType::Compilation | UnitType::Skeleton(_)
        ) {
            continue;
        }
        match calmly(|| walk.unit(header)) {
            Some(Ok(())) => {}
            Some(Err(unit::Failure::Limit(error))) => return Err(error),
            Some(Err(unit::Failure::Malformed)) | None => {
                walk.named.lost.skipped += 1;
                if walk.named.lost.skipped >= BROKEN_UNITS_MAX {
                    break;
                }
            }
        }
    }
    let mut named = walk.named;
    // Units may claim the same code: linkers keep one of several copies, and debug information
    // of the others then often points to that one. The first unit is the one whose copy was kept.
    named.functions = layers::settle(named.functions);
    named.lines = layers::settle(named.lines);
    Ok(named)
}

/// Whether a unit has its functions in another file.
pub(crate) fn is_split(elf: &Elf<'_>) -> bool {
    // Both ways of saying so keep addresses in a table of their own.
    if elf.section(".debug_addr").is_none() {
        return false;
    }
    let companions = Companions::default();
    let loaded = Loaded::new(elf, &companions);
    let look = || {
        let debug = loaded.debug()?;
        let mut headers = debug.main.units();
        for _ in 0..LOOKS_MAX {
            let header = headers.next().ok().flatten()?;
            let unit = debug.main.unit(header).ok()?;
            if unit.dwo_id.is_some() {
                return Some(());
            }
        }
        None
    };
    calmly(look).flatten().is_some()
}

/// Whether the package has units of the file. Each has the hash of its content as an id, so those
/// that are there are right, also if others are not.
pub(crate) fn check_package(elf: &Elf<'_>, companions: &Companions<'_>) -> Result<(), Error> {
    let loaded = Loaded::new(elf, companions);
    let look = || {
        let debug = loaded.debug()?;
        let mut headers = debug.main.units();
        let mut is_split = false;
        while let Ok(Some(header)) = headers.next() {
            let unit = debug.main.unit(header).ok();
            let Some(id) = unit.and_then(|unit| unit.dwo_id) else {
                continue;
            };
            if debug.is_packed(id) {
                return Some(Ok(()));
            }
            is_split = true;
        }
        is_split.then_some(Err(Error::OtherPackage))
    };
    calmly(look).flatten().unwrap_or(Err(Error::NotSplit))
}

/// Runs a step of the library, which may panic on malformed files where overflow is checked.
fn calmly<T>(step: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)).ok()
}

/// A unit of any of the files, kept while others refer to it.
type SharedUnit<'a> = Rc<gimli::Unit<Reader<'a>>>;

/// Where each unit of a section begins, so that the one with an entry is found.
fn unit_starts(debug: &Debug<'_>, is_alt: bool) -> Vec<DebugInfoOffset> {
    let Some(dwarf) = debug.file(is_alt) else {
        return Vec::new();
    };
    let mut starts = Vec::new();
    let mut headers = dwarf.units();
    while let Ok(Some(header)) = headers.next() {
        starts.extend(header.debug_info_offset());
    }
    starts
}
