//! The JSON form of a request, turned into the protobuf form of the newest layout while it is read.
//!
//! Owns how JSON writes numbers, ids and bytes; what messages hold stands in [`schema`]. Nesting is
//! bounded by the JSON reader, 128 levels. A list of small numbers grows to four times its text.

mod schema;

use std::fmt;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use cairn_protobuf::put_varint;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::Error;

use schema::{Entry, Found, Kind, REQUEST, Schema};

/// Of a JSON reader's message that may hold parts of the text.
const REASON_CHARS_MAX: usize = 100;

/// Starts the message of a request that an old release wrote.
const OLD: &str = "old release: ";

pub(crate) fn to_protobuf(text: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(text);
    let message = Message {
        schema: &REQUEST,
        out: &mut out,
    };
    message
        .deserialize(&mut reader)
        .and_then(|()| reader.end())
        .map_err(|error| refused(&error))?;
    Ok(out)
}

fn refused(error: &serde_json::Error) -> Error {
    let reason = error.to_string();
    if let Some(release) = reason.strip_prefix(OLD) {
        let release = release.split(' ').next().unwrap_or_default();
        return crate::layout::unsupported_json(release);
    }
    let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
    let (line, column) = (error.line(), error.column());
    Error::undecodable(format!("JSON line {line}, column {column}: {reason}"))
}

/// Writes the fields of an object.
struct Message<'o> {
    schema: &'static Schema,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(found) = map.next_key_seed(Key(self.schema))? {
            match found {
                Found::Field(entry) => map.next_value_seed(Field {
                    entry,
                    out: self.out,
                })?,
                Found::Old(release) => return Err(A::Error::custom(format!("{OLD}{release} "))),
                Found::Unknown => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Looks a field's name up.
struct Key(&'static Schema);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Found, E> {
        Ok(self.0.find(name))
    }
}

/// Writes one field, or all members of a list as one field each.
struct Field<'o> {
    entry: Entry,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.entry.is_list, self.entry.kind) {
            (true, _) => "a list",
            (false, Kind::Message(_)) => "an object",
            (false, Kind::Text) => "a text",
            (false, Kind::Id(_)) => "hex digits",
            (false, Kind::Bytes) => "base64",
            (false, Kind::Bool) => "true or false",
            (false, Kind::Int | Kind::Fixed | Kind::Double) => "a number",
        })
    }

    /// `null` is an absent field.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if !self.entry.is_list {
            return Err(A::Error::custom("a list instead of one value"));
        }
        let entry = self.entry.member();
        let mut member = || {
            list.next_element_seed(Field {
                entry,
                out: &mut *self.out,
            })
        };
        while member()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(schema) = self.entry.kind else {
            return Err(A::Error::custom("an object instead of a value"));
        };
        self.single()?;
        let key = u64::from(self.entry.number << 3 | 2);
        let body = begin(self.out, key);
        Message {
            schema,
            out: self.out,
        }
        .visit_map(map)?;
        end(self.out, body)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        match self.entry.kind {
            Kind::Bool => self.number(u64::from(value)),
            _ => Err(E::custom("true or false instead of another value")),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        match self.entry.kind {
            Kind::Double => self.number((value as f64).to_bits()),
            Kind::Int | Kind::Fixed => self.number(value),
            _ => Err(E::custom("a number instead of another value")),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        match self.entry.kind {
            Kind::Double => self.number((value as f64).to_bits()),
            Kind::Int | Kind::Fixed => self.number(value.cast_unsigned()),
            _ => Err(E::custom("a number instead of another value")),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        match self.entry.kind {
            Kind::Double => self.number(value.to_bits()),
            Kind::Int | Kind::Fixed => match whole(value) {
                Some(value) => self.number(value.cast_unsigned()),
                None => Err(E::custom("a number that is not whole")),
            },
            _ => Err(E::custom("a number instead of another value")),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.entry.kind {
            Kind::Text => self.bytes(text.as_bytes()),
            Kind::Bytes => match base64().decode(text) {
                Ok(bytes) => self.bytes(&bytes),
                Err(_) => Err(E::custom("bytes that are not base64")),
            },
            Kind::Id(len) => match id(text, len) {
                Some(bytes) => self.bytes(&bytes),
                None => Err(E::custom("an id that is neither hex nor base64")),
            },
            Kind::Int | Kind::Fixed => match number(text) {
                Some(value) => self.number(value),
                None => Err(E::custom("a text that is not a whole number")),
            },
            Kind::Double => match text.parse::<f64>() {
                Ok(value) => self.number(value.to_bits()),
                Err(_) => Err(E::custom("a text that is not a number")),
            },
            Kind::Bool | Kind::Message(_) => Err(E::custom("a text instead of another value")),
        }
    }
}

impl Field<'_> {
    fn single<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.entry.is_list {
            return Err(E::custom("one value instead of a list"));
        }
        Ok(())
    }

    fn number<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.single()?;
        let number = u64::from(self.entry.number << 3);
        if matches!(self.entry.kind, Kind::Fixed | Kind::Double) {
            put_varint(self.out, number | 1);
            self.out.extend_from_slice(&value.to_le_bytes());
        } else {
            put_varint(self.out, number);
            put_varint(self.out, value);
        }
        Ok(())
    }

    fn bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<(), E> {
        self.single()?;
        put_varint(self.out, u64::from(self.entry.number << 3 | 2));
        put_varint(self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

/// Leaves room for a length that is known only afterwards: five bytes, the last ones zero if need
/// be. Returns where the body begins.
fn begin(out: &mut Vec<u8>, key: u64) -> usize {
    put_varint(out, key);
    out.extend_from_slice(&[0; 5]);
    out.len()
}

fn end<E: serde::de::Error>(out: &mut [u8], body: usize) -> Result<(), E> {
    let len = u32::try_from(out.len() - body).map_err(|_| E::custom("more than 4 GiB"))?;
    for at in 0..5 {
        let more = if at < 4 { 0x80 } else { 0 };
        out[body - 5 + at] = (len >> (7 * at)) as u8 & 0x7f | more;
    }
    Ok(())
}

/// Numbers as text may have the exponent of a float.
fn number(text: &str) -> Option<u64> {
    if let Ok(value) = text.parse::<u64>() {
        return Some(value);
    }
    let value = text.parse::<i64>().ok();
    value
        .or_else(|| whole(text.parse().ok()?))
        .map(i64::cast_unsigned)
}

fn whole(value: f64) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    (value.fract() == 0.0 && (-BOUND..BOUND).contains(&value)).then_some(value as i64)
}

/// Hex, as OTLP demands; base64, as plain protobuf in JSON would have it, if the length fits.
fn id(text: &str, len: usize) -> Option<Vec<u8>> {
    if text.len() != 2 * len
        && let Ok(bytes) = base64().decode(text)
        && bytes.len() == len
    {
        return Some(bytes);
    }
    let digits: Option<Vec<u8>> = text.bytes().map(nibble).collect();
    let (pairs, []) = digits.as_ref()?.as_chunks() else {
        return None;
    };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn nibble(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|digit| digit as u8)
}

/// Both alphabets are told apart by two letters; writers are free in the choice.
fn base64() -> Base64 {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    Base64 {
        standard: GeneralPurpose::new(&base64::alphabet::STANDARD, config),
        url: GeneralPurpose::new(&base64::alphabet::URL_SAFE, config),
    }
}

struct Base64 {
    standard: GeneralPurpose,
    url: GeneralPurpose,
}

impl Base64 {
    fn decode(&self, text: &str) -> Result<Vec<u8>, base64::DecodeError> {
        if text.contains(['-', '_']) {
            self.url.decode(text)
        } else {
            self.standard.decode(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ids_and_bytes_have_several_spellings() {
        for (text, expected) in [
            ("7", Some(7)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("1e3", Some(1000)),
            ("1.5", None),
            ("1e30", None),
            ("", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        for (text, expected) in [
            (
                "00F067AA0ba902b7",
                Some(&[0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 2, 0xb7][..]),
            ),
            (
                "APBnqgupArc=",
                Some(&[0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 2, 0xb7]),
            ),
            ("", Some(&[])),
            ("abcd", Some(&[0xab, 0xcd])),
            ("xyz", None),
        ] {
            assert_eq!(id(text, 8).as_deref(), expected, "{text}");
        }
        assert_eq!(base64().decode("-_8"), Ok(vec![0xfb, 0xff]));
        assert_eq!(base64().decode("+/8="), Ok(vec![0xfb, 0xff]));
    }
}
