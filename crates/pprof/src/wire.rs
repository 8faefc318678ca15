//! Protobuf's wire format. Owns bytes and field numbers, not what fields mean.

use crate::Error;

/// Why bytes are no protobuf. Small, since every read of a number may return one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Fixed32 or fixed64. pprof has none, so only unknown fields carry one.
    Fixed,
}

impl<'a> Value<'a> {
    pub(crate) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value),
            Self::Bytes(_) | Self::Fixed => Err(wrong_type()),
        }
    }

    pub(crate) fn int(self) -> Result<i64, Malformed> {
        Ok(self.varint()?.cast_signed())
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed => Err(wrong_type()),
        }
    }
}

#[cold]
fn wrong_type() -> Malformed {
    Malformed("a field has the wrong wire type")
}

#[cold]
fn unknown_type(wire_type: u32) -> Malformed {
    Malformed(match wire_type {
        3 => "wire type 3: pprof has no groups",
        4 => "wire type 4: pprof has no groups",
        _ => "a wire type that does not exist",
    })
}

#[cold]
fn ends_early() -> Malformed {
    Malformed("unexpected end of a message")
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
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key =
            u32::try_from(self.varint()?).map_err(|_| Malformed("a field number is too large"))?;
        let number = key >> 3;
        if number == 0 {
            return Err(Malformed("field number 0"));
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
            other => return Err(unknown_type(other)),
        };
        Ok(Some((number, value)))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            [a, rest @ ..] if *a < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*a))
            }
            [a, b, rest @ ..] if *b < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*a & 0x7f) | u64::from(*b) << 7)
            }
            [a, b, c, rest @ ..] if *c < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*a & 0x7f) | u64::from(*b & 0x7f) << 7 | u64::from(*c) << 14)
            }
            _ => self.long_varint(),
        }
    }

    /// Without a branch on the length of short ones: packed numbers are of mixed lengths, which no
    /// processor can predict.
    #[inline]
    fn packed_varint(&mut self) -> Result<u64, Malformed> {
        if let Some(bytes) = self.rest.first_chunk() {
            let word = u32::from_le_bytes(*bytes);
            let ends = !word & 0x8080_8080;
            if ends != 0 {
                let last_bit = ends.trailing_zeros();
                let word = word & (u32::MAX >> (31 - last_bit));
                self.rest = &self.rest[(last_bit as usize + 1) / 8..];
                return Ok(u64::from(
                    word & 0x7f
                        | word >> 1 & 0x3f80
                        | word >> 2 & 0x1f_c000
                        | word >> 3 & 0xfe0_0000,
                ));
            }
        }
        self.varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
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
        Err(Malformed("a varint is longer than 64 bits"))
    }

    fn skip(&mut self, len: usize) -> Result<Value<'a>, Malformed> {
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
        Value::Varint(number) => each(number)?,
        Value::Bytes(packed) => {
            let mut reader = Reader::new(packed);
            while !reader.is_empty() {
                each(reader.packed_varint()?)?;
            }
        }
        Value::Fixed => return Err(wrong_type().into()),
    }
    Ok(())
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
            (1 << 21) - 1,
            1 << 21,
            (1 << 28) - 1,
            1 << 28,
            u64::from(u32::MAX),
            u64::MAX,
        ] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(Reader::new(&bytes).varint(), Ok(value));
            assert_eq!(Reader::new(&bytes).packed_varint(), Ok(value));
            let longer = [&bytes[..], &[0xff, 1, 0x80, 1]].concat();
            assert_eq!(Reader::new(&longer).packed_varint(), Ok(value));
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
            let Malformed(error) = Reader::new(bytes).field().expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }
}
