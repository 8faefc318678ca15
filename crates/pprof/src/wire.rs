//! Protobuf's wire format. Owns bytes and field numbers, not what fields mean.

use crate::Error;

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Fixed32 or fixed64. pprof has none, so only unknown fields carry one.
    Fixed,
}

impl<'a> Value<'a> {
    pub(crate) fn varint(self) -> Result<u64, Error> {
        match self {
            Self::Varint(value) => Ok(value),
            Self::Bytes(_) | Self::Fixed => Err(wrong_type()),
        }
    }

    pub(crate) fn int(self) -> Result<i64, Error> {
        Ok(self.varint()?.cast_signed())
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], Error> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed => Err(wrong_type()),
        }
    }
}

#[cold]
fn wrong_type() -> Error {
    Error::undecodable("a field has the wrong wire type")
}

#[cold]
fn ends_early() -> Error {
    Error::undecodable("unexpected end of a message")
}

/// Reads the fields of one message from front to back.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field's number and value; `None` at the end.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?)
            .map_err(|_| Error::undecodable("a field number is too large"))?;
        let number = key >> 3;
        if number == 0 {
            return Err(Error::undecodable("field number 0"));
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.skip(8)?,
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| ends_early())?;
                let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(ends_early)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => self.skip(4)?,
            other => return Err(Error::undecodable(format!("wire type {other}"))),
        };
        Ok(Some((number, value)))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Error> {
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
        for at in 0..10 {
            let byte = *self.rest.get(at).ok_or_else(ends_early)?;
            if at == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(Error::undecodable("a varint is longer than 64 bits"))
    }

    fn skip(&mut self, len: usize) -> Result<Value<'a>, Error> {
        self.rest = self.rest.get(len..).ok_or_else(ends_early)?;
        Ok(Value::Fixed)
    }
}

/// Calls `each` with every number of a repeated field, packed or not.
#[inline]
pub(crate) fn each_number(
    value: Value<'_>,
    mut each: impl FnMut(u64) -> Result<(), Error>,
) -> Result<(), Error> {
    match value {
        Value::Varint(number) => each(number),
        Value::Bytes(packed) => {
            let mut reader = Reader::new(packed);
            while !reader.is_empty() {
                each(reader.varint()?)?;
            }
            Ok(())
        }
        Value::Fixed => Err(wrong_type()),
    }
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a number field unless it is zero, which is what an absent one means.
pub(crate) fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(field << 3));
        put_varint(out, value);
    }
}

/// Appends a string, a message or packed numbers.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field << 3 | 2));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back() {
        for value in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            u64::MAX,
        ] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(Reader::new(&bytes).varint(), Ok(value));
            for cut in 0..bytes.len() {
                assert!(Reader::new(&bytes[..cut]).varint().is_err());
            }
        }
    }

    #[test]
    fn long_varints_are_refused() {
        let mut bytes = vec![0xff; 9];
        bytes.push(2);
        assert!(Reader::new(&bytes).varint().is_err());
        assert!(Reader::new(&[0x80; 11]).varint().is_err());
    }

    #[test]
    fn groups_zero_fields_and_false_lengths_are_refused() {
        for (bytes, why) in [
            (&[0x0b, 0x0c][..], "wire type 3"),
            (&[0x0c], "wire type 4"),
            (&[0x00, 0x01], "field number 0"),
            (&[0x0a, 0x05, 0x01], "unexpected end"),
            (&[0x09, 0x05, 0x01], "unexpected end"),
            (&[0xff, 0xff, 0xff, 0xff, 0x7f, 0x01], "too large"),
        ] {
            let error = Reader::new(bytes).field().expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
