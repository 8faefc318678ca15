//! Protobuf's wire format. Owns bytes and field numbers, not what fields mean.

/// Why bytes are no protobuf. Small, since every read of a number may return one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// Fixed32, which no message of ours has.
    Fixed32,
}

impl<'a> Value<'a> {
    pub(crate) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value),
            Self::Bytes(_) | Self::Fixed64(_) | Self::Fixed32 => Err(wrong_type()),
        }
    }

    pub(crate) fn int(self) -> Result<i64, Malformed> {
        Ok(self.varint()?.cast_signed())
    }

    pub(crate) fn fixed(self) -> Result<u64, Malformed> {
        match self {
            Self::Fixed64(value) => Ok(value),
            Self::Bytes(_) | Self::Varint(_) | Self::Fixed32 => Err(wrong_type()),
        }
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed64(_) | Self::Fixed32 => Err(wrong_type()),
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
        3 | 4 => "a group, which OTLP does not have",
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

    /// The next field's number and value; `None` at the end.
    #[inline(always)]
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
            1 => {
                let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(ends_early)?;
                self.rest = rest;
                Value::Fixed64(u64::from_le_bytes(*bytes))
            }
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| ends_early())?;
                let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(ends_early)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => {
                self.rest = self.rest.get(4..).ok_or_else(ends_early)?;
                Value::Fixed32
            }
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
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
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
}

/// Calls `each` with every number of a repeated field, packed or not.
#[inline]
pub(crate) fn each_number<E: From<Malformed>>(
    value: Value<'_>,
    mut each: impl FnMut(u64) -> Result<(), E>,
) -> Result<(), E> {
    match value {
        Value::Varint(number) => each(number)?,
        Value::Bytes(packed) => {
            let mut reader = Reader::new(packed);
            while !reader.rest.is_empty() {
                each(reader.varint()?)?;
            }
        }
        Value::Fixed64(_) | Value::Fixed32 => return Err(wrong_type().into()),
    }
    Ok(())
}

/// Appends the numbers of a repeated field; they cost at least a byte each.
#[inline]
pub(crate) fn push_numbers(value: Value<'_>, into: &mut Vec<u64>) -> Result<(), Malformed> {
    each_number(value, |number| {
        into.push(number);
        Ok(())
    })
}

/// Appends the numbers of a repeated fixed64 field.
#[inline]
pub(crate) fn push_fixed(value: Value<'_>, into: &mut Vec<u64>) -> Result<(), Malformed> {
    match value {
        Value::Fixed64(number) => into.push(number),
        Value::Bytes(packed) => {
            let (numbers, []) = packed.as_chunks() else {
                return Err(Malformed("packed numbers end within a number"));
            };
            into.extend(numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        }
        Value::Varint(_) | Value::Fixed32 => return Err(wrong_type()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 1 << 28, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(Reader::new(&bytes).varint(), Ok(value));
            for cut in 0..bytes.len() {
                assert!(Reader::new(&bytes[..cut]).varint().is_err());
            }
        }
        assert!(Reader::new(&[0x80; 11]).varint().is_err());
        let longer_than_needed = [0x85, 0x80, 0x80, 0x80, 0x00];
        assert_eq!(Reader::new(&longer_than_needed).varint(), Ok(5));
    }

    #[test]
    fn packed_and_single_numbers_are_the_same() {
        let mut numbers = Vec::new();
        push_numbers(Value::Bytes(&[1, 0xac, 2]), &mut numbers).expect("well-formed");
        push_numbers(Value::Varint(7), &mut numbers).expect("well-formed");
        assert_eq!(numbers, [1, 300, 7]);
        numbers.clear();
        push_fixed(Value::Bytes(&[9, 0, 0, 0, 0, 0, 0, 0]), &mut numbers).expect("well-formed");
        push_fixed(Value::Fixed64(7), &mut numbers).expect("well-formed");
        assert_eq!(numbers, [9, 7]);
        assert!(push_fixed(Value::Bytes(&[9, 0]), &mut numbers).is_err());
        assert!(push_fixed(Value::Varint(9), &mut numbers).is_err());
    }

    #[test]
    fn groups_zero_fields_and_false_lengths_are_refused() {
        for (bytes, why) in [
            (&[0x0b, 0x0c][..], "group"),
            (&[0x0e], "does not exist"),
            (&[0x00, 0x01], "field number 0"),
            (&[0x0a, 0x05, 0x01], "unexpected end"),
            (&[0x09, 0x05, 0x01], "unexpected end"),
            (&[0x0d, 0x05, 0x01], "unexpected end"),
            (&[0xff, 0xff, 0xff, 0xff, 0x7f, 0x01], "too large"),
        ] {
            let Malformed(error) = Reader::new(bytes).field().expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }
}
