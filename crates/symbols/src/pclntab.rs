//! The table of functions and lines that Go keeps in every binary, stripped or not.

use crate::Error;
use crate::elf::{Code, Elf};
use crate::layers::Piece;
use crate::tables::Tables;

/// What the table says; ids are locations.
pub(crate) fn read(
    _elf: &Elf<'_>,
    _code: &Code,
    _tables: &mut Tables,
) -> Result<Vec<Piece>, Error> {
    Ok(Vec::new())
}
