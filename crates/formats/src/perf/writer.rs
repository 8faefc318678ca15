//! Frames of `perf` to locations: inlined ones become lines of the frame that they are part of.

use cairn_model::{
    Attr, AttrValue, Excess, Function, Limits, Line, Mapping, NONE, ProfileBuilder, StrId,
};

use super::check_label;
use super::frame::Frame;
use super::header::Header;
use crate::budget::check_string;
use crate::text::lossy;
use crate::{Error, TRUNCATED_FRAME};

/// Writes what the sample of one line refers to.
pub(super) struct Writer<'w> {
    pub(super) builder: &'w mut ProfileBuilder,
    pub(super) limits: &'w Limits,
    pub(super) line: usize,
    pub(super) replaced: &'w mut u64,
}

impl Writer<'_> {
    /// Who was running.
    pub(super) fn attrs(&mut self, header: &Header<'_>) -> Result<Vec<Attr>, Error> {
        check_label(header.comm.len(), self.line, "thread_name", self.limits)?;
        let comm = self.text(header.comm)?;
        let mut attrs = vec![Attr {
            key: self.builder.str("thread_name"),
            value: AttrValue::Str(comm),
        }];
        for (name, number) in [("pid", header.pid), ("tid", header.tid)] {
            let Some(number) = number else { continue };
            let value = i64::from(number);
            attrs.push(Attr {
                key: self.builder.str(name),
                value: AttrValue::Num { value, unit: 0 },
            });
        }
        let max = self.limits.sample_labels_max;
        if attrs.len() > max {
            let what = format!("labels of the sample at line {}", self.line);
            return Err(Error::over(what, "sample_labels_max", max));
        }
        Ok(attrs)
    }

    /// The locations of a stack, leaf first, and whether it was too deep.
    pub(super) fn stack(&mut self, frames: &[Frame<'_>]) -> Result<(Vec<u32>, bool), Error> {
        let max = self.limits.depth_max;
        let is_cut = frames.len() > max;
        if is_cut && self.limits.excess == Excess::Refuse {
            let what = format!("frames of the sample at line {}", self.line);
            return Err(Error::over(what, "depth_max", max));
        }
        let mut room = match is_cut {
            true => max.saturating_sub(1).max(1),
            false => frames.len(),
        };
        let mut stack = Vec::new();
        let mut rest = frames;
        while room > 0 && !rest.is_empty() {
            let inlined = rest.iter().take_while(|frame| frame.is_inlined).count();
            let (group, after) = rest.split_at((inlined + 1).min(rest.len()));
            let kept = &group[..group.len().min(room)];
            stack.push(self.location(group, kept)?);
            room -= kept.len();
            rest = after;
        }
        if is_cut {
            stack.push(self.builder.frame(TRUNCATED_FRAME));
        }
        Ok((stack, is_cut))
    }

    /// The last frame of a group has the file of all.
    fn location(&mut self, group: &[Frame<'_>], kept: &[Frame<'_>]) -> Result<u32, Error> {
        let last = group.last().expect("groups have a frame");
        let mapping = match last.file {
            None => NONE,
            Some(file) => {
                let file = self.text(file)?;
                self.builder.mapping(Mapping {
                    file,
                    ..Mapping::default()
                })
            }
        };
        let mut lines = Vec::with_capacity(kept.len());
        for symbol in kept.iter().filter_map(|frame| frame.symbol) {
            let name = self.text(symbol)?;
            let function = self.builder.function(Function {
                name,
                ..Function::default()
            });
            lines.push(Line {
                function,
                ..Line::default()
            });
        }
        // What is named needs no address, and without it all of a function's are one.
        let address = if lines.is_empty() { last.address } else { 0 };
        Ok(self.builder.location(mapping, address, &lines))
    }

    fn text(&mut self, bytes: &[u8]) -> Result<StrId, Error> {
        let line = self.line;
        check_string(bytes.len(), self.limits, || {
            format!("a string of the sample at line {line}")
        })?;
        let text = lossy(bytes, self.replaced);
        Ok(self.builder.str(&text))
    }
}
