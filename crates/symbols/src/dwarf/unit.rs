//! One unit: which function and which inlined calls hold each address of its code, and the line.

use std::ops::Range;

use gimli::{Attribute, AttributeValue, UnitHeader, constants as dw};

use super::Named;
use super::names::{self, Around, Entry, Here, Names};
use super::paths::Files;
use super::rows::{self, Row, number, short};
use super::sections::{Debug, Dwarf, Reader, Unit};
use crate::Error;
use crate::elf::Code;
use crate::format::{Function, Location, NONE};
use crate::layers::{self, Piece};
use crate::tables::Tables;

/// Functions and inlined calls around an entry; deeper ones are not told from their caller.
const DEPTH_MAX: usize = 1024;
/// Ranges of one function; more are not read.
const RANGES_MAX: usize = 1 << 16;
/// Ranges of all functions and calls of one unit.
const UNIT_RANGES_MAX: usize = 1 << 23;

/// Why a unit was not read to its end.
pub(super) enum Failure {
    Malformed,
    Limit(Error),
}

impl From<gimli::Error> for Failure {
    fn from(_: gimli::Error) -> Self {
        Self::Malformed
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Limit(error)
    }
}

pub(super) struct Walk<'w, 'a> {
    debug: &'w Debug<'a>,
    code: &'w Code,
    symbols: &'w [Piece],
    tables: &'w mut Tables,
    names: Names<'w, 'a>,
    pub(super) named: Named,
}

/// A function or an inlined call.
struct Scope {
    entry: Entry,
    /// The scope around it, if it was inlined.
    parent: Option<u32>,
    /// Where its first range begins.
    start: u64,
    call_file: u64,
    call_line: u32,
    call_column: u16,
}

/// What the entries of a unit say.
#[derive(Default)]
struct Scopes {
    scopes: Vec<Scope>,
    /// Addresses of scopes, outer before inner, and whose they are.
    ranges: Vec<Range<u64>>,
    owners: Vec<u32>,
    around: Around,
}

impl<'w, 'a> Walk<'w, 'a> {
    pub(super) fn new(
        debug: &'w Debug<'a>,
        code: &'w Code,
        symbols: &'w [Piece],
        tables: &'w mut Tables,
    ) -> Self {
        Self {
            debug,
            code,
            symbols,
            tables,
            names: Names::new(debug),
            named: Named::default(),
        }
    }

    pub(super) fn unit(&mut self, header: UnitHeader<Reader<'a>>) -> Result<(), Failure> {
        let debug = self.debug;
        let unit = debug.main.unit(header)?;
        self.names.next_unit();
        let split = debug.split(&unit);
        if unit.dwo_id.is_some() && split.is_none() {
            self.named.lost.missing += 1;
        }
        let (dwarf, inner) = match &split {
            Some((dwarf, inner)) => (&**dwarf, inner),
            None => (&debug.main, &unit),
        };
        let scopes = self.scopes(dwarf, inner)?;
        // A broken line table leaves the names.
        let rows = rows::read(&unit, self.code).unwrap_or_default();
        let here = Here {
            dwarf,
            unit: inner,
            around: &scopes.around,
            is_split: split.is_some(),
        };
        let functions = self.functions(&here, &scopes)?;
        Paint {
            walk: self,
            lines: (&debug.main, &unit),
            files: Files::default(),
            calls: vec![None; scopes.scopes.len()],
            scopes: &scopes,
            functions,
        }
        .all(&rows)?;
        Ok(())
    }

    /// The function of each scope; [`names::NO_FUNCTION`] if it has no name.
    fn functions(&mut self, here: &Here<'_, 'a>, scopes: &Scopes) -> Result<Vec<u32>, Error> {
        let is_mangled = names::has_spaces(here.unit);
        let mut functions = Vec::with_capacity(scopes.scopes.len());
        for scope in &scopes.scopes {
            let function = self.names.function(here, scope.entry, self.tables)?;
            let mut function = function.unwrap_or(names::NO_FUNCTION);
            if is_mangled && scope.parent.is_none() && function != names::NO_FUNCTION {
                function = self.mangled(function, scope.start)?;
            }
            functions.push(function);
        }
        Ok(functions)
    }

    /// Compilers leave out the linkage names of functions that no other unit can call. Where the
    /// symbol table has one, it says more.
    fn mangled(&mut self, function: u32, start: u64) -> Result<u32, Error> {
        let said = self.tables.functions[function as usize];
        let mangled = |name: &str| name.starts_with("_Z") || name.starts_with("_R");
        let symbol = layers::within(self.symbols, start..start + 1).next();
        let Some(symbol) = symbol.map(|symbol| self.tables.functions[symbol.id as usize]) else {
            return Ok(function);
        };
        let name = |id| self.tables.strings.get(id);
        if mangled(name(said.system_name)) || !mangled(name(symbol.system_name)) {
            return Ok(function);
        }
        self.tables.function_of(Function {
            start_line: said.start_line,
            ..symbol
        })
    }

    fn scopes(&self, dwarf: &Dwarf<'a>, unit: &Unit<'a>) -> Result<Scopes, Failure> {
        let qualify = names::has_spaces(unit);
        let mut found = Scopes::default();
        let mut entries = unit.entries_raw(None)?;
        let mut attributes = Vec::new();
        // (depth, scope) of the functions and calls around the entry, and the names of spaces.
        let mut open: Vec<(isize, u32)> = Vec::new();
        let mut spaces: Vec<names::Space<'a>> = Vec::new();
        while !entries.is_empty() {
            let (depth, offset) = (entries.next_depth(), entries.next_offset());
            let Some(abbreviation) = entries.read_abbreviation()? else {
                continue;
            };
            while open.last().is_some_and(|&(of, _)| of >= depth) {
                open.pop();
            }
            while spaces.last().is_some_and(|(of, _)| *of >= depth) {
                spaces.pop();
            }
            let (tag, specs) = (abbreviation.tag(), abbreviation.attributes());
            let is_scope = matches!(tag, dw::DW_TAG_subprogram | dw::DW_TAG_inlined_subroutine);
            let is_space = qualify && names::is_space(tag);
            if !is_scope && !is_space {
                entries.skip_attributes(specs)?;
                continue;
            }
            entries.read_attributes(specs, &mut attributes)?;
            if is_space {
                if abbreviation.has_children() && spaces.len() < names::SPACES_MAX {
                    spaces.push((depth, names::space_name(dwarf, unit, &attributes)));
                }
                continue;
            }
            if names::needs_spaces(specs) {
                found.around.note(offset, &spaces);
            }
            let scope = Scope {
                entry: Entry::Here(offset),
                parent: match tag {
                    dw::DW_TAG_inlined_subroutine => open.last().map(|&(_, scope)| scope),
                    _ => None,
                },
                start: 0,
                call_file: 0,
                call_line: 0,
                call_column: 0,
            };
            if let Some(scope) = self.scope((dwarf, unit), scope, &attributes, &mut found)?
                && abbreviation.has_children()
                && open.len() < DEPTH_MAX
            {
                open.push((depth, scope));
            }
        }
        Ok(found)
    }

    /// Notes a function or a call that has code; returns its position.
    fn scope(
        &self,
        (dwarf, unit): (&Dwarf<'a>, &Unit<'a>),
        mut scope: Scope,
        attributes: &[Attribute<Reader<'a>>],
        found: &mut Scopes,
    ) -> Result<Option<u32>, Failure> {
        let mut origin = None;
        let mut has_linkage = false;
        for attribute in attributes {
            let value = || attribute.udata_value().unwrap_or(0);
            match attribute.name() {
                dw::DW_AT_abstract_origin => {
                    origin = names::reference(unit, attribute.value(), scope.entry);
                }
                dw::DW_AT_linkage_name | dw::DW_AT_MIPS_linkage_name => has_linkage = true,
                dw::DW_AT_call_file => {
                    scope.call_file = match attribute.value() {
                        AttributeValue::FileIndex(file) => file,
                        _ => value(),
                    };
                }
                dw::DW_AT_call_line => scope.call_line = number(value()),
                dw::DW_AT_call_column => scope.call_column = short(value()),
                _ => {}
            }
        }
        // Copies of one function share its name.
        if let Some(origin) = origin.filter(|_| !has_linkage) {
            scope.entry = origin;
        }
        let before = found.ranges.len();
        ranges(dwarf, unit, attributes, &mut found.ranges)?;
        let mut kept = before;
        for at in before..found.ranges.len() {
            if let Some(range) = self.code.clip(found.ranges[at].clone()) {
                found.ranges[kept] = range;
                kept += 1;
            }
        }
        found.ranges.truncate(kept);
        if kept > UNIT_RANGES_MAX {
            return Err(Failure::Malformed);
        }
        if kept == before {
            return Ok(None);
        }
        let id = found.scopes.len() as u32;
        scope.start = found.ranges[before].start;
        found.scopes.push(scope);
        found.owners.resize(kept, id);
        Ok(Some(id))
    }
}

/// The addresses that an entry says are its.
fn ranges<'a>(
    dwarf: &Dwarf<'a>,
    unit: &Unit<'a>,
    attributes: &[Attribute<Reader<'a>>],
    into: &mut Vec<Range<u64>>,
) -> Result<(), Failure> {
    let (mut low, mut high, mut bytes) = (None, None, None);
    for attribute in attributes {
        match (attribute.name(), attribute.value()) {
            (dw::DW_AT_low_pc, value) => low = dwarf.attr_address(unit, value)?,
            (dw::DW_AT_high_pc, AttributeValue::Udata(value)) => bytes = Some(value),
            (dw::DW_AT_high_pc, value) => high = dwarf.attr_address(unit, value)?,
            (dw::DW_AT_ranges, value) => {
                let Some(mut list) = dwarf.attr_ranges(unit, value)? else {
                    continue;
                };
                for _ in 0..RANGES_MAX {
                    let Some(range) = list.next()? else { break };
                    into.push(range.begin..range.end);
                }
                return Ok(());
            }
            _ => {}
        }
    }
    if let Some(low) = low {
        let high = high.or(bytes.map(|bytes| low.saturating_add(bytes)));
        into.extend(high.map(|high| low..high));
    }
    Ok(())
}

/// Turns what a unit says into ranges of addresses.
struct Paint<'p, 'w, 'a> {
    walk: &'p mut Walk<'w, 'a>,
    /// The file and the unit of the line table.
    lines: (&'p Dwarf<'a>, &'p Unit<'a>),
    files: Files,
    scopes: &'p Scopes,
    functions: Vec<u32>,
    /// Where each scope was called: the parent of what is in it, once known.
    calls: Vec<Option<u32>>,
}

impl Paint<'_, '_, '_> {
    fn all(&mut self, rows: &[Row]) -> Result<(), Error> {
        let mut pieces = layers::flatten(&self.scopes.ranges);
        for piece in &mut pieces {
            piece.id = self.scopes.owners[piece.id as usize];
        }
        let mut next = 0;
        // Up to where lines without a function were noted.
        let mut seen = 0;
        for piece in &pieces {
            while let Some(row) = rows.get(next).filter(|row| row.start < piece.start) {
                self.lines(row, row.start.max(seen)..row.end.min(piece.start))?;
                if row.end > piece.start {
                    break;
                }
                next += 1;
            }
            let mut at = piece.start;
            while let Some(row) = rows.get(next).filter(|row| row.start < piece.end) {
                self.code(piece.id, at..row.start, None)?;
                let end = row.end.min(piece.end);
                self.code(piece.id, row.start.max(at)..end, Some(row))?;
                at = at.max(end);
                if row.end > piece.end {
                    break;
                }
                next += 1;
            }
            self.code(piece.id, at..piece.end, None)?;
            seen = piece.end;
        }
        for row in rows.get(next..).unwrap_or(&[]) {
            self.lines(row, row.start.max(seen)..row.end)?;
        }
        Ok(())
    }

    /// Code of a scope, on a line if it is known.
    fn code(&mut self, scope: u32, range: Range<u64>, row: Option<&Row>) -> Result<(), Error> {
        if range.start >= range.end {
            return Ok(());
        }
        let function = self.functions[scope as usize];
        let parent = self.call(scope)?;
        if function == names::NO_FUNCTION {
            // Without a name it is its caller's code, or the symbol's.
            match (parent, row) {
                (NONE, Some(row)) => self.lines(row, range)?,
                (NONE, None) => {}
                (parent, _) => layers::push(&mut self.walk.named.functions, range, parent),
            }
            return Ok(());
        }
        let location = self.location(function, row, parent)?;
        let location = match self.walk.tables.location(location)? {
            Some(id) => id,
            // So deep that only its callers are kept.
            None => parent,
        };
        layers::push(&mut self.walk.named.functions, range, location);
        Ok(())
    }

    /// Code of no function, named after symbols.
    fn lines(&mut self, row: &Row, range: Range<u64>) -> Result<(), Error> {
        if range.start >= range.end {
            return Ok(());
        }
        for symbol in layers::within(self.walk.symbols, range) {
            let location = self.location(symbol.id, Some(row), NONE)?;
            if let Some(id) = self.walk.tables.location(location)? {
                layers::push(&mut self.walk.named.lines, symbol.start..symbol.end, id);
            }
        }
        Ok(())
    }

    fn location(
        &mut self,
        function: u32,
        row: Option<&Row>,
        parent: u32,
    ) -> Result<Location, Error> {
        Ok(match row {
            Some(row) => Location {
                function,
                file: self.file(row.file)?,
                line: row.line,
                column: row.column,
                parent,
                depth: 0,
            },
            None => Location {
                function,
                parent,
                ..Location::UNKNOWN
            },
        })
    }

    /// The location of the call that a scope was inlined from; [`NONE`] if it was not.
    fn call(&mut self, scope: u32) -> Result<u32, Error> {
        if let Some(known) = self.calls[scope as usize] {
            return Ok(known);
        }
        // From the innermost scope whose call is known inwards; parents come before children.
        let mut chain = vec![scope];
        while let Some(parent) = self.scopes.scopes[chain[chain.len() - 1] as usize].parent
            && self.calls[parent as usize].is_none()
        {
            chain.push(parent);
        }
        for &scope in chain.iter().rev() {
            let Scope {
                parent,
                call_file,
                call_line,
                call_column,
                ..
            } = self.scopes.scopes[scope as usize];
            let call = match parent {
                None => NONE,
                Some(parent) => {
                    let above = self.calls[parent as usize].unwrap_or(NONE);
                    let function = self.functions[parent as usize];
                    let location = Location {
                        function,
                        file: self.file(call_file)?,
                        line: call_line,
                        column: call_column,
                        parent: above,
                        depth: 0,
                    };
                    match function {
                        names::NO_FUNCTION => above,
                        _ => self.walk.tables.location(location)?.unwrap_or(above),
                    }
                }
            };
            self.calls[scope as usize] = Some(call);
        }
        Ok(self.calls[scope as usize].unwrap_or(NONE))
    }

    fn file(&mut self, file: u64) -> Result<u32, Error> {
        self.files.get(self.lines, file, self.walk.tables)
    }
}
