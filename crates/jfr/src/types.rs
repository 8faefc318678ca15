//! The types that a chunk describes, and reading values by them.

use std::borrow::Cow;

use crate::reader::Reader;
use crate::slot::Slot;
use crate::text::Text;
use crate::{Error, Map};

/// Structures within structures, of which the JDK has two.
const DEPTH_MAX: usize = 16;

/// How a value lies in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Byte,
    Short,
    Char,
    Int,
    Long,
    Float,
    Double,
    Text,
    /// Position in [`Types::types`].
    Struct(u32),
    /// The chunk does not describe the type.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) slot: Option<Slot>,
    /// Position of the field's type, if the chunk describes it.
    pub(crate) class: Option<u32>,
    pub(crate) shape: Shape,
    /// The value is a key of the type's constants.
    pub(crate) pool: bool,
    pub(crate) array: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Type<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) shape: Shape,
    /// Without those that take no bytes, so that reading takes a step per byte at most.
    pub(crate) fields: Vec<Field>,
}

/// The types of one chunk.
#[derive(Debug, Default)]
pub(crate) struct Types<'a> {
    pub(crate) types: Vec<Type<'a>>,
    pub(crate) by_id: Map<i64, u32>,
}

/// Position of a type, and a key of its constants.
pub(crate) type Key = (u32, i64);

/// One value, read no deeper than its first level.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Absent,
    Int(i64),
    Text(Text<'a>),
    /// A constant of a type.
    Constant {
        class: u32,
        key: i64,
    },
    /// A structure: its bytes and whatever follows them.
    Struct {
        class: u32,
        bytes: Reader<'a>,
    },
    /// Elements of a structure that takes bytes.
    Array {
        class: u32,
        count: usize,
        bytes: Reader<'a>,
    },
}

// === impl Cell ===

impl Cell<'_> {
    /// What tells a constant from all others.
    pub(crate) fn key(self) -> Option<Key> {
        match self {
            Self::Constant { class, key } => Some((class, key)),
            _ => None,
        }
    }

    /// Numbers, and zero for what is none.
    pub(crate) fn int(self) -> i64 {
        match self {
            Self::Int(value) => value,
            _ => 0,
        }
    }
}

// === impl Types ===

impl<'a> Types<'a> {
    /// Position of the type of this name.
    pub(crate) fn named(&self, name: &str) -> Option<u32> {
        let at = self.types.iter().position(|kind| kind.name == name)?;
        Some(at as u32)
    }

    /// The number by which events name a type.
    pub(crate) fn id(&self, class: u32) -> Option<i64> {
        let mut ids = self.by_id.iter();
        ids.find(|(_, at)| **at == class).map(|(id, _)| *id)
    }

    /// Reads the fields that `wanted` names, in its order.
    pub(crate) fn read<const N: usize>(
        &self,
        class: u32,
        reader: &mut Reader<'a>,
        wanted: [Slot; N],
    ) -> Result<[Cell<'a>; N], Error> {
        let mut cells = [Cell::Absent; N];
        for field in &self.types[class as usize].fields {
            let at = field
                .slot
                .and_then(|slot| wanted.iter().position(|wanted| *wanted == slot));
            match at {
                Some(at) => cells[at] = self.cell(field, reader)?,
                None => self.skip_field(field, reader, 0)?,
            }
        }
        Ok(cells)
    }

    fn cell(&self, field: &Field, reader: &mut Reader<'a>) -> Result<Cell<'a>, Error> {
        if field.array {
            let before = *reader;
            self.skip_field(field, reader, 0)?;
            let (false, Shape::Struct(class)) = (field.pool, field.shape) else {
                return Ok(Cell::Absent);
            };
            let mut bytes = before;
            let count = bytes.count()?;
            return Ok(Cell::Array {
                class,
                count,
                bytes,
            });
        }
        if field.pool {
            let key = reader.long()?;
            return Ok(match field.class {
                Some(class) => Cell::Constant { class, key },
                None => Cell::Absent,
            });
        }
        self.value(field.shape, reader)
    }

    /// A value that is neither a constant nor an array.
    pub(crate) fn value(&self, shape: Shape, reader: &mut Reader<'a>) -> Result<Cell<'a>, Error> {
        Ok(match shape {
            Shape::Byte => Cell::Int(i64::from(reader.byte()?.cast_signed())),
            Shape::Short => Cell::Int(i64::from(reader.short()?.cast_signed())),
            Shape::Char => Cell::Int(i64::from(reader.short()?)),
            Shape::Int => Cell::Int(i64::from(reader.int()?)),
            Shape::Long => Cell::Int(reader.long()?),
            Shape::Text => Cell::Text(reader.text()?),
            Shape::Struct(class) => {
                let bytes = *reader;
                self.skip(shape, reader, 0)?;
                Cell::Struct { class, bytes }
            }
            Shape::Float | Shape::Double | Shape::Unknown => {
                self.skip(shape, reader, 0)?;
                Cell::Absent
            }
        })
    }

    /// Passes over one value.
    pub(crate) fn skip(
        &self,
        shape: Shape,
        reader: &mut Reader<'a>,
        depth: usize,
    ) -> Result<(), Error> {
        match shape {
            Shape::Byte => {
                reader.byte()?;
            }
            Shape::Short | Shape::Char => {
                reader.short()?;
            }
            Shape::Int => {
                reader.int()?;
            }
            Shape::Long => {
                reader.long()?;
            }
            Shape::Float => {
                reader.take(4)?;
            }
            Shape::Double => {
                reader.take(8)?;
            }
            Shape::Text => {
                reader.text()?;
            }
            Shape::Struct(_) if depth >= DEPTH_MAX => {
                return Err(Error::undecodable("structures are nested too deeply"));
            }
            Shape::Struct(class) => {
                for field in &self.types[class as usize].fields {
                    self.skip_field(field, reader, depth + 1)?;
                }
            }
            Shape::Unknown => return Err(Error::undecodable("a field has an unknown type")),
        }
        Ok(())
    }

    fn skip_field(
        &self,
        field: &Field,
        reader: &mut Reader<'a>,
        depth: usize,
    ) -> Result<(), Error> {
        let count = if field.array { reader.count()? } else { 1 };
        for _ in 0..count {
            if field.pool {
                reader.long()?;
            } else {
                self.skip(field.shape, reader, depth)?;
            }
        }
        Ok(())
    }
}
