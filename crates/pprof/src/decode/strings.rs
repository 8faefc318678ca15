//! First walk: the string table and how many rows the other tables have. Reads no other table.

use std::borrow::Cow;

use cairn_model::{Excess, Limits, StrId, Strings};
use cairn_protobuf::{Reader, Value};

use crate::Error;

use super::TRUNCATED_FRAME;

pub(super) const SAMPLE_TYPE: u32 = 1;
pub(super) const SAMPLE: u32 = 2;
pub(super) const MAPPING: u32 = 3;
pub(super) const LOCATION: u32 = 4;
pub(super) const FUNCTION: u32 = 5;
pub(super) const STRING_TABLE: u32 = 6;
pub(super) const TIME: u32 = 9;
pub(super) const DURATION: u32 = 10;
pub(super) const PERIOD_TYPE: u32 = 11;
pub(super) const PERIOD: u32 = 12;

/// Rows reserved at most before they are read, so that a count alone allocates little.
const RESERVE_MAX: usize = 1 << 18;

pub(super) struct Scanned {
    pub(super) strings: Strings,
    pub(super) rows: Rows,
    /// Strings that were not UTF-8.
    pub(super) replaced: u64,
}

/// Rows per field number of the profile message.
#[derive(Default)]
pub(super) struct Rows([usize; 16]);

impl Rows {
    pub(super) fn of(&self, field: u32) -> usize {
        self.0[field as usize]
    }

    pub(super) fn to_reserve(&self, field: u32) -> usize {
        self.of(field).min(RESERVE_MAX)
    }
}

pub(super) fn scan(plain: &[u8], limits: &Limits) -> Result<Scanned, Error> {
    let mut rows = Rows::default();
    let mut bytes = 0;
    let mut reader = Reader::new(plain);
    while let Some((field, value)) = reader.field()? {
        if let Some(count) = rows.0.get_mut(field as usize) {
            *count += 1;
        }
        if matches!(field, SAMPLE_TYPE..=STRING_TABLE | PERIOD_TYPE) {
            let len = value.bytes()?.len();
            bytes += if field == STRING_TABLE { len } else { 0 };
        }
    }
    check(&rows, limits)?;
    let mut strings = Strings::with_capacity(rows.to_reserve(STRING_TABLE), bytes);
    let mut replaced = 0;
    let mut at = 0;
    let mut arena = TRUNCATED_FRAME.len();
    let mut reader = Reader::new(plain);
    while let Some((field, value)) = reader.field()? {
        let (STRING_TABLE, Value::Bytes(raw)) = (field, value) else {
            continue;
        };
        if raw.len() > limits.string_bytes_max {
            let what = format!("string {at} has {} bytes", raw.len());
            return Err(Error::over(
                what,
                "string_bytes_max",
                limits.string_bytes_max,
            ));
        }
        // Checking first is several times faster than replacing at once.
        let text = match std::str::from_utf8(raw) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => {
                replaced += 1;
                String::from_utf8_lossy(raw)
            }
        };
        arena += text.len();
        if arena > u32::MAX as usize {
            return Err(Error::over(
                "its strings",
                "string_table bytes",
                u32::MAX as usize,
            ));
        }
        if at > 0 {
            strings.push(&text);
        } else if !text.is_empty() {
            return Err(Error::contradiction("string_table[0] is not empty"));
        }
        at += 1;
    }
    Ok(Scanned {
        strings,
        rows,
        replaced,
    })
}

fn check(rows: &Rows, limits: &Limits) -> Result<(), Error> {
    let users = [
        SAMPLE_TYPE,
        SAMPLE,
        MAPPING,
        LOCATION,
        FUNCTION,
        PERIOD_TYPE,
    ];
    if rows.of(STRING_TABLE) == 0 && users.iter().any(|field| rows.of(*field) > 0) {
        return Err(Error::contradiction("string_table is empty"));
    }
    let (samples, max) = (rows.of(SAMPLE), limits.samples_max);
    if samples > max && limits.excess == Excess::Refuse {
        return Err(Error::over(
            format!("{samples} samples"),
            "samples_max",
            max,
        ));
    }
    let (types, max) = (rows.of(SAMPLE_TYPE), limits.sample_types_max);
    if types > max {
        let what = format!("{types} sample types");
        return Err(Error::over(what, "sample_types_max", max));
    }
    if rows.of(SAMPLE) > 0 && rows.of(SAMPLE_TYPE) == 0 {
        return Err(Error::contradiction("samples without sample types"));
    }
    Ok(())
}

/// A string index as sent, checked.
#[inline]
pub(super) fn string(
    strings: &Strings,
    value: Value<'_>,
    asker: impl FnOnce() -> String,
) -> Result<StrId, Error> {
    let index = value.int()?;
    match u32::try_from(index) {
        Ok(id) if (id as usize) < strings.len() => Ok(id),
        _ => Err(Error::contradiction(format!(
            "{} has string index {index}, but there are {} strings",
            asker(),
            strings.len()
        ))),
    }
}
