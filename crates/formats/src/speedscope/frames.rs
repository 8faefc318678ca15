//! The frames that all contained profiles share, and how each of them uses some.

use std::borrow::Cow;

use cairn_model::{Function, Line, NONE};
use hashbrown::HashMap;

use crate::Error;
use crate::budget::{Budget, check_string};
use crate::calls::Calls;
use crate::json::{Number, Reader};

/// A row of the table that all contained profiles share.
pub(super) struct Frame<'a> {
    name: Cow<'a, str>,
    file: Option<Cow<'a, str>>,
    line: i64,
    column: i64,
}

pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    budget: &Budget<'_>,
) -> Result<Vec<Frame<'a>>, Error> {
    let mut frames = Vec::new();
    reader.array(|reader| {
        let at = frames.len();
        let (mut name, mut file, mut line, mut column) = (None, None, None, None);
        reader.object(|reader, key| {
            match key {
                "name" => name = Some(reader.string()?),
                "file" => file = reader.optional_string()?,
                "line" => line = reader.optional_number()?,
                "col" => column = reader.optional_number()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        let name = name.ok_or_else(|| Error::undecodable(format!("frame {at} has no name")))?;
        for text in [Some(&name), file.as_ref()].into_iter().flatten() {
            check_string(text.len(), budget.limits, || {
                format!("a string of frame {at}")
            })?;
        }
        let number = |number: Option<Number<'_>>| match number.map(|number| number.whole()) {
            None => Ok(0),
            Some(Some(number)) => Ok(number),
            Some(None) => Err(Error::contradiction(format!(
                "a line or column of frame {at} is no whole number"
            ))),
        };
        frames.push(Frame {
            name,
            file,
            line: number(line)?,
            column: number(column)?,
        });
        Ok(())
    })?;
    Ok(frames)
}

/// The frames that one contained profile uses.
pub(super) struct Locations<'a, 'b> {
    frames: &'b [Frame<'a>],
    known: HashMap<u32, u32, foldhash::fast::RandomState>,
}

impl<'a, 'b> Locations<'a, 'b> {
    pub(super) fn new(frames: &'b [Frame<'a>]) -> Self {
        Self {
            frames,
            known: HashMap::default(),
        }
    }

    /// How many frames there are to refer to.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// The location of a frame; `None` if there is no such frame.
    pub(super) fn find(
        &mut self,
        frame: i64,
        calls: &mut Calls,
        budget: &mut Budget<'_>,
    ) -> Result<Option<u32>, Error> {
        let found = usize::try_from(frame).ok();
        let Some(row) = found.and_then(|frame| self.frames.get(frame)) else {
            return Ok(None);
        };
        let key = frame as u32;
        if let Some(location) = self.known.get(&key) {
            return Ok(Some(*location));
        }
        let file = row.file.as_deref().unwrap_or_default();
        budget.text(row.name.len() + file.len())?;
        let builder = &mut calls.builder;
        let function = Function {
            name: builder.str(&row.name),
            file: builder.str(file),
            ..Function::default()
        };
        let line = Line {
            function: builder.function(function),
            line: row.line,
            column: row.column,
        };
        let location = builder.location(NONE, 0, &[line]);
        self.known.insert(key, location);
        Ok(Some(location))
    }
}
