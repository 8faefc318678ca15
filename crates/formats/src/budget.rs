//! How much one input may grow in memory. Owns the sums that bound it; each single size is checked
//! where it is read.
//!
//! Trees say in a few bytes what takes thousands when written out: a node with a value stands for
//! a whole stack. What they may grow to is what a text of `profile_bytes_max` could hold, so
//! nothing that is accepted as text is refused as a tree.

use cairn_model::Limits;

use crate::Error;

/// Positions have 32 bits, and a replaced byte takes three.
const BYTES_MAX: usize = 1 << 30;
/// Bytes of the shortest frame of a text: a letter and what separates it from the next.
const FRAME_BYTES: usize = 2;
const NAME: &str = "profile_bytes_max";

#[derive(Debug)]
pub(crate) struct Budget<'a> {
    pub(crate) limits: &'a Limits,
    nodes: usize,
    frames: usize,
    text: usize,
}

impl<'a> Budget<'a> {
    /// Of an input of this many bytes, if it is not too long by itself.
    pub(crate) fn new(bytes: usize, limits: &'a Limits) -> Result<Self, Error> {
        let max = bytes_max(limits);
        if bytes > max {
            return Err(Error::over("its bytes", NAME, max));
        }
        Ok(Self {
            limits,
            nodes: max / FRAME_BYTES,
            frames: max / FRAME_BYTES,
            text: max,
        })
    }

    /// One more node, with so many values. Two take about as much as the node itself.
    pub(crate) fn node(&mut self, values: usize) -> Result<(), Error> {
        let nodes = values.div_ceil(2);
        self.take(|budget| &mut budget.nodes, nodes, "its call tree as text")
    }

    /// Frames of one more stack.
    pub(crate) fn frames(&mut self, frames: usize) -> Result<(), Error> {
        self.take(|budget| &mut budget.frames, frames, "its stacks as text")
    }

    /// Bytes of a name that need not be in the input as often as it is used.
    pub(crate) fn text(&mut self, bytes: usize) -> Result<(), Error> {
        self.take(|budget| &mut budget.text, bytes, "its names as text")
    }

    fn take(
        &mut self,
        room: impl Fn(&mut Self) -> &mut usize,
        count: usize,
        what: &'static str,
    ) -> Result<(), Error> {
        let max = bytes_max(self.limits);
        let room = room(self);
        *room = room
            .checked_sub(count)
            .ok_or_else(|| Error::over(what, NAME, max))?;
        Ok(())
    }
}

fn bytes_max(limits: &Limits) -> usize {
    limits.profile_bytes_max.min(BYTES_MAX)
}

/// Refuses a string that is too long; `what` says whose it is.
pub(crate) fn check_string(
    bytes: usize,
    limits: &Limits,
    what: impl FnOnce() -> String,
) -> Result<(), Error> {
    let max = limits.string_bytes_max;
    if bytes <= max {
        return Ok(());
    }
    let what = format!("{} has {bytes} bytes", what());
    Err(Error::over(what, "string_bytes_max", max))
}
