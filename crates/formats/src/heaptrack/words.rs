//! Words of a line: hexadecimal numbers, and a text that may have spaces.

use crate::Error;
use crate::text::{hexadecimal, shown};

/// Digits of the lowest version of the program, 1.0.0.
const VERSION_DIGITS_MIN: usize = 5;

/// What follows the letter of a line.
pub(super) struct Words<'a> {
    pub(super) line: usize,
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    pub(super) fn of(number: usize, line: &'a [u8]) -> Self {
        Self {
            line: number,
            rest: line.get(2..).unwrap_or_default(),
        }
    }

    /// The next number, if there is one.
    pub(super) fn optional(&mut self) -> Result<Option<u64>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (word, rest) = split(self.rest);
        self.rest = rest;
        let number = hexadecimal(word).ok_or_else(|| {
            let (line, word) = (self.line, shown(word));
            Error::undecodable(format!("line {line}: {word} is no hexadecimal number"))
        })?;
        Ok(Some(number))
    }

    pub(super) fn number(&mut self) -> Result<u64, Error> {
        let number = self.optional()?;
        number.ok_or_else(|| Error::undecodable(format!("line {}: a number is missing", self.line)))
    }

    /// The text that the line consists of, which may have its length before it.
    pub(super) fn text(&self, is_sized: bool) -> Result<&'a [u8], Error> {
        if !is_sized {
            return Ok(self.rest);
        }
        let (length, text) = split(self.rest);
        let length = hexadecimal(length).and_then(|length| usize::try_from(length).ok());
        length.and_then(|length| text.get(..length)).ok_or_else(|| {
            Error::undecodable(format!(
                "line {}: the string is shorter than it says",
                self.line
            ))
        })
    }
}

/// The position of what has a number, from 1; `None` of what has none.
pub(super) fn numbered(
    line: usize,
    number: u64,
    what: &str,
    count: usize,
) -> Result<Option<usize>, Error> {
    match usize::try_from(number) {
        Ok(0) => Ok(None),
        Ok(at) if at <= count => Ok(Some(at - 1)),
        _ => Err(missing(line, number, what, count)),
    }
}

#[cold]
pub(super) fn missing(line: usize, number: u64, what: &str, count: usize) -> Error {
    Error::contradiction(format!(
        "line {line} refers to {what} {number:x}, but there are {count:x}"
    ))
}

/// Whether a line is the first of a file.
pub(crate) fn is_version(line: &[u8]) -> bool {
    let Some(words) = line.strip_prefix(b"v ") else {
        return false;
    };
    let (program, version) = split(words);
    program.len() >= VERSION_DIGITS_MIN
        && hexadecimal(program).is_some()
        && (version.is_empty() || hexadecimal(version).is_some())
}

fn split(words: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b' ', words).unwrap_or(words.len());
    (&words[..end], words.get(end + 1..).unwrap_or_default())
}
