//! The rows of one input of a block being written, profile by profile.

use std::ops::Range;

use crate::Error;
use crate::rows::{Decoder, Rows};
use crate::samples::SAMPLES;
use crate::tables::{RowRange, SampleColumns};

/// Where rows come from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Head(&'a SampleColumns),
    /// All rows of a block, in order.
    Block(&'a [Rows]),
}

impl<'a> Source<'a> {
    pub(crate) fn cursor(self) -> Cursor<'a> {
        match self {
            Self::Head(rows) => Cursor::Head(rows),
            Self::Block(rows) => Cursor::Block(Box::new(Stream {
                left: rows.iter(),
                decoder: None,
                rows: SampleColumns::default(),
                first: 0,
            })),
        }
    }
}

pub(crate) enum Cursor<'a> {
    Head(&'a SampleColumns),
    Block(Box<Stream<'a>>),
}

impl Cursor<'_> {
    /// Gives the rows of `range` to `visit`, run by run. Ranges of a block must come in order.
    pub(crate) fn visit(
        &mut self,
        range: RowRange,
        visit: &mut dyn FnMut(&SampleColumns, Range<usize>),
    ) -> Result<(), Error> {
        let range = range.start..range.start + u64::from(range.len);
        match self {
            Self::Head(rows) => visit(rows, range.start as usize..range.end as usize),
            Self::Block(stream) => stream.visit(range, visit)?,
        }
        Ok(())
    }
}

pub(crate) struct Stream<'a> {
    left: std::slice::Iter<'a, Rows>,
    decoder: Option<Decoder>,
    /// The run that was decoded last, and the number of its first row.
    rows: SampleColumns,
    first: u64,
}

impl Stream<'_> {
    fn visit(
        &mut self,
        mut range: Range<u64>,
        visit: &mut dyn FnMut(&SampleColumns, Range<usize>),
    ) -> Result<(), Error> {
        while !range.is_empty() {
            let end = self.first + self.rows.len() as u64;
            if range.start >= end {
                self.advance()?;
                continue;
            }
            let Some(from) = range.start.checked_sub(self.first) else {
                return Err(Error::corrupt(SAMPLES, "profiles are not sorted"));
            };
            let to = range.end.min(end);
            visit(&self.rows, from as usize..(to - self.first) as usize);
            range.start = to;
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Error> {
        loop {
            if let Some(decoder) = &mut self.decoder
                && let Some(first) = decoder.next(&mut self.rows)?
            {
                self.first = first;
                return Ok(());
            }
            let Some(rows) = self.left.next() else {
                return Err(Error::corrupt(SAMPLES, "a profile's rows are missing"));
            };
            self.decoder = Some(rows.decoder()?);
        }
    }
}
