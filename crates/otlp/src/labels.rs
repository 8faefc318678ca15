//! The labels of a profile: what its resource, its scope and itself say, later words counting.

use cairn_model::Limits;
use cairn_protobuf::Reader;

use crate::dictionary::Dictionary;
use crate::value::{Any, KeyValue, Writer, utf8};
use crate::{Counts, Error};

/// Labels in the order in which their names came first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    pairs: Vec<(String, String)>,
    /// Attributes of the message being read, repeated names included: without this, a short
    /// message could have long texts written over each other without end.
    taken: usize,
    /// Bytes of all texts written since this was asked for.
    written: usize,
}

impl Labels {
    /// Adds the attributes of a resource message.
    pub(crate) fn resource(
        &mut self,
        raw: &[u8],
        source: &Source<'_, '_>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        self.begin();
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => self.key_value(value.bytes()?, source, counts)?,
                2 => counts.add_dropped(value.varint()?),
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds the attributes of a scope message, its name and its version.
    pub(crate) fn scope(
        &mut self,
        raw: &[u8],
        source: &Source<'_, '_>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        self.begin();
        let (mut name, mut version): (&[u8], &[u8]) = (&[], &[]);
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => name = value.bytes()?,
                2 => version = value.bytes()?,
                3 => self.key_value(value.bytes()?, source, counts)?,
                4 => counts.add_dropped(value.varint()?),
                _ => {}
            }
        }
        for (key, value) in [("otel.scope.name", name), ("otel.scope.version", version)] {
            if !value.is_empty() {
                self.set(key.as_bytes(), Any::Text(value), source, counts)?;
            }
        }
        Ok(())
    }

    fn key_value(
        &mut self,
        raw: &[u8],
        source: &Source<'_, '_>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let KeyValue { key, value } = KeyValue::read(raw, source.dictionary)?;
        self.set(key, value, source, counts)
    }

    /// Adds one, in place of one of the same name.
    pub(crate) fn set<'a>(
        &mut self,
        key: &[u8],
        value: Any<'a>,
        source: &Source<'_, 'a>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let limits = source.limits;
        self.taken += 1;
        if self.taken > limits.labels_max {
            return Err(Error::over("its labels", "labels_max", limits.labels_max));
        }
        if key.is_empty() {
            counts.unnamed_attributes += 1;
            return Ok(());
        }
        check_name(key.len(), limits)?;
        let writer = Writer::new(source.dictionary, limits.label_value_bytes_max);
        let (text, mut replaced) = writer.write(value)?;
        let (key, is_replaced) = utf8(key);
        replaced += u64::from(is_replaced);
        self.written += key.len() + text.len();
        counts.replaced_strings += replaced;
        if let Some((_, old)) = self.pairs.iter_mut().find(|(name, _)| *name == key) {
            *old = text;
            return Ok(());
        }
        if self.pairs.len() >= limits.labels_max {
            return Err(Error::over("its labels", "labels_max", limits.labels_max));
        }
        self.pairs.push((key.into_owned(), text));
        Ok(())
    }

    /// Begins the attributes of another message.
    pub(crate) fn begin(&mut self) {
        self.taken = 0;
    }

    pub(crate) fn take_written(&mut self) -> usize {
        std::mem::take(&mut self.written)
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| &**value)
            .filter(|value| !value.is_empty())
    }

    pub(crate) fn bytes(&self) -> usize {
        let bytes = self
            .pairs
            .iter()
            .map(|(key, value)| key.len() + value.len());
        bytes.sum::<usize>() + self.pairs.len() * size_of::<(String, String)>()
    }

    /// The labels, with the service's name under the name that queries know.
    pub(crate) fn finish(mut self) -> Vec<(String, String)> {
        const SHORT: &str = "service_name";
        let service = match (self.get("service.name"), self.get(SHORT)) {
            (Some(service), _) | (None, Some(service)) => service.to_owned(),
            (None, None) => match self.get("process.executable.name") {
                Some(executable) => format!("unknown_service:{executable}"),
                None => "unknown_service".to_owned(),
            },
        };
        match self.pairs.iter_mut().find(|(key, _)| key == SHORT) {
            Some((_, value)) => *value = service,
            None => self.pairs.push((SHORT.to_owned(), service)),
        }
        self.pairs
    }
}

/// What resolves references, and how long things may be.
#[derive(Debug)]
pub(crate) struct Source<'d, 'a> {
    pub(crate) dictionary: &'d Dictionary<'a>,
    pub(crate) limits: &'d Limits,
}

pub(crate) fn check_name(len: usize, limits: &Limits) -> Result<(), Error> {
    let max = limits.label_name_bytes_max;
    if len > max {
        let what = format!("an attribute's name of {len} bytes");
        return Err(Error::over(what, "label_name_bytes_max", max));
    }
    Ok(())
}
