//! Numbers and strings of a chunk. Owns their two encodings, not what they mean.

use crate::Error;
use crate::text::Text;

/// Reads values from front to back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Integers are variable in length; otherwise they are big-endian.
    compressed: bool,
}

#[cold]
fn ends_early() -> Error {
    Error::undecodable("a value ends too early")
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8], compressed: bool) -> Self {
        Self { rest, compressed }
    }

    /// Reads other bytes of the same chunk.
    pub(crate) fn over(self, rest: &'a [u8]) -> Self {
        Self { rest, ..self }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(ends_early)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(ends_early)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.rest.split_first().ok_or_else(ends_early)?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64, Error> {
        if self.compressed {
            Ok(self.varint()?.cast_signed())
        } else {
            Ok(i64::from_be_bytes(self.array()?))
        }
    }

    /// A compressed integer may have more bits than fit, which are no part of it.
    #[inline]
    pub(crate) fn int(&mut self) -> Result<i32, Error> {
        if self.compressed {
            Ok(self.varint()? as i32)
        } else {
            Ok(i32::from_be_bytes(self.array()?))
        }
    }

    #[inline]
    pub(crate) fn short(&mut self) -> Result<u16, Error> {
        if self.compressed {
            Ok(self.varint()? as u16)
        } else {
            Ok(u16::from_be_bytes(self.array()?))
        }
    }

    /// How many things follow, each of which takes at least one byte.
    #[inline]
    pub(crate) fn count(&mut self) -> Result<usize, Error> {
        let count = self.int()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() => Ok(count),
            _ => Err(too_many(count)),
        }
    }

    pub(crate) fn text(&mut self) -> Result<Text<'a>, Error> {
        Ok(match self.byte()? {
            0 => Text::Null,
            1 => Text::Utf8(&[]),
            2 => Text::Constant(self.long()?),
            3 => Text::Utf8(self.counted()?),
            4 => {
                let count = self.count()?;
                let start = self.rest;
                for _ in 0..count {
                    self.short()?;
                }
                let bytes = &start[..start.len() - self.rest.len()];
                Text::Utf16(Self::new(bytes, self.compressed))
            }
            5 => Text::Latin1(self.counted()?),
            other => return Err(unknown_encoding(other)),
        })
    }

    fn counted(&mut self) -> Result<&'a [u8], Error> {
        let len = self.count()?;
        self.take(len)
    }

    /// Seven bits a byte, lowest first; a ninth byte has all its eight.
    #[inline]
    fn varint(&mut self) -> Result<u64, Error> {
        match self.rest {
            [a, rest @ ..] if *a < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*a))
            }
            [a, b, rest @ ..] if *b < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*a & 0x7f) | u64::from(*b) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Error> {
        let mut value = 0;
        for at in 0..8 {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Ok(value | u64::from(self.byte()?) << 56)
    }
}

#[cold]
fn too_many(count: i32) -> Error {
    Error::undecodable(format!("{count} entries do not fit into what is left"))
}

#[cold]
fn unknown_encoding(encoding: u8) -> Error {
    Error::undecodable(format!("a string has the unknown encoding {encoding}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_numbers_have_one_to_nine_bytes() {
        for (bytes, expected) in [
            (&[0x05][..], 5),
            (&[0x80, 0x01], 128),
            (&[0xff, 0xff, 0x03], 0xffff),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], -1),
            (
                &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
                i64::MIN,
            ),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
                (1 << 56) - 1,
            ),
        ] {
            let mut reader = Reader::new(bytes, true);
            assert_eq!(reader.long(), Ok(expected), "{bytes:x?}");
            assert!(reader.rest().is_empty(), "{bytes:x?}");
            assert!(Reader::new(&bytes[..bytes.len() - 1], true).long().is_err());
        }
        let minus_one = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(Reader::new(&minus_one, true).int(), Ok(-1));
    }

    #[test]
    fn plain_numbers_are_big_endian() {
        let bytes = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe];
        assert_eq!(Reader::new(&bytes, false).long(), Ok(-2));
        assert_eq!(Reader::new(&[0, 0, 1, 2], false).int(), Ok(258));
        assert_eq!(Reader::new(&[1, 2], false).short(), Ok(258));
        assert!(Reader::new(&[0, 0, 1], false).int().is_err());
    }

    #[test]
    fn counts_beyond_what_is_left_are_refused() {
        assert_eq!(Reader::new(&[2, 0, 0], true).count(), Ok(2));
        assert!(Reader::new(&[3, 0, 0], true).count().is_err());
        let negative = [0xff, 0xff, 0xff, 0xff, 0x0f];
        let error = Reader::new(&negative, true).count().expect_err("negative");
        assert!(
            error
                .to_string()
                .ends_with("-1 entries do not fit into what is left")
        );
    }
}
