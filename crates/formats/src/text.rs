//! Lines and words of texts that need not be UTF-8, and frames that are known by their name.

use std::borrow::Cow;

use hashbrown::HashMap;
use memchr::{memchr, memchr_iter};

use crate::Error;
use crate::budget::{Budget, check_string};
use crate::calls::{Calls, ROOT};

/// Bytes of the input that an error shows.
const SHOWN_MAX: usize = 60;

/// The lines of a text and their numbers from 1, without what ends them.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut rest = text;
    let mut number = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        number += 1;
        let end = memchr(b'\n', rest);
        let line = &rest[..end.unwrap_or(rest.len())];
        rest = end.map_or(&[], |end| &rest[end + 1..]);
        Some((number, line.strip_suffix(b"\r").unwrap_or(line)))
    })
}

/// The beginning of some input, for errors.
pub(crate) fn shown(input: &[u8]) -> String {
    let cut = &input[..input.len().min(SHOWN_MAX)];
    let dots = if cut.len() < input.len() { "..." } else { "" };
    let text = String::from_utf8_lossy(cut);
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let shown: String = printable.collect();
    format!("\"{shown}{dots}\"")
}

/// An unsigned number in decimal digits and nothing else; `None` if it is none or too large.
pub(crate) fn digits(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10)
            .then(|| sum.checked_mul(10)?.checked_add(u64::from(digit)))
            .flatten()
    })
}

/// An unsigned number in at most sixteen hexadecimal digits and nothing else.
pub(crate) fn hexadecimal(word: &[u8]) -> Option<u64> {
    if word.is_empty() || word.len() > 16 {
        return None;
    }
    word.iter().try_fold(0, |sum, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(sum << 4 | u64::from(digit))
    })
}

/// Text of bytes; `replaced` counts those that were not UTF-8.
pub(crate) fn lossy<'a>(bytes: &'a [u8], replaced: &mut u64) -> Cow<'a, str> {
    let text = String::from_utf8_lossy(bytes);
    *replaced += u64::from(matches!(text, Cow::Owned(_)));
    text
}

/// Stacks of frames that are joined by `;`, the root first, put into a tree.
#[derive(Debug)]
pub(crate) struct Stacks<'a> {
    pub(crate) calls: Calls,
    names: HashMap<&'a [u8], u32, foldhash::fast::RandomState>,
    /// The last stack and its frames: the next one often begins alike.
    last: &'a [u8],
    path: Vec<Step>,
    pub(crate) replaced: u64,
    pub(crate) empty_frames: u64,
}

/// A frame of a stack.
#[derive(Clone, Copy, Debug)]
struct Step {
    end: usize,
    /// The stack up to here.
    node: u32,
    /// Frames without a name up to here.
    empty: u64,
}

impl<'a> Stacks<'a> {
    pub(crate) fn new(calls: Calls) -> Self {
        Self {
            calls,
            names: HashMap::default(),
            last: b"",
            path: Vec::new(),
            replaced: 0,
            empty_frames: 0,
        }
    }

    /// The node of a stack.
    pub(crate) fn node(
        &mut self,
        line: usize,
        stack: &'a [u8],
        budget: &mut Budget<'_>,
    ) -> Result<u32, Error> {
        let same = common(self.last, stack);
        let is_whole = same == stack.len() || stack[same] == b';';
        let is_shared = |step: &Step| step.end < same || (step.end == same && is_whole);
        while self.path.last().is_some_and(|step| !is_shared(step)) {
            self.path.pop();
        }
        self.last = stack;
        let (mut start, mut node, mut empty) = match self.path.last() {
            Some(step) => (step.end + 1, step.node, step.empty),
            None => (0, ROOT, 0),
        };
        if let Some(rest) = stack.get(start..) {
            let offset = start;
            let ends = memchr_iter(b';', rest).map(|end| offset + end);
            for end in ends.chain([stack.len()]) {
                let frame = &stack[start..end];
                start = end + 1;
                if frame.is_empty() {
                    empty += 1;
                } else {
                    let location = self.frame(line, frame, budget)?;
                    node = self.calls.child(node, location, budget)?;
                }
                self.path.push(Step { end, node, empty });
            }
        }
        self.empty_frames += empty;
        Ok(node)
    }

    fn frame(&mut self, line: usize, name: &'a [u8], budget: &Budget<'_>) -> Result<u32, Error> {
        if let Some(location) = self.names.get(name) {
            return Ok(*location);
        }
        check_string(name.len(), budget.limits, || {
            format!("a frame of line {line}")
        })?;
        let text = lossy(name, &mut self.replaced);
        let location = self.calls.builder.frame(&text);
        self.names.insert(name, location);
        Ok(location)
    }
}

/// Bytes that two begin with.
fn common(a: &[u8], b: &[u8]) -> usize {
    let mut same = 0;
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        if a != b {
            break;
        }
        same += 8;
    }
    let rest = a[same..].iter().zip(&b[same..]);
    same + rest.take_while(|(a, b)| a == b).count()
}
