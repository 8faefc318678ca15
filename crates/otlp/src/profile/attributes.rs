//! Rows of the attribute table: as labels of samples, and as what mappings and locations say.

use cairn_model::{Attr, AttrValue};
use cairn_protobuf::Reader;

use crate::dictionary::Kind;
use crate::labels::check_name;
use crate::layout::Layout;
use crate::value::{Any, KeyValue, Writer};
use crate::{Counts, Error};

use super::{NOTHING, Workbench};

/// A row of the attribute table.
#[derive(Debug, Default)]
pub(super) struct Attribute<'a> {
    pub(super) key: &'a [u8],
    pub(super) key_index: u64,
    pub(super) value: Any<'a>,
    /// Index of a string.
    pub(super) unit: u64,
}

impl<'a> Workbench<'_, 'a> {
    /// `None` for index 0 where nothing is there.
    pub(super) fn attribute(&mut self, index: u64) -> Result<Option<Attribute<'a>>, Error> {
        let dictionary = self.source.dictionary;
        let Some(index) = dictionary.find(Kind::Attribute, index)? else {
            return Ok(None);
        };
        let row = dictionary.row(Kind::Attribute, index);
        self.costs.add(row.len())?;
        if self.layout == Layout::V1_7 {
            let KeyValue { key, value } = KeyValue::read(row, dictionary)?;
            return Ok(Some(Attribute {
                key,
                key_index: 0,
                value,
                unit: self.units.get(key).copied().unwrap_or(0),
            }));
        }
        let mut attribute = Attribute::default();
        let mut reader = Reader::new(row);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => attribute.key_index = value.varint()?,
                2 => attribute.value = Any::read(value.bytes()?)?,
                3 => attribute.unit = value.varint()?,
                _ => {}
            }
        }
        attribute.key = dictionary.string(attribute.key_index)?;
        Ok(Some(attribute))
    }

    /// Appends the attributes of a sample to the profile's.
    #[inline]
    pub(super) fn sample_attributes(
        &mut self,
        indices: &[u64],
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let max = self.source.limits.sample_labels_max;
        if indices.len() > max {
            let what = format!("attributes of sample {}", self.profile.samples.len());
            return Err(Error::over(what, "sample_labels_max", max));
        }
        for index in indices {
            let made = u32::try_from(*index)
                .ok()
                .and_then(|index| self.attributes.get(index));
            let id = match made {
                Some(id) => id,
                None => self.make_attribute(*index, counts)?,
            };
            if id != NOTHING {
                self.profile.samples.attrs.push(self.attrs[id as usize]);
            }
        }
        Ok(())
    }

    #[cold]
    fn make_attribute(&mut self, index: u64, counts: &mut Counts) -> Result<u32, Error> {
        let Some(attribute) = self.attribute(index)? else {
            return Ok(NOTHING);
        };
        let id = if attribute.key.is_empty() {
            counts.unnamed_attributes += 1;
            NOTHING
        } else {
            let attr = self.attr(&attribute, counts)?;
            self.attrs.push(attr);
            self.attrs.len() as u32 - 1
        };
        let len = self.source.dictionary.len(Kind::Attribute);
        self.attributes.set(index as u32, id, len);
        Ok(id)
    }

    fn attr(&mut self, attribute: &Attribute<'a>, counts: &mut Counts) -> Result<Attr, Error> {
        let limits = self.source.limits;
        check_name(attribute.key.len(), limits)?;
        let key = if attribute.key_index == 0 {
            self.text(attribute.key, counts)?
        } else {
            self.string(attribute.key_index, counts)?
        };
        let value = match attribute.value {
            Any::Int(value) => AttrValue::Num {
                value,
                unit: self.string(attribute.unit, counts)?,
            },
            value => {
                counts.units_left_out += u64::from(attribute.unit != 0);
                let writer = Writer::new(self.source.dictionary, limits.label_value_bytes_max);
                let (text, replaced) = writer.write(value)?;
                counts.replaced_strings += replaced;
                AttrValue::Str(self.text(text.as_bytes(), counts)?)
            }
        };
        Ok(Attr { key, value })
    }
}
