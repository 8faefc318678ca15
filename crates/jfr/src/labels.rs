//! Pyroscope's labels of contexts, which travel beside a recording: numbers that events carry
//! stand for sets of labels.

use cairn_model::Limits;

use crate::{Error, Map};

/// Labels by the context numbers of events.
#[derive(Clone, Debug, Default)]
pub struct LabelsSnapshot {
    /// Ranges in `pairs`.
    contexts: Map<i64, (u32, u32)>,
    /// Numbers of names and values.
    pairs: Vec<(i64, i64)>,
    strings: Map<i64, Box<str>>,
}

/// Reads a plain `LabelsSnapshot` message: contexts are maps of string numbers to string numbers
/// in field 1, strings by number in field 2. Unknown fields are passed over.
pub fn labels_snapshot(bytes: &[u8], limits: &Limits) -> Result<LabelsSnapshot, Error> {
    let max = limits.profile_bytes_max.min((u32::MAX - 1) as usize);
    if bytes.len() > max {
        return Err(Error::over("its labels' bytes", "profile_bytes_max", max));
    }
    let read = || -> Result<LabelsSnapshot, Error> {
        let mut snapshot = LabelsSnapshot::default();
        let mut message = Message(bytes);
        while let Some((number, value)) = message.field()? {
            match (number, value) {
                (1, Value::Bytes(entry)) => snapshot.context(entry, limits)?,
                (2, Value::Bytes(entry)) => snapshot.string(entry, limits)?,
                _ => {}
            }
        }
        Ok(snapshot)
    };
    read().map_err(|error| error.within(|| "labels".to_owned()))
}

impl LabelsSnapshot {
    /// The labels of a context; a name or a value is absent if the snapshot lacks its string.
    pub(crate) fn labels(
        &self,
        context: i64,
    ) -> impl Iterator<Item = (Option<&str>, Option<&str>)> {
        let (start, end) = self.contexts.get(&context).copied().unwrap_or_default();
        let pairs = &self.pairs[start as usize..end as usize];
        pairs
            .iter()
            .map(|(name, value)| (self.text(*name), self.text(*value)))
    }

    pub(crate) fn text(&self, number: i64) -> Option<&str> {
        self.strings.get(&number).map(|text| &**text)
    }

    fn context(&mut self, entry: &[u8], limits: &Limits) -> Result<(), Error> {
        let (key, context) = map_entry(entry)?;
        let start = self.pairs.len();
        let mut context = Message(context);
        while let Some((number, value)) = context.field()? {
            let (1, Value::Bytes(entry)) = (number, value) else {
                continue;
            };
            self.pairs.push(map_entry_of_numbers(entry)?);
            if self.pairs.len() - start > limits.sample_labels_max {
                let max = limits.sample_labels_max;
                return Err(Error::over("labels of a context", "sample_labels_max", max));
            }
        }
        let range = (start as u32, self.pairs.len() as u32);
        self.contexts.insert(key, range);
        Ok(())
    }

    fn string(&mut self, entry: &[u8], limits: &Limits) -> Result<(), Error> {
        let (key, text) = map_entry(entry)?;
        let max = limits.label_value_bytes_max;
        if text.len() > max {
            return Err(Error::over("a label", "label_value_bytes_max", max));
        }
        let text = String::from_utf8_lossy(text);
        self.strings.insert(key, text.into());
        Ok(())
    }
}

/// A map's entry with a number as its key and bytes as its value.
fn map_entry(entry: &[u8]) -> Result<(i64, &[u8]), Error> {
    let mut found = (0, &[][..]);
    let mut entry = Message(entry);
    while let Some((number, value)) = entry.field()? {
        match (number, value) {
            (1, Value::Varint(key)) => found.0 = key,
            (2, Value::Bytes(value)) => found.1 = value,
            _ => {}
        }
    }
    Ok(found)
}

fn map_entry_of_numbers(entry: &[u8]) -> Result<(i64, i64), Error> {
    let mut found = (0, 0);
    let mut entry = Message(entry);
    while let Some((number, value)) = entry.field()? {
        match (number, value) {
            (1, Value::Varint(key)) => found.0 = key,
            (2, Value::Varint(value)) => found.1 = value,
            _ => {}
        }
    }
    Ok(found)
}

/// A protobuf message, read field by field.
struct Message<'a>(&'a [u8]);

enum Value<'a> {
    Varint(i64),
    Bytes(&'a [u8]),
    Fixed,
}

impl<'a> Message<'a> {
    fn field(&mut self) -> Result<Option<(u64, Value<'a>)>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?.cast_signed()),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Error::undecodable("a wire type that does not exist")),
        };
        Ok(Some((key >> 3, value)))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let split = self.0.split_at_checked(len);
        let (taken, rest) =
            split.ok_or_else(|| Error::undecodable("unexpected end of a message"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::undecodable("a number of more than ten bytes"))
    }
}
