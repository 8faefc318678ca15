//! The table of functions and lines that Go keeps in every binary, stripped or not, since 1.2. Inlined
//! calls are read since 1.13; before, code of theirs has its own line, in the function that it is in.

mod layout;
mod module;

use std::borrow::Cow;
use std::ops::Range;

use crate::Error;
use crate::elf::{Code, Elf};
use crate::format::{Function, Location, NONE};
use crate::layers::{self, Piece};
use crate::names;
use crate::tables::Tables;

use self::layout::{Layout, Places};
use self::module::Module;

/// Functions of one binary; the largest have some hundred thousand.
const FUNCTIONS_MAX: usize = 1 << 22;
/// Calls inlined into each other; more are not told apart.
const INLINED_MAX: usize = 256;
/// Changes of a value within one function.
const STEPS_MAX: usize = 1 << 20;

/// Which of a function's values say which inlined call is where.
const INLINE_INDEX: u32 = 2;

/// What the table says; ids are locations. A function that can't be read keeps its symbol.
pub(crate) fn read(elf: &Elf<'_>, code: &Code, tables: &mut Tables) -> Result<Vec<Piece>, Error> {
    let Some(bytes) = elf.pclntab() else {
        return Ok(Vec::new());
    };
    let Some(header) = Header::read(elf, bytes) else {
        return Ok(Vec::new());
    };
    let mut pieces = Vec::new();
    for position in 0..header.places.count {
        let Some(function) = header.function(position) else {
            continue;
        };
        let Some(range) = code.clip(function.range.clone()) else {
            continue;
        };
        header.paint(&function, range, tables, &mut pieces)?;
    }
    Ok(layers::settle(pieces))
}

/// Where everything is.
struct Header<'b> {
    bytes: Cow<'b, [u8]>,
    module: Module,
    /// Code is a multiple of this many bytes.
    quantum: u32,
    places: Places,
    layout: Layout,
}

struct GoFunction {
    /// Where its description is.
    at: usize,
    range: Range<u64>,
}

/// A value from each of these offsets on, up to the end.
struct Values {
    /// (end, value), offsets from the function's start.
    steps: Vec<(u64, i32)>,
}

impl Values {
    fn at(&self, offset: u64) -> Option<i32> {
        let step = self.steps.partition_point(|&(end, _)| end <= offset);
        self.steps.get(step).map(|&(_, value)| value)
    }
}

/// A function's values that change along its code.
struct Along {
    file: Values,
    line: Values,
    call: Values,
    tree: Option<usize>,
    unit: u32,
}

impl<'b> Header<'b> {
    fn read(elf: &Elf<'_>, bytes: Cow<'b, [u8]>) -> Option<Self> {
        let module = Module::read(elf)?;
        let layout = Layout::of(module.word(&bytes, 0)?)?;
        let bytes = match layout.has_addresses {
            true => module::filled_in(elf, &module, bytes)?,
            false => bytes,
        };
        let (quantum, pointer) = (*bytes.get(6)?, usize::from(*bytes.get(7)?));
        if pointer != module.pointer_bytes || !matches!(quantum, 1 | 2 | 4) {
            return None;
        }
        Some(Self {
            quantum: u32::from(quantum),
            places: Places::read(&layout, &module, &bytes)?,
            layout,
            bytes,
            module,
        })
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.module.word(&self.bytes, at)
    }

    fn long(&self, at: usize) -> Option<u64> {
        self.module.long(&self.bytes, at)
    }

    fn function(&self, position: usize) -> Option<GoFunction> {
        let step = self.entry_bytes();
        let row = position.checked_mul(2 * step)?;
        let row = self.places.table.checked_add(row)?;
        let entry = |row: usize| match self.layout.has_addresses {
            true => self.long(row),
            false => {
                let offset = self.word(row)?;
                self.module.text.checked_add(u64::from(offset))
            }
        };
        let described = match self.layout.has_addresses {
            true => usize::try_from(self.long(row + step)?).ok()?,
            false => self.word(row + step)? as usize,
        };
        let at = self.places.functions.checked_add(described)?;
        let range = entry(row)?..entry(row + 2 * step)?;
        Some(GoFunction { at, range })
    }

    fn text(&self, base: usize, offset: u32) -> Option<&str> {
        let text = self.bytes.get(base.checked_add(offset as usize)?..)?;
        let end = text.iter().take(1 << 16).position(|&byte| byte == 0)?;
        std::str::from_utf8(&text[..end]).ok()
    }

    /// Names the code of one function; nothing if its description is damaged.
    fn paint(
        &self,
        function: &GoFunction,
        code: Range<u64>,
        tables: &mut Tables,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), Error> {
        let Some((name, along)) = self.describe(function) else {
            return Ok(());
        };
        let start_line = match self.layout.has_start_line {
            true => self.word(function.at + 36).unwrap_or(0),
            false => 0,
        };
        let outer = go_function(tables, name, start_line)?;
        let start = function.range.start;
        let mut ends: Vec<u64> = [&along.file, &along.line, &along.call]
            .into_iter()
            .flat_map(|values| values.steps.iter().map(|&(end, _)| end))
            .collect();
        ends.push(code.end - start);
        ends.sort_unstable();
        ends.dedup();
        let mut at = code.start - start;
        for end in ends {
            let end = end.min(code.end - start);
            if end <= at {
                continue;
            }
            let id = self.chain(&along, at, outer, tables)?;
            layers::push(pieces, start + at..start + end, id);
            at = end;
        }
        Ok(())
    }

    fn describe(&self, function: &GoFunction) -> Option<(&str, Along)> {
        let field = |n: usize| {
            let behind_entry = function.at.checked_add(self.entry_bytes())?;
            self.word(behind_entry.checked_add(4 * n)?)
        };
        let name = self.text(self.places.names, field(0)?)?;
        let (call, tree) = self.calls(function)?;
        let along = Along {
            file: self.values(field(4)?)?,
            line: self.values(field(5)?)?,
            call,
            tree,
            unit: if self.layout.has_units { field(7)? } else { 0 },
        };
        Some((name, along))
    }

    /// Bytes of an address or offset in the table, and of that with which a description begins.
    fn entry_bytes(&self) -> usize {
        match self.layout.has_addresses {
            true => self.module.pointer_bytes,
            false => 4,
        }
    }

    /// Which inlined call is where, and the tree of them.
    fn calls(&self, function: &GoFunction) -> Option<(Values, Option<usize>)> {
        let behind_entry = function.at.checked_add(self.entry_bytes())?;
        // The count of trees is the last byte before both tables.
        let tables = behind_entry
            + match (self.layout.has_start_line, self.layout.has_units) {
                (true, _) => 40,
                (false, true) => 36,
                (false, false) => 32,
            };
        let values = self.word(behind_entry + 24)?;
        let trees = u32::from(*self.bytes.get(tables - 1)?);
        let none = (Values { steps: Vec::new() }, None);
        if values <= INLINE_INDEX || trees <= self.layout.tree {
            return Some(none);
        }
        let table = |n: usize| tables.checked_add(n.checked_mul(4)?);
        let behind = table(values as usize)?;
        let tree = match self.layout.has_addresses {
            true => {
                let step = self.module.pointer_bytes;
                let first = behind.checked_next_multiple_of(step)?;
                let address = self.long(first.checked_add(step * self.layout.tree as usize)?)?;
                self.module.data_at(address)
            }
            // All bits: there is none.
            false => match self.word(behind.checked_add(4 * self.layout.tree as usize)?)? {
                u32::MAX => None,
                offset => self.module.function_data(offset),
            },
        };
        match tree {
            None => Some(none),
            tree => {
                let calls = self.word(table(INLINE_INDEX as usize)?)?;
                Some((self.values(calls)?, tree))
            }
        }
    }

    /// Pairs of differences: of the value, signs in the lowest bit, and of the address.
    fn values(&self, offset: u32) -> Option<Values> {
        let mut steps = Vec::new();
        if offset == 0 {
            return Some(Values { steps });
        }
        let mut rest = self
            .bytes
            .get(self.places.values.checked_add(offset as usize)?..)?;
        let (mut value, mut end) = (-1i32, 0u64);
        loop {
            let change = varint(&mut rest)?;
            if change == 0 && !steps.is_empty() {
                return Some(Values { steps });
            }
            let change = (change >> 1) as i32 ^ -((change & 1) as i32);
            value = value.wrapping_add(change);
            let step = u64::from(varint(&mut rest)?) * u64::from(self.quantum);
            end = end.checked_add(step)?;
            steps.push((end, value));
            if steps.len() > STEPS_MAX {
                return None;
            }
        }
    }

    /// The location of the code at an offset, its callers interned before it.
    fn chain(&self, along: &Along, at: u64, outer: u32, tables: &mut Tables) -> Result<u32, Error> {
        let mut calls: Vec<(u32, u64)> = Vec::new();
        let mut offset = at;
        while let Some(index) = along.call.at(offset).filter(|&index| index >= 0)
            && calls.len() < INLINED_MAX
        {
            let Some((name, line, parent)) = self.inlined(along, index as usize) else {
                break;
            };
            calls.push((go_function(tables, name, line)?, offset));
            offset = u64::from(parent);
        }
        let mut parent = NONE;
        let outermost = (outer, offset);
        for (function, offset) in std::iter::once(outermost).chain(calls.into_iter().rev()) {
            let file = match self.file(along, offset) {
                Some(file) => tables.string(names::cut(file))?,
                None => NONE,
            };
            let line = along
                .line
                .at(offset)
                .and_then(|line| u32::try_from(line).ok());
            let location = Location {
                function,
                file,
                line: line.unwrap_or(0),
                parent,
                ..Location::UNKNOWN
            };
            parent = tables.location(location)?.unwrap_or(parent);
        }
        Ok(parent)
    }

    /// The name, first line and caller's offset of an inlined call.
    fn inlined(&self, along: &Along, index: usize) -> Option<(&str, u32, u32)> {
        let Layout {
            has_start_line,
            call_bytes,
            call_name,
            call_parent,
            ..
        } = self.layout;
        let row = along.tree?.checked_add(index.checked_mul(call_bytes)?)?;
        let word = |at: usize| self.module.word(&self.module.data, row.checked_add(at)?);
        // Callers come first in a tree; what is none hardly looks so.
        let caller = self.module.half(&self.module.data, row)?;
        if self.layout.has_addresses && i64::from(caller) >= index as i64 {
            return None;
        }
        let name = self.text(self.places.names, word(call_name)?)?;
        let line = match has_start_line {
            true => word(12)?,
            false => 0,
        };
        Some((name, line, word(call_parent)?))
    }

    fn file(&self, along: &Along, offset: u64) -> Option<&str> {
        let file = u32::try_from(along.file.at(offset)?).ok()?;
        let entry = along.unit.checked_add(file)? as usize;
        let place = self.places.units.checked_add(entry.checked_mul(4)?)?;
        let file = self.text(self.places.files, self.word(place)?)?;
        Some(file).filter(|file| !file.is_empty())
    }
}

fn go_function(tables: &mut Tables, name: &str, start_line: u32) -> Result<u32, Error> {
    let system_name = tables.string(names::cut(name))?;
    let name = tables.string(&names::readable(name))?;
    tables.function_of(Function {
        name,
        system_name,
        start_line,
    })
}

fn varint(rest: &mut &[u8]) -> Option<u32> {
    let (mut value, mut shift) = (0u32, 0);
    loop {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if *byte < 0x80 {
            return Some(value);
        }
    }
}
