//! The messages that changed from release to release: profiles, samples and locations. One reader
//! for each numbering; all fill the same structs.

use cairn_protobuf::{Malformed, Reader, Value, push_fixed, push_numbers};

use super::Layout;

/// Indices of the texts of a value type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) kind: u64,
    pub(crate) unit: u64,
}

/// A profile without its samples.
#[derive(Debug, Default)]
pub(crate) struct Head<'a> {
    pub(crate) types: Vec<Kind>,
    pub(crate) sample_count: usize,
    /// Nanoseconds since the epoch.
    pub(crate) time: u64,
    pub(crate) duration: u64,
    pub(crate) period_type: Kind,
    pub(crate) period: i64,
    pub(crate) profile_id: &'a [u8],
    pub(crate) dropped_attributes: u64,
    pub(crate) has_original: bool,
    pub(crate) comments: u64,
    pub(crate) attributes: Vec<u64>,
    /// Release 1.7 only: stacks are ranges of it.
    pub(crate) locations: Vec<u64>,
}

/// One sample, indices unchecked.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    /// Position in the stack table; in release 1.7, start in the profile's locations.
    pub(crate) stack: u64,
    /// Release 1.7 only.
    pub(crate) stack_len: u64,
    pub(crate) values: Vec<u64>,
    pub(crate) attributes: Vec<u64>,
    pub(crate) link: Option<u64>,
    /// Nanoseconds since the epoch.
    pub(crate) times: Vec<u64>,
}

/// One location, indices unchecked.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) mapping: Option<u64>,
    pub(crate) address: u64,
    pub(crate) attributes: Vec<u64>,
}

// === impl Head ===

impl<'a> Head<'a> {
    /// Does not look into samples.
    pub(crate) fn read(raw: &'a [u8], layout: Layout) -> Result<Self, Malformed> {
        let mut head = Self::default();
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match (field, layout) {
                // Since 1.8 a field that comes once; of several, the last counts.
                (1, Layout::V1_7) => head.types.push(read_kind(value)?),
                (1, _) => head.types = vec![read_kind(value)?],
                (2, _) => {
                    value.bytes()?;
                    head.sample_count += 1;
                }
                (_, Layout::V1_7) => head.field_1_7(field, value)?,
                (_, Layout::V1_8) => head.field_1_8(field, value)?,
                (_, Layout::V1_9 | Layout::V1_10) => head.field_1_9(field, value)?,
            }
        }
        Ok(head)
    }

    fn field_1_7(&mut self, field: u32, value: Value<'a>) -> Result<(), Malformed> {
        match field {
            3 => push_numbers(value, &mut self.locations)?,
            4 => self.time = value.varint()?,
            5 => self.duration = value.varint()?,
            6 => self.period_type = read_kind(value)?,
            7 => self.period = value.int()?,
            8 => self.comments += 1,
            10 => self.profile_id = value.bytes()?,
            11 => self.dropped_attributes = value.varint()?,
            13 => self.has_original |= !value.bytes()?.is_empty(),
            14 => push_numbers(value, &mut self.attributes)?,
            _ => {}
        }
        Ok(())
    }

    fn field_1_8(&mut self, field: u32, value: Value<'a>) -> Result<(), Malformed> {
        match field {
            3 => self.time = value.fixed()?,
            4 => self.duration = value.varint()?,
            5 => self.period_type = read_kind(value)?,
            6 => self.period = value.int()?,
            7 => self.comments += 1,
            8 => self.profile_id = value.bytes()?,
            9 => self.dropped_attributes = value.varint()?,
            11 => self.has_original |= !value.bytes()?.is_empty(),
            12 => push_numbers(value, &mut self.attributes)?,
            _ => {}
        }
        Ok(())
    }

    fn field_1_9(&mut self, field: u32, value: Value<'a>) -> Result<(), Malformed> {
        match field {
            3 => self.time = value.fixed()?,
            4 => self.duration = value.varint()?,
            5 => self.period_type = read_kind(value)?,
            6 => self.period = value.int()?,
            7 => self.profile_id = value.bytes()?,
            8 => self.dropped_attributes = value.varint()?,
            10 => self.has_original |= !value.bytes()?.is_empty(),
            11 => push_numbers(value, &mut self.attributes)?,
            _ => {}
        }
        Ok(())
    }
}

fn read_kind(value: Value<'_>) -> Result<Kind, Malformed> {
    let mut kind = Kind::default();
    let mut reader = Reader::new(value.bytes()?);
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => kind.kind = value.varint()?,
            2 => kind.unit = value.varint()?,
            _ => {}
        }
    }
    Ok(kind)
}

// === impl Sample ===

impl Sample {
    /// Reads over the sample before, keeping its memory.
    #[inline]
    pub(crate) fn read(&mut self, raw: &[u8], layout: Layout) -> Result<(), Malformed> {
        self.stack = 0;
        self.stack_len = 0;
        self.values.clear();
        self.attributes.clear();
        self.link = None;
        self.times.clear();
        match layout {
            Layout::V1_7 => self.read_1_7(raw),
            Layout::V1_8 | Layout::V1_9 => self.read_1_8(raw),
            Layout::V1_10 => self.read_1_10(raw),
        }
    }

    fn read_1_7(&mut self, raw: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => self.stack = value.varint()?,
                2 => self.stack_len = value.varint()?,
                3 => push_numbers(value, &mut self.values)?,
                4 => push_numbers(value, &mut self.attributes)?,
                5 => self.link = Some(value.varint()?),
                6 => push_numbers(value, &mut self.times)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_1_8(&mut self, raw: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => self.stack = value.varint()?,
                2 => push_numbers(value, &mut self.values)?,
                3 => push_numbers(value, &mut self.attributes)?,
                4 => self.link = Some(value.varint()?),
                5 => push_fixed(value, &mut self.times)?,
                _ => {}
            }
        }
        self.link = Some(self.link.unwrap_or(0));
        Ok(())
    }

    fn read_1_10(&mut self, raw: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => self.stack = value.varint()?,
                2 => push_numbers(value, &mut self.attributes)?,
                3 => self.link = Some(value.varint()?),
                4 => push_numbers(value, &mut self.values)?,
                5 => push_fixed(value, &mut self.times)?,
                _ => {}
            }
        }
        self.link = Some(self.link.unwrap_or(0));
        Ok(())
    }
}

// === impl Place ===

impl Place {
    /// Calls `line` with every line of the location.
    pub(crate) fn read<'a, E: From<Malformed>>(
        raw: &'a [u8],
        layout: Layout,
        mut line: impl FnMut(&'a [u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut place = Self::default();
        let is_old = layout == Layout::V1_7;
        let attributes = if is_old { 5 } else { 4 };
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => place.mapping = Some(value.varint()?),
                2 => place.address = value.varint()?,
                3 => line(value.bytes()?)?,
                _ if field == attributes => push_numbers(value, &mut place.attributes)?,
                _ => {}
            }
        }
        // Up to 1.7 an absent mapping is none, and index 0 is one.
        if !is_old {
            place.mapping = Some(place.mapping.unwrap_or(0));
        }
        Ok(place)
    }
}
