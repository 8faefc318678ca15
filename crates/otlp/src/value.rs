//! Attribute values as text. Owns how numbers, bytes, lists and maps are written; strings stand as
//! they are.

use std::borrow::Cow;
use std::fmt::Write;

use cairn_protobuf::{Malformed, Reader};

use crate::Error;
use crate::dictionary::Dictionary;

/// Lists in maps in lists.
const DEPTH_MAX: usize = 32;

/// An attribute's value, unresolved.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Any<'a> {
    #[default]
    Unset,
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// The messages, unread.
    Array(&'a [u8]),
    Map(&'a [u8]),
    Bytes(&'a [u8]),
    /// Index of a string.
    Reference(u64),
}

impl<'a> Any<'a> {
    pub(crate) fn read(raw: &'a [u8]) -> Result<Self, Malformed> {
        let mut any = Self::Unset;
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            any = match field {
                1 => Self::Text(value.bytes()?),
                2 => Self::Bool(value.varint()? != 0),
                3 => Self::Int(value.int()?),
                4 => Self::Double(f64::from_bits(value.fixed()?)),
                5 => Self::Array(value.bytes()?),
                6 => Self::Map(value.bytes()?),
                7 => Self::Bytes(value.bytes()?),
                8 => Self::Reference(value.varint()?),
                _ => any,
            };
        }
        Ok(any)
    }

    /// The bytes of a text, wherever it stands; `None` for other values.
    pub(crate) fn text(self, dictionary: &Dictionary<'a>) -> Result<Option<&'a [u8]>, Error> {
        match self {
            Self::Text(text) => Ok(Some(text)),
            Self::Reference(index) => dictionary.string(index).map(Some),
            Self::Unset
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Array(_)
            | Self::Map(_)
            | Self::Bytes(_) => Ok(None),
        }
    }
}

/// A key and a value of a resource, a scope, a map, or the attribute table of release 1.7.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyValue<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: Any<'a>,
}

impl<'a> KeyValue<'a> {
    /// Keys may be indices of strings.
    pub(crate) fn read(raw: &'a [u8], dictionary: &Dictionary<'a>) -> Result<Self, Error> {
        let mut found = Self::default();
        let mut index = 0;
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => found.key = value.bytes()?,
                2 => found.value = Any::read(value.bytes()?)?,
                3 => index = value.varint()?,
                _ => {}
            }
        }
        if found.key.is_empty() && index != 0 {
            found.key = dictionary.string(index)?;
        }
        Ok(found)
    }
}

/// Bytes as text, and whether some had to be replaced. Checking first is several times faster
/// than replacing at once.
pub(crate) fn utf8(raw: &[u8]) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(raw) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (String::from_utf8_lossy(raw), true),
    }
}

/// Writes values as text, up to a length.
#[derive(Debug)]
pub(crate) struct Writer<'d, 'a> {
    dictionary: &'d Dictionary<'a>,
    out: String,
    bytes_max: usize,
    /// Strings that were not UTF-8.
    replaced: u64,
}

impl<'d, 'a> Writer<'d, 'a> {
    /// `bytes_max` is `label_value_bytes_max`.
    pub(crate) fn new(dictionary: &'d Dictionary<'a>, bytes_max: usize) -> Self {
        Self {
            dictionary,
            out: String::new(),
            bytes_max,
            replaced: 0,
        }
    }

    /// The text of a value, and how many of its strings were not UTF-8.
    pub(crate) fn write(mut self, value: Any<'a>) -> Result<(String, u64), Error> {
        match value {
            Any::Unset => {}
            Any::Bytes(bytes) => self.hex(bytes)?,
            Any::Double(number) => self.double(number),
            _ => match value.text(self.dictionary)? {
                Some(text) => self.push(text)?,
                None => self.nested(value, 0)?,
            },
        }
        self.check(0)?;
        Ok((self.out, self.replaced))
    }

    /// As in JSON: texts have quotes.
    fn nested(&mut self, value: Any<'a>, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::contradiction(format!(
                "an attribute's value nests deeper than {DEPTH_MAX}"
            )));
        }
        self.check(0)?;
        match value {
            Any::Unset => self.out.push_str("null"),
            Any::Bool(value) => self.out.push_str(if value { "true" } else { "false" }),
            Any::Int(number) => write!(self.out, "{number}").expect("strings take any text"),
            Any::Double(number) if number.is_finite() => self.double(number),
            Any::Double(number) => {
                self.out.push('"');
                self.double(number);
                self.out.push('"');
            }
            Any::Array(raw) => self.array(raw, depth)?,
            Any::Map(raw) => self.map(raw, depth)?,
            Any::Bytes(bytes) => {
                self.out.push('"');
                self.hex(bytes)?;
                self.out.push('"');
            }
            Any::Text(text) => self.quoted(text)?,
            Any::Reference(index) => self.quoted(self.dictionary.string(index)?)?,
        }
        Ok(())
    }

    fn array(&mut self, raw: &'a [u8], depth: usize) -> Result<(), Error> {
        self.out.push('[');
        let mut comma = "";
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            if field == 1 {
                self.out.push_str(comma);
                self.nested(Any::read(value.bytes()?)?, depth + 1)?;
                comma = ",";
            }
        }
        self.out.push(']');
        Ok(())
    }

    fn map(&mut self, raw: &'a [u8], depth: usize) -> Result<(), Error> {
        self.out.push('{');
        let mut comma = "";
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            if field == 1 {
                let entry = KeyValue::read(value.bytes()?, self.dictionary)?;
                self.out.push_str(comma);
                self.quoted(entry.key)?;
                self.out.push(':');
                self.nested(entry.value, depth + 1)?;
                comma = ",";
            }
        }
        self.out.push('}');
        Ok(())
    }

    fn double(&mut self, number: f64) {
        write!(self.out, "{number}").expect("strings take any text");
    }

    fn hex(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.check(bytes.len().saturating_mul(2))?;
        for byte in bytes {
            write!(self.out, "{byte:02x}").expect("strings take any text");
        }
        Ok(())
    }

    fn push(&mut self, text: &[u8]) -> Result<(), Error> {
        self.check(text.len())?;
        let (text, replaced) = utf8(text);
        self.replaced += u64::from(replaced);
        self.out.push_str(&text);
        Ok(())
    }

    fn quoted(&mut self, text: &[u8]) -> Result<(), Error> {
        self.check(text.len())?;
        let (text, replaced) = utf8(text);
        self.replaced += u64::from(replaced);
        self.out.push('"');
        for char in text.chars() {
            match char {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\0'..='\x1f' => {
                    write!(self.out, "\\u{:04x}", char as u32).expect("strings take any text");
                }
                _ => self.out.push(char),
            }
        }
        self.out.push('"');
        Ok(())
    }

    /// Ends texts that references blow up before they are written.
    fn check(&self, more: usize) -> Result<(), Error> {
        if self.out.len().saturating_add(more) > self.bytes_max {
            return Err(Error::over(
                "an attribute's value",
                "label_value_bytes_max",
                self.bytes_max,
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        cairn_protobuf::put_varint(&mut out, bytes.len() as u64);
        out.extend_from_slice(bytes);
        out
    }

    fn text(value: &[u8]) -> Result<String, Error> {
        let request = field(5, b"shared");
        let mut dictionary = Dictionary::new(&request);
        dictionary.add(&request).expect("well-formed");
        let value = Any::read(value)?;
        Ok(Writer::new(&dictionary, 40).write(value)?.0)
    }

    #[test]
    fn values_are_written_as_json_but_texts_and_bytes_alone_are_bare() {
        let double = [&[0x21][..], &1.5f64.to_le_bytes()].concat();
        let list = [
            field(1, &field(1, b"a\"b\n\x01")),
            field(1, &[0x10, 1]),
            field(1, &[]),
            field(1, &[0x40, 0]),
            field(1, &field(7, &[0xab])),
        ];
        let map = [
            field(1, &[field(1, b"k"), field(2, &[0x18, 7])].concat()),
            field(1, &[field(2, &double), vec![0x18, 0]].concat()),
        ];
        for (value, expected) in [
            (vec![], ""),
            (field(1, b"a\"b"), "a\"b"),
            (vec![0x10, 1], "true"),
            (vec![0x18, 0x85, 0x80, 0x80, 0x80, 0], "5"),
            (double, "1.5"),
            (field(7, &[0, 0xab]), "00ab"),
            (vec![0x40, 0], "shared"),
            (
                field(5, &list.concat()),
                r#"["a\"b\n\u0001",true,null,"shared","ab"]"#,
            ),
            (field(6, &map.concat()), r#"{"k":7,"":1.5}"#),
        ] {
            assert_eq!(text(&value).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn long_and_deep_values_are_refused() {
        let mut deep = field(1, b"x");
        for _ in 0..40 {
            deep = field(5, &field(1, &deep));
        }
        assert!(
            text(&deep)
                .expect_err("deep")
                .to_string()
                .contains("deeper")
        );
        let list = field(1, &[0x40, 0]).repeat(30);
        for long in [field(1, &[b'x'; 41]), field(7, &[0; 21]), field(5, &list)] {
            let error = text(&long).expect_err("long").to_string();
            assert!(error.ends_with("label_value_bytes_max=40"), "{error}");
        }
    }
}
