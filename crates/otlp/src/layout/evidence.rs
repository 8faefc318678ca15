//! What a request shows of the release that wrote it. Counts; does not judge.

use cairn_protobuf::{Malformed, Reader, Value};

use crate::Error;
use crate::dictionary::{Dictionary, Kind};

/// Per field number, how often it is a varint, a fixed64, or bytes.
pub(super) type Seen = [[u64; 3]; 16];

/// Rows of each table that are looked at.
const ROWS_MAX: usize = 64;
/// How deep attribute values are looked into.
const DEPTH_MAX: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) has_dictionary: bool,
    /// Tables in profiles, or what may be some.
    pub(super) profile_tables: bool,
    pub(super) profiles: Seen,
    pub(super) samples: Seen,
    /// Keys and texts of resources and scopes that are indices of strings.
    pub(super) references: u64,
    /// Field 3 of sample types and period types.
    pub(super) temporalities: u64,
    /// Fields 7 of 16 bytes, and of other lengths.
    pub(super) id_like: u64,
    pub(super) not_id_like: u64,
    /// Profiles with field 10 but not 9.
    pub(super) lonely_10: u64,
    /// Samples whose field 2, if nothing else tells, can't be attributes, or can't be values.
    pub(super) no_attributes: u64,
    pub(super) no_values: u64,
    pub(crate) profile_count: usize,
}

fn note(seen: &mut Seen, field: u32, value: Value<'_>) {
    let Some(kinds) = seen.get_mut(field as usize) else {
        return;
    };
    match value {
        Value::Varint(_) => kinds[0] += 1,
        Value::Fixed64(_) => kinds[1] += 1,
        Value::Bytes(_) => kinds[2] += 1,
        Value::Fixed32 => {}
    }
}

impl Evidence {
    /// Takes in everything below one resource.
    pub(crate) fn add_resource(&mut self, raw: &[u8], attributes: u64) -> Result<(), Error> {
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => self.references += references(value.bytes()?, 1),
                2 => self.add_scope(value.bytes()?, attributes)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn add_scope(&mut self, raw: &[u8], attributes: u64) -> Result<(), Error> {
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => self.references += references(value.bytes()?, 3),
                2 => {
                    self.profile_count += 1;
                    self.add_profile(value.bytes()?, attributes)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn add_profile(&mut self, raw: &[u8], attributes: u64) -> Result<(), Error> {
        let mut has = [false; 16];
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            note(&mut self.profiles, field, value);
            let Value::Bytes(bytes) = value else {
                continue;
            };
            if let Some(has) = has.get_mut(field as usize) {
                *has = true;
            }
            match field {
                1 | 5 => self.temporalities += u64::from(has_varint(bytes, 3)),
                2 => self.add_sample(bytes, attributes)?,
                3 | 4 => self.profile_tables = true,
                7 if bytes.len() == 16 => self.id_like += 1,
                7 if !bytes.is_empty() => self.not_id_like += 1,
                _ => {}
            }
        }
        self.lonely_10 += u64::from(has[10] && !has[9]);
        Ok(())
    }

    fn add_sample(&mut self, raw: &[u8], attributes: u64) -> Result<(), Malformed> {
        let mut second: &[u8] = &[];
        let mut has_others = false;
        let mut times = 0;
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            note(&mut self.samples, field, value);
            match (field, value) {
                (2, Value::Bytes(bytes)) => second = bytes,
                (5, Value::Bytes(bytes)) => times += bytes.len() / 8,
                (1, Value::Varint(_)) => {}
                _ => has_others = true,
            }
        }
        // Values up to 1.9, attributes since.
        if !second.is_empty() && !has_others {
            self.weigh(second, times, attributes);
        }
        Ok(())
    }

    fn weigh(&mut self, second: &[u8], times: usize, attributes: u64) {
        let mut reader = Reader::new(second);
        let mut numbers = 0;
        let mut last = None;
        // A sample without values has at least a time.
        let mut wrong = times == 0;
        while let Ok(number) = reader.varint() {
            numbers += 1;
            wrong |= number >= attributes || last == Some(number);
            last = Some(number);
        }
        self.no_attributes += u64::from(wrong);
        self.no_values += u64::from(times > 0 && numbers > 1 && numbers != times);
    }
}

fn has_varint(raw: &[u8], wanted: u32) -> bool {
    let mut reader = Reader::new(raw);
    while let Ok(Some((field, value))) = reader.field() {
        if field == wanted && matches!(value, Value::Varint(_)) {
            return true;
        }
    }
    false
}

/// References in the attributes that a message has at a field.
fn references(raw: &[u8], attributes: u32) -> u64 {
    let mut found = 0;
    let mut reader = Reader::new(raw);
    while let Ok(Some((field, value))) = reader.field() {
        if let (true, Value::Bytes(raw)) = (field == attributes, value) {
            found += in_key_value(raw, 0);
        }
    }
    found
}

fn in_key_value(raw: &[u8], depth: usize) -> u64 {
    let mut found = 0;
    let mut reader = Reader::new(raw);
    while let Ok(Some((field, value))) = reader.field() {
        found += match (field, value) {
            (2, Value::Bytes(raw)) => in_value(raw, depth),
            (3, Value::Varint(_)) => 1,
            _ => 0,
        };
    }
    found
}

fn in_value(raw: &[u8], depth: usize) -> u64 {
    let mut found = 0;
    let mut reader = Reader::new(raw);
    while let Ok(Some((field, value))) = reader.field() {
        match (field, value) {
            (8, Value::Varint(_)) => found += 1,
            (5 | 6, Value::Bytes(raw)) if depth < DEPTH_MAX => {
                let mut members = Reader::new(raw);
                while let Ok(Some((member, value))) = members.field() {
                    let (1, Value::Bytes(raw)) = (member, value) else {
                        continue;
                    };
                    found += if field == 5 {
                        in_value(raw, depth + 1)
                    } else {
                        in_key_value(raw, depth + 1)
                    };
                }
            }
            _ => {}
        }
    }
    found
}

/// What the dictionary's tables show.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Attributes whose key is an index, and a text.
    pub(super) key_references: u64,
    pub(super) inline_keys: u64,
    /// Attribute values that refer to strings.
    pub(super) references: u64,
    /// Rows of table 7 that are stacks, and units of attributes.
    pub(super) stack_rows: u64,
    pub(super) unit_rows: u64,
    /// Flags that mappings and locations had up to 1.7, and attributes of locations as there.
    pub(super) old_flags: u64,
    /// Attributes of locations as since 1.8.
    pub(super) new_locations: u64,
}

impl Tables {
    pub(super) fn of(dictionary: &Dictionary<'_>) -> Self {
        let mut found = Self::default();
        for kind in [Kind::Attribute, Kind::Stack, Kind::Location, Kind::Mapping] {
            for row in dictionary.rows(kind).take(ROWS_MAX) {
                let mut reader = Reader::new(row);
                while let Ok(Some((field, value))) = reader.field() {
                    found.add(kind, field, value);
                }
            }
        }
        found
    }

    fn add(&mut self, kind: Kind, field: u32, value: Value<'_>) {
        match (kind, field, value) {
            (Kind::Attribute, 1, Value::Varint(_)) => self.key_references += 1,
            (Kind::Attribute, 1, Value::Bytes(_)) => self.inline_keys += 1,
            (Kind::Attribute, 2, Value::Bytes(raw)) => self.references += in_value(raw, 0),
            (Kind::Stack, 1, Value::Bytes(_)) => self.stack_rows += 1,
            (Kind::Stack, 1 | 2, Value::Varint(_)) => self.unit_rows += 1,
            (Kind::Location, 4, Value::Bytes(_)) => self.new_locations += 1,
            (Kind::Location, 4, Value::Varint(_))
            | (Kind::Location, 5, _)
            | (Kind::Mapping, 6..=9, Value::Varint(_)) => self.old_flags += 1,
            _ => {}
        }
    }
}
