//! JSON, read value by value. Owns the grammar, and that depth costs no stack: callers descend by
//! as many calls as their format has levels, and values that nobody asks for are skipped in a loop.

mod number;
mod skip;

use std::borrow::Cow;

use crate::Error;
use crate::text::shown;

pub(crate) use number::Number;

#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Strings that were not Unicode.
    pub(crate) replaced: u64,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let at = if bytes.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        Self::at(bytes, at)
    }

    /// From a position that [`Self::position`] gave.
    pub(crate) fn at(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            replaced: 0,
        }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Every member of an object; `each` must read the value.
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, &str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.expect(b'{')?;
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            let key = self.key()?;
            each(self, &key)?;
            if self.eat(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Every value of an array; `each` must read it.
    pub(crate) fn array(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.expect(b'[')?;
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if self.eat(b']') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// The name of a member and the colon after it.
    pub(crate) fn key(&mut self) -> Result<Cow<'a, str>, Error> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// A string or nothing.
    pub(crate) fn optional_string(&mut self) -> Result<Option<Cow<'a, str>>, Error> {
        if self.null()? {
            return Ok(None);
        }
        self.string().map(Some)
    }

    /// A number or nothing.
    pub(crate) fn optional_number(&mut self) -> Result<Option<Number<'a>>, Error> {
        if self.null()? {
            return Ok(None);
        }
        self.number().map(Some)
    }

    /// Whether the next value is `null`, which is read then.
    pub(crate) fn null(&mut self) -> Result<bool, Error> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.word(b"null")?;
        Ok(true)
    }

    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.expect(b'"')?;
        let start = self.at;
        let end = self.string_end()?;
        let raw = &self.bytes[start..end];
        let (text, is_whole) = unescape(raw).ok_or_else(|| {
            Error::undecodable(format!("the string at byte {start} is no JSON string"))
        })?;
        self.replaced += u64::from(!is_whole);
        Ok(text)
    }

    pub(crate) fn number(&mut self) -> Result<Number<'a>, Error> {
        self.space();
        let rest = &self.bytes[self.at..];
        let is_part = |byte: &&u8| matches!(**byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let len = rest.iter().take_while(is_part).count();
        let number = Number::parse(&rest[..len]).ok_or_else(|| self.unexpected("a number"))?;
        self.at += len;
        Ok(number)
    }

    /// A whole number.
    pub(crate) fn whole(&mut self) -> Result<i64, Error> {
        let start = self.at;
        let number = self.number()?;
        number.whole().ok_or_else(|| {
            Error::contradiction(format!(
                "the number at byte {start} must be whole and have at most 64 bits"
            ))
        })
    }

    /// That nothing follows.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end")),
        }
    }

    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), Error> {
        if self.eat(byte) {
            return Ok(());
        }
        Err(self.unexpected(match byte {
            b'{' => "an object",
            b'[' => "an array",
            b'"' => "a string",
            b':' => "a colon",
            _ => "a comma or the end of a list",
        }))
    }

    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// The next byte that is no space.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.space();
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), Error> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Goes behind the quote that ends a string; returns where the quote is.
    fn string_end(&mut self) -> Result<usize, Error> {
        let start = self.at;
        loop {
            let rest = &self.bytes[self.at..];
            let Some(next) = memchr::memchr2(b'"', b'\\', rest) else {
                return Err(Error::undecodable(format!(
                    "the string at byte {start} has no end"
                )));
            };
            let end = self.at + next;
            if rest[next] == b'"' {
                self.at = end + 1;
                return Ok(end);
            }
            self.at = (end + 2).min(self.bytes.len());
        }
    }

    #[cold]
    fn unexpected(&self, wanted: &str) -> Error {
        let at = self.at.min(self.bytes.len());
        let what = match &self.bytes[at..] {
            [] => "the end".to_owned(),
            rest => shown(&rest[..rest.len().min(20)]),
        };
        Error::undecodable(format!(
            "JSON: {wanted} is expected at byte {at}, not {what}"
        ))
    }
}

/// The text of a string, and whether it was Unicode; `None` for what JSON has no strings for.
fn unescape(raw: &[u8]) -> Option<(Cow<'_, str>, bool)> {
    if raw.iter().any(|byte| *byte < 0x20) {
        return None;
    }
    if memchr::memchr(b'\\', raw).is_none() {
        let text = String::from_utf8_lossy(raw);
        let is_whole = matches!(text, Cow::Borrowed(_));
        return Some((text, is_whole));
    }
    let (mut text, mut is_whole) = (String::with_capacity(raw.len()), true);
    let mut rest = raw;
    while let Some(escape) = memchr::memchr(b'\\', rest) {
        let plain = String::from_utf8_lossy(&rest[..escape]);
        is_whole &= matches!(plain, Cow::Borrowed(_));
        text.push_str(&plain);
        let kind = *rest.get(escape + 1)?;
        rest = &rest[escape + 2..];
        let character = match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (character, after) = code_point(rest)?;
                rest = after;
                is_whole &= character.is_some();
                character.unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return None,
        };
        text.push(character);
    }
    let plain = String::from_utf8_lossy(rest);
    is_whole &= matches!(plain, Cow::Borrowed(_));
    text.push_str(&plain);
    Some((Cow::Owned(text), is_whole))
}

/// What follows `\u`: a character, or half of one, and the rest.
fn code_point(rest: &[u8]) -> Option<(Option<char>, &[u8])> {
    let (first, rest) = hex4(rest)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first), rest));
    }
    let pair = rest.strip_prefix(b"\\u").and_then(hex4);
    match pair {
        Some((second, after)) if (0xdc00..0xe000).contains(&second) => {
            let point = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            Some((char::from_u32(point), after))
        }
        _ => Some((None, rest)),
    }
}

fn hex4(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = rest.split_at_checked(4)?;
    let mut value = 0;
    for digit in digits {
        value = value << 4 | char::from(*digit).to_digit(16)?;
    }
    Some((value, rest))
}

#[cfg(test)]
mod tests;
