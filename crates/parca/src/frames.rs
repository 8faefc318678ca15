//! Columns of locations and of calls to parts of profiles. Owns what their columns are called in
//! both versions of the schema, and what stands for a file where there is none.

use arrow_array::{Array, ArrayRef, StructArray};
use cairn_model::{Addressing, Function, Line, Mapping, NONE, StrId};

use crate::Error;
use crate::column::{self, Lists};
use crate::meter::Meter;
use crate::parts::Parts;
use crate::table::Builder;

/// Bytes that a location takes.
const LOCATION_BYTES: usize = 64;

/// The frames that have instructions of a file to be named by.
const NATIVE: &[u8] = b"native";

const KERNEL: &[u8] = b"kernel";

const KERNEL_FILE: &str = "[kernel]";

/// Makes every item of a column of locations a location of `table`, equal ones the same.
pub(crate) fn locations(
    items: &ArrayRef,
    name: &str,
    table: &mut Builder,
    meter: &mut Meter<'_>,
) -> Result<Vec<u32>, Error> {
    let resolved = column::resolve(items, name, meter)?;
    let structs = resolved.structs(name)?;
    let rows = structs.len();
    meter.tables.take(rows.saturating_mul(LOCATION_BYTES))?;
    let columns = Columns::read(structs, &mut table.parts, meter)?;
    let mut found = Vec::with_capacity(rows);
    for row in 0..rows {
        found.push(match structs.is_valid(row) {
            true => columns.location(row, table, meter)?,
            false => empty(table),
        });
    }
    let absent = match found.len() {
        0 => empty(table),
        _ => NONE,
    };
    let mut found = resolved.spread(found, absent);
    if found.contains(&NONE) {
        let empty = empty(table);
        found
            .iter_mut()
            .filter(|id| **id == NONE)
            .for_each(|id| *id = empty);
    }
    Ok(found)
}

/// The location of which nothing is known.
fn empty(table: &mut Builder) -> u32 {
    let id = table.parts.location(NONE, 0, &[]);
    table.note(id, 1, false);
    id
}

/// The columns of a struct of locations; those that are not there are empty.
struct Columns {
    addresses: Vec<u64>,
    /// What stands for a file if a frame of this type has none.
    stand_ins: Vec<StrId>,
    kernel: StrId,
    files: Vec<StrId>,
    build_ids: Vec<StrId>,
    starts: Vec<u64>,
    offsets: Vec<u64>,
    ranges: Vec<(u32, u32)>,
    lines: Vec<Line>,
}

impl Columns {
    fn read(
        structs: &StructArray,
        parts: &mut Parts,
        meter: &mut Meter<'_>,
    ) -> Result<Self, Error> {
        let numbers = |name: &str, meter: &mut Meter<'_>| match structs.column_by_name(name) {
            Some(array) => column::addresses(array, name, meter),
            None => Ok(Vec::new()),
        };
        let kernel = parts.str(KERNEL_FILE);
        let (ranges, lines) = match structs.column_by_name("lines") {
            None => (Vec::new(), Vec::new()),
            Some(array) => {
                let Lists { ranges, items } = column::lists(array, "lines", meter)?;
                (ranges, lines(&items, parts, meter)?)
            }
        };
        let Some(addresses) = structs.column_by_name("address") else {
            return Err(Error::missing("address of its locations"));
        };
        Ok(Self {
            addresses: column::addresses(addresses, "address", meter)?,
            stand_ins: stand_ins(structs, kernel, parts, meter)?,
            kernel,
            files: texts(structs, &["mapping_file"], parts, meter)?,
            build_ids: texts(structs, &["mapping_build_id"], parts, meter)?,
            starts: numbers("mapping_start", meter)?,
            offsets: numbers("mapping_offset", meter)?,
            ranges,
            lines,
        })
    }

    fn location(
        &self,
        row: usize,
        table: &mut Builder,
        meter: &mut Meter<'_>,
    ) -> Result<u32, Error> {
        let (start, len) = at(&self.ranges, row);
        meter
            .tables
            .take((len as usize).saturating_mul(size_of::<Line>()))?;
        let lines = &self.lines[start as usize..][..len as usize];
        let max = meter.limits.depth_max;
        let kept = match lines.len() > max {
            true => &lines[..max.saturating_sub(1).max(1)],
            false => lines,
        };
        let (address, addressing) = self.address(row);
        let (mut file, build_id) = (at(&self.files, row), at(&self.build_ids, row));
        let stand_in = at(&self.stand_ins, row);
        if file == 0 && build_id == 0 && (!lines.is_empty() || stand_in == self.kernel) {
            file = stand_in;
        }
        let mapping = match (file, build_id) {
            (0, 0) => NONE,
            _ => table.parts.mapping(Mapping {
                file,
                build_id,
                addressing,
            }),
        };
        let location = table.parts.location(mapping, address, kept);
        table.note(location, kept.len(), kept.len() < lines.len());
        Ok(location)
    }

    /// Agents that leave the mapping at 0 send addresses of the file.
    fn address(&self, row: usize) -> (u64, Addressing) {
        let (address, start) = (at(&self.addresses, row), at(&self.starts, row));
        match address.checked_sub(start) {
            Some(within) if start != 0 => {
                let offset = at(&self.offsets, row);
                (within.wrapping_add(offset), Addressing::FileOffset)
            }
            _ => (address, Addressing::Virtual),
        }
    }
}

/// Row of a column that may not be there.
fn at<T: Copy + Default>(column: &[T], row: usize) -> T {
    column.get(row).copied().unwrap_or_default()
}

fn stand_ins(
    structs: &StructArray,
    kernel: StrId,
    parts: &mut Parts,
    meter: &mut Meter<'_>,
) -> Result<Vec<StrId>, Error> {
    let Some(array) = structs.column_by_name("frame_type") else {
        return Ok(Vec::new());
    };
    let found = column::bytes(array, "frame_type", meter, |bytes, meter| match bytes {
        b"" | NATIVE => Ok(0),
        KERNEL => Ok(kernel),
        other => {
            let name = meter.text(other)?;
            meter.tables.take(name.len())?;
            Ok(parts.str(&format!("[{name}]")))
        }
    });
    Ok(nothing_as_empty(found?))
}

/// The first of some columns that is there, as texts of the parts.
fn texts(
    structs: &StructArray,
    names: &[&str],
    parts: &mut Parts,
    meter: &mut Meter<'_>,
) -> Result<Vec<StrId>, Error> {
    let mut columns = names
        .iter()
        .map(|name| (structs.column_by_name(name), *name));
    let Some((Some(array), name)) = columns.find(|(column, _)| column.is_some()) else {
        return Ok(Vec::new());
    };
    let found = column::bytes(array, name, meter, |bytes, meter| {
        let text = meter.text(bytes)?;
        meter.tables.take(text.len())?;
        Ok(parts.str(&text))
    });
    Ok(nothing_as_empty(found?))
}

fn nothing_as_empty(mut ids: Vec<StrId>) -> Vec<StrId> {
    ids.iter_mut()
        .filter(|id| **id == NONE)
        .for_each(|id| *id = 0);
    ids
}

/// Every item of a column of calls.
fn lines(items: &ArrayRef, parts: &mut Parts, meter: &mut Meter<'_>) -> Result<Vec<Line>, Error> {
    let resolved = column::resolve(items, "lines", meter)?;
    let structs = resolved.structs("lines")?;
    let rows = structs.len();
    meter.tables.take(rows.saturating_mul(size_of::<Line>()))?;
    let functions = match structs.column_by_name("function") {
        Some(array) => {
            let resolved = column::resolve(array, "function", meter)?;
            let functions = functions(resolved.structs("function")?, parts, meter)?;
            resolved.spread(functions, NONE)
        }
        None => functions(structs, parts, meter)?,
    };
    let numbers = integers(structs, &["line"], meter)?;
    let columns = integers(structs, &["column"], meter)?;
    let mut found = Vec::with_capacity(rows);
    for row in 0..rows {
        let function = match functions.get(row).copied() {
            Some(function) if function != NONE => function,
            _ => parts.function(Function::default()),
        };
        found.push(Line {
            function,
            line: at(&numbers, row),
            column: at(&columns, row),
        });
    }
    let nothing = Line {
        function: parts.function(Function::default()),
        ..Line::default()
    };
    Ok(resolved.spread(found, nothing))
}

/// Every row of a struct that describes functions, be they structs of their own or calls.
fn functions(
    structs: &StructArray,
    parts: &mut Parts,
    meter: &mut Meter<'_>,
) -> Result<Vec<u32>, Error> {
    meter
        .tables
        .take(structs.len().saturating_mul(size_of::<Function>()))?;
    let names = texts(structs, &["function_name", "name"], parts, meter)?;
    let system_names = texts(
        structs,
        &["function_system_name", "system_name"],
        parts,
        meter,
    )?;
    let files = texts(structs, &["function_filename", "filename"], parts, meter)?;
    let starts = integers(structs, &["function_start_line", "start_line"], meter)?;
    let one = |row| {
        let (name, system_name) = (at(&names, row), at(&system_names, row));
        parts.function(Function {
            name: if name == 0 { system_name } else { name },
            system_name,
            file: at(&files, row),
            start_line: at(&starts, row),
        })
    };
    Ok((0..structs.len()).map(one).collect())
}

fn integers(
    structs: &StructArray,
    names: &[&str],
    meter: &mut Meter<'_>,
) -> Result<Vec<i64>, Error> {
    let mut columns = names
        .iter()
        .map(|name| (structs.column_by_name(name), *name));
    match columns.find(|(column, _)| column.is_some()) {
        Some((Some(array), name)) => column::integers(array, name, 0, meter),
        _ => Ok(Vec::new()),
    }
}
