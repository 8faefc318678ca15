//! Folded stacks and lines. Owns what a line of them is.

use crate::budget::Budget;
use crate::text::{Stacks, digits, lines as lines_of, shown};
use crate::{Decoded, Error, Unit};

const BLANK: &str = "blank lines";
const COMMENT: &str = "comment lines";
const ZERO: &str = "stacks with a count of zero";
const EMPTY_FRAME: &str = "frames without a name";

/// A line per stack, with its count.
pub(crate) fn folded(bytes: &[u8], meaning: &Unit, budget: Budget<'_>) -> Result<Decoded, Error> {
    read(bytes, meaning, budget, counted)
}

/// A line per sample.
pub(crate) fn lines(bytes: &[u8], meaning: &Unit, budget: Budget<'_>) -> Result<Decoded, Error> {
    read(bytes, meaning, budget, |_, line| Ok((line, 1)))
}

fn read<'a>(
    bytes: &'a [u8],
    meaning: &Unit,
    mut budget: Budget<'_>,
    split: impl Fn(usize, &'a [u8]) -> Result<(&'a [u8], i64), Error>,
) -> Result<Decoded, Error> {
    let mut decoded = Decoded::default();
    let mut stacks = Stacks::new(meaning.calls());
    for (number, line) in lines_of(bytes) {
        let line = line.trim_ascii();
        if line.is_empty() {
            decoded.skip(BLANK, 1);
            continue;
        }
        if line[0] == b'#' {
            decoded.skip(COMMENT, 1);
            continue;
        }
        let (stack, count) = split(number, line)?;
        if count == 0 {
            decoded.skip(ZERO, 1);
            continue;
        }
        let node = stacks.node(number, stack, &mut budget)?;
        let too_large = || Error::contradiction(format!("line {number}: its value is too large"));
        let value = meaning.scaled(count).ok_or_else(too_large)?;
        stacks
            .calls
            .add(node, 0, value)
            .map_err(|_| Error::contradiction(format!("line {number}: the sum is too large")))?;
    }
    decoded.replaced_strings = stacks.replaced;
    decoded.skip(EMPTY_FRAME, stacks.empty_frames);
    decoded.push(stacks.calls, &mut budget)?;
    Ok(decoded)
}

/// A stack and its count, which is the last word: frames may have spaces.
fn counted(number: usize, line: &[u8]) -> Result<(&[u8], i64), Error> {
    let space = line.iter().rposition(|byte| matches!(byte, b' ' | b'\t'));
    let Some(space) = space else {
        return Err(Error::undecodable(format!(
            "line {number}: no count after the stack {}",
            shown(line)
        )));
    };
    let word = &line[space + 1..];
    let refused =
        |reason| Error::undecodable(format!("line {number}: the count {} {reason}", shown(word)));
    if let Some(positive) = word.strip_prefix(b"-")
        && digits(positive).is_some()
    {
        return Err(refused("is negative, as only differences of profiles are"));
    }
    if !word.iter().all(u8::is_ascii_digit) {
        return Err(refused("is no whole number"));
    }
    let count = digits(word).and_then(|count| i64::try_from(count).ok());
    let count = count.ok_or_else(|| refused("is too large"))?;
    Ok((line[..space].trim_ascii_end(), count))
}
