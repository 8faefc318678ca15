//! The line table of a unit, as ranges of addresses that lie on one line.

use super::sections::Unit;
use super::unit::Failure;
use crate::elf::Code;

/// Lines of one unit; more are not read.
const ROWS_MAX: usize = 1 << 24;

/// Addresses of one line; `file` is the line table's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) file: u64,
    pub(super) line: u32,
    pub(super) column: u16,
}

/// All lines of a unit that lie in code, in order, without overlaps.
pub(super) fn read(unit: &Unit<'_>, code: &Code) -> Result<Vec<Row>, Failure> {
    let Some(program) = unit.line_program.clone() else {
        return Ok(Vec::new());
    };
    let mut rows: Vec<Row> = Vec::new();
    let mut machine = program.rows();
    // Where the sequence began in `rows`.
    let mut first = 0;
    let mut open: Option<Row> = None;
    while let Some((_, row)) = machine.next_row()? {
        let address = row.address();
        if let Some(before) = open.take()
            && let Some(range) = code.clip(before.start..address)
        {
            // Of several rows at one address the last one counts, as it has all that precede it.
            if rows.len() >= ROWS_MAX {
                return Err(Failure::Malformed);
            }
            rows.push(Row {
                end: range.end,
                ..before
            });
        }
        if row.end_sequence() {
            // Addresses only grow, but not all compilers know.
            rows[first..].sort_by_key(|row| row.start);
            first = rows.len();
            continue;
        }
        open = Some(Row {
            start: address,
            end: address,
            file: row.file_index(),
            line: row.line().map_or(0, |line| number(line.get())),
            column: match row.column() {
                gimli::ColumnType::LeftEdge => 0,
                gimli::ColumnType::Column(column) => short(column.get()),
            },
        });
    }
    rows.sort_by_key(|row| row.start);
    let mut end = 0;
    for row in &mut rows {
        row.start = row.start.max(end);
        end = end.max(row.end);
    }
    rows.retain(|row| row.start < row.end);
    Ok(rows)
}

pub(super) fn number(line: u64) -> u32 {
    u32::try_from(line).unwrap_or(0)
}

/// Columns beyond what fits are as good as unknown.
pub(super) fn short(column: u64) -> u16 {
    u16::try_from(column).unwrap_or(0)
}
