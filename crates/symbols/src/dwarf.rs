//! Functions, lines and inlined calls out of DWARF. Which sections to read and how is symbolic's.

use std::collections::HashMap;
use std::ops::Range;

use symbolic_common::{clean_path, join_path};
use symbolic_debuginfo::elf::ElfObject;
use symbolic_debuginfo::{FileInfo, Function};

use crate::Error;
use crate::format::{DEPTH_MAX, NONE};
use crate::names;
use crate::paint::{Painter, Place};

/// Broken units in one file after which the rest is not tried.
const BROKEN_UNITS_MAX: u32 = 10_000;

/// Paints every function that the file's DWARF describes. A unit that can't be read is skipped,
/// its functions keep the names that the symbol table gives; returns how many were.
pub(crate) fn paint(object: &ElfObject<'_>, painter: &mut Painter) -> Result<u32, Error> {
    if !object.has_debug_info() {
        return Ok(0);
    }
    let unreadable = |error: symbolic_debuginfo::dwarf::DwarfError| {
        Error::Unreadable(format!("{}", error.kind()))
    };
    let session = object.debug_session().map_err(unreadable)?;
    let mut walk = Walk {
        painter,
        base: object.load_address(),
        files: HashMap::new(),
        key: Vec::new(),
    };
    let mut broken = 0;
    let mut functions = session.functions();
    while let Some(function) = calmly(|| functions.next())? {
        match function {
            Ok(function) => {
                let range = walk.range_of(&function, 0..u64::MAX);
                walk.function(&function, range, 0)?;
            }
            Err(_) if broken < BROKEN_UNITS_MAX => broken += 1,
            Err(error) => return Err(unreadable(error)),
        }
    }
    Ok(broken)
}

/// Runs a step of the library, which panics on some malformed files where overflow is checked.
fn calmly<T>(step: impl FnOnce() -> T) -> Result<T, Error> {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(step));
    done.map_err(|_| Error::Unreadable("it is malformed".to_owned()))
}

struct Walk<'p> {
    painter: &'p mut Painter,
    /// Addresses of symbolic are relative to this.
    base: u64,
    /// (compilation folder, folder, name), joined by zero bytes, to the path's string.
    files: HashMap<Vec<u8>, u32>,
    key: Vec<u8>,
}

impl Walk<'_> {
    fn function(
        &mut self,
        function: &Function<'_>,
        range: Range<u64>,
        depth: u32,
    ) -> Result<(), Error> {
        let raw_name = function.name.as_str();
        if raw_name.is_empty() || range.is_empty() || depth >= DEPTH_MAX {
            return Ok(());
        }
        let first = function.lines.first();
        let file = match first {
            Some(line) => self.file(function.compilation_dir, &line.file)?,
            None => NONE,
        };
        let id = self
            .painter
            .function(raw_name, function.name.language(), file)?;
        if let Some(first) = first
            && !function.inline
            && first.address == function.address
        {
            self.painter.start_line(id, line_number(first.line));
        }
        // Code without a line record still belongs to the function.
        let unknown = Place {
            function: id,
            file,
            line: 0,
        };
        self.painter.paint(range.clone(), unknown, depth)?;
        for line in &function.lines {
            let place = Place {
                function: id,
                file: self.file(function.compilation_dir, &line.file)?,
                line: line_number(line.line),
            };
            let start = self.base.saturating_add(line.address);
            let end = start.saturating_add(line.size.unwrap_or(1));
            let clipped = start.max(range.start)..end.min(range.end);
            self.painter.paint(clipped, place, depth)?;
        }
        for inlinee in &function.inlinees {
            let inner = self.range_of(inlinee, range.clone());
            self.function(inlinee, inner, depth + 1)?;
        }
        Ok(())
    }

    /// The function's addresses, as far as they lie within its caller's.
    fn range_of(&self, function: &Function<'_>, within: Range<u64>) -> Range<u64> {
        let start = self.base.saturating_add(function.address);
        let end = self.base.saturating_add(function.end_address());
        start.max(within.start)..end.min(within.end)
    }

    fn file(&mut self, compilation_dir: &[u8], file: &FileInfo<'_>) -> Result<u32, Error> {
        let (folder, name) = (file.dir_str(), file.name_str());
        if name.is_empty() {
            return Ok(NONE);
        }
        self.key.clear();
        for part in [compilation_dir, folder.as_bytes(), name.as_bytes()] {
            self.key.extend_from_slice(part);
            self.key.push(0);
        }
        if let Some(&id) = self.files.get(&self.key) {
            return Ok(id);
        }
        let compilation_dir = String::from_utf8_lossy(compilation_dir);
        let path = join_path(&join_path(&compilation_dir, &folder), &name);
        let id = self.painter.string(names::cut(&clean_path(&path)))?;
        self.files.insert(self.key.clone(), id);
        Ok(id)
    }
}

fn line_number(line: u64) -> u32 {
    u32::try_from(line).unwrap_or(0)
}
