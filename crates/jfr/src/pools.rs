//! The constants of a chunk. Kept as bytes; an event that needs one reads it.

use std::borrow::Cow;
use std::cell;

use cairn_model::Limits;

use crate::reader::Reader;
use crate::slot::Slot;
use crate::types::{Cell, Shape, Types};
use crate::{Error, Map};

/// Types of which constants are kept: those that stacks, states and names are made of.
const KEPT: [&str; 8] = [
    "java.lang.Class",
    "java.lang.String",
    THREAD,
    "jdk.types.FrameType",
    "jdk.types.Method",
    "jdk.types.StackTrace",
    "jdk.types.Symbol",
    "jdk.types.ThreadState",
];

const THREAD: &str = "java.lang.Thread";

/// A constant takes two bytes of a recording or more, and about 32 bytes here.
const CONSTANTS_SHARE: usize = 64;

/// Bytes of constants that are read while events are, in bytes of the limit: a few bytes of an
/// event can name a large constant again and again.
const READ_SHARE: usize = 4;

/// References between constants that lead to a string, at most.
const HOPS_MAX: usize = 4;

#[derive(Debug)]
pub(crate) struct Pools<'a> {
    /// By position of the type; only kept types are in it.
    by_class: Map<u32, Map<i64, Reader<'a>>>,
    strings: Option<u32>,
    /// Position of the type of threads.
    pub(crate) threads: Option<u32>,
    constants: usize,
    constants_max: usize,
    string_bytes_max: usize,
    /// Counted down while events are read.
    readable: cell::Cell<usize>,
    readable_max: usize,
}

/// Bytes of constants that may be read for all events of a recording.
pub(crate) fn readable_max(limits: &Limits) -> usize {
    limits.profile_bytes_max.saturating_mul(READ_SHARE)
}

impl<'a> Pools<'a> {
    /// `readable` bytes of constants may be read while events are.
    pub(crate) fn new(types: &Types<'a>, limits: &Limits, readable: usize) -> Self {
        let mut by_class = Map::default();
        let (mut strings, mut threads) = (None, None);
        for (at, kind) in types.types.iter().enumerate() {
            if KEPT.contains(&&*kind.name) {
                by_class.insert(at as u32, Map::default());
            }
            if kind.shape == Shape::Text {
                strings = Some(at as u32);
            }
            if kind.name == THREAD {
                threads = Some(at as u32);
            }
        }
        Self {
            by_class,
            strings,
            threads,
            constants: 0,
            constants_max: limits.profile_bytes_max / CONSTANTS_SHARE,
            string_bytes_max: limits.string_bytes_max,
            readable: cell::Cell::new(readable),
            readable_max: readable_max(limits),
        }
    }

    /// Bytes of constants that may still be read.
    pub(crate) fn readable(&self) -> usize {
        self.readable.get()
    }

    /// Reads the fields of a checkpoint event.
    pub(crate) fn read(&mut self, types: &Types<'a>, mut reader: Reader<'a>) -> Result<(), Error> {
        // When it was written, how long that took, and how far the checkpoint before it is away:
        // walking all events finds that one too.
        for _ in 0..3 {
            reader.long()?;
        }
        let _flush_or_kind = reader.byte()?;
        for _ in 0..reader.count()? {
            self.read_pool(types, &mut reader)?;
        }
        Ok(())
    }

    fn read_pool(&mut self, types: &Types<'a>, reader: &mut Reader<'a>) -> Result<(), Error> {
        let id = reader.long()?;
        let Some(class) = types.by_id.get(&id) else {
            return Err(Error::undecodable(format!(
                "constants of the unknown type {id}"
            )));
        };
        let shape = types.types[*class as usize].shape;
        let mut pool = self.by_class.get_mut(class);
        for _ in 0..reader.count()? {
            let key = reader.long()?;
            let value = *reader;
            types.skip(shape, reader, 0)?;
            let Some(pool) = &mut pool else { continue };
            if pool.insert(key, value).is_none() {
                self.constants += 1;
                if self.constants > self.constants_max {
                    let (name, max) = ("profile_bytes_max/64", self.constants_max);
                    return Err(Error::over("its constants", name, max));
                }
            }
        }
        Ok(())
    }

    /// What a reference or a structure consists of: its type, and a reader before its value.
    pub(crate) fn open(&self, cell: Cell<'a>) -> Option<(u32, Reader<'a>)> {
        match cell {
            Cell::Constant { class, key } => Some((class, *self.by_class.get(&class)?.get(&key)?)),
            Cell::Struct { class, bytes } => Some((class, bytes)),
            Cell::Absent | Cell::Int(_) | Cell::Text(_) | Cell::Array { .. } => None,
        }
    }

    /// The named parts of a reference or a structure; absent ones if it leads nowhere.
    pub(crate) fn parts<const N: usize>(
        &self,
        types: &Types<'a>,
        cell: Cell<'a>,
        wanted: [Slot; N],
    ) -> Result<[Cell<'a>; N], Error> {
        match self.open(cell) {
            Some((class, mut reader)) => {
                let before = reader;
                let parts = types.read(class, &mut reader, wanted)?;
                self.count_read(before, reader)?;
                Ok(parts)
            }
            None => Ok([Cell::Absent; N]),
        }
    }

    /// The text of a string, or of a symbol or state that has one; empty if there is none.
    pub(crate) fn text(&self, types: &Types<'a>, cell: Cell<'a>) -> Result<Cow<'a, str>, Error> {
        let mut cell = cell;
        for _ in 0..HOPS_MAX {
            cell = match cell {
                Cell::Text(crate::text::Text::Constant(key)) => match self.strings {
                    Some(class) => Cell::Constant { class, key },
                    None => break,
                },
                Cell::Text(text) => return text.decode(self.string_bytes_max),
                Cell::Constant { .. } | Cell::Struct { .. } => {
                    let Some((class, mut reader)) = self.open(cell) else {
                        break;
                    };
                    let shape = types.types[class as usize].shape;
                    let before = reader;
                    let next = if let Shape::Struct(_) = shape {
                        let wanted = [Slot::String, Slot::Name, Slot::Description];
                        let found = types.read(class, &mut reader, wanted)?;
                        let found = found.into_iter().find(|cell| !matches!(cell, Cell::Absent));
                        found.unwrap_or(Cell::Absent)
                    } else {
                        types.value(shape, &mut reader)?
                    };
                    self.count_read(before, reader)?;
                    next
                }
                Cell::Absent | Cell::Int(_) | Cell::Array { .. } => break,
            };
        }
        Ok(Cow::Borrowed(""))
    }

    fn count_read(&self, before: Reader<'a>, after: Reader<'a>) -> Result<(), Error> {
        let read = before.rest().len() - after.rest().len();
        match self.readable.get().checked_sub(read) {
            Some(left) => {
                self.readable.set(left);
                Ok(())
            }
            None => {
                let what = "bytes of constants that its events name";
                Err(Error::over(what, "4*profile_bytes_max", self.readable_max))
            }
        }
    }
}
