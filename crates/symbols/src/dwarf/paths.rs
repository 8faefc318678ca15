//! The files of line tables, as whole paths.

use std::borrow::Cow;
use std::collections::HashMap;

use super::sections::{Dwarf, Reader, Unit};
use crate::Error;
use crate::format::NONE;
use crate::names;
use crate::paths::{join, tidy};
use crate::tables::Tables;

/// The files of one unit's line table, as strings, read when they are asked for.
#[derive(Default)]
pub(super) struct Files {
    known: HashMap<u64, u32>,
}

impl Files {
    pub(super) fn get<'a>(
        &mut self,
        (dwarf, unit): (&Dwarf<'a>, &Unit<'a>),
        file: u64,
        tables: &mut Tables,
    ) -> Result<u32, Error> {
        if let Some(&id) = self.known.get(&file) {
            return Ok(id);
        }
        let id = match path(dwarf, unit, file) {
            Some(path) => tables.string(names::cut(&path))?,
            None => NONE,
        };
        self.known.insert(file, id);
        Ok(id)
    }
}

fn path<'a>(dwarf: &Dwarf<'a>, unit: &Unit<'a>, file: u64) -> Option<String> {
    let header = unit.line_program.as_ref()?.header();
    let entry = header.file(file)?;
    let text = |value| -> Option<Cow<'a, str>> {
        let text: Reader<'a> = dwarf.attr_string(unit, value).ok()?;
        Some(text.to_string_lossy())
    };
    let name = text(entry.path_name()).filter(|name| !name.is_empty())?;
    let mut path = match unit.comp_dir {
        Some(folder) => folder.to_string_lossy().into_owned(),
        None => String::new(),
    };
    // Folder 0 is that of the compilation. Since version 5 the table has it like any other, and
    // where it is relative to nothing, everybody else puts it twice; files are found by their ends.
    let is_listed = |&index: &u64| index > 0 || header.version() >= 5;
    let folder = Some(entry.directory_index()).filter(is_listed);
    if let Some(folder) = folder
        .and_then(|index| header.directory(index))
        .and_then(text)
    {
        path = join(&path, &folder);
    }
    Some(tidy(&join(&path, &name)))
}
