//! Last walk: samples. Owns stacks, values, labels and links, and what becomes of too many samples
//! or frames; does not merge equal samples.

use cairn_model::{Attr, AttrValue, Excess, Limits, Link, NONE, Profile, Rest, StrId, Tables};
use cairn_protobuf::{Reader, Value, each_number};
use hashbrown::HashMap;

use crate::Error;

use super::locations::Locations;
use super::strings::{SAMPLE, string};
use super::{Input, TRUNCATED_FRAME};

/// How much a profile lost to the limits.
pub(super) struct Truncated {
    pub(super) samples: u64,
    pub(super) stacks: u64,
}

/// Reads as many samples as the limits allow, and what the others add up to.
pub(super) fn read(
    input: &Input<'_>,
    locations: &Locations,
    profile: &mut Profile,
    tables: &mut Tables,
) -> Result<Truncated, Error> {
    let samples_max = input.limits.samples_max;
    let room = samples_max.saturating_add(1);
    let count = input.rows.of(SAMPLE).min(room);
    let reserved = input.rows.to_reserve(SAMPLE).min(room);
    tables.stacks.ends.reserve_exact(reserved);
    profile.samples.stacks.reserve_exact(reserved);
    profile.samples.values.reserve(reserved);
    let mut writer = Writer {
        locations,
        limits: input.limits,
        count,
        profile,
        tables,
        links: HashMap::default(),
        marker: None,
        rest: Rest::default(),
        truncated_stacks: 0,
    };
    let mut reader = Reader::new(input.plain);
    while let Some((field, value)) = reader.field()? {
        if field != SAMPLE {
            continue;
        }
        if writer.profile.samples.len() < samples_max {
            writer.sample(value.bytes()?)?;
        } else {
            writer.leave_out(value.bytes()?)?;
        }
    }
    writer.end();
    Ok(Truncated {
        samples: writer.rest.count(),
        stacks: writer.truncated_stacks,
    })
}

struct Writer<'a> {
    locations: &'a Locations,
    limits: &'a Limits,
    /// How many samples there will be.
    count: usize,
    profile: &'a mut Profile,
    tables: &'a mut Tables,
    links: HashMap<Link, u32, foldhash::fast::RandomState>,
    /// The location named [`TRUNCATED_FRAME`], once there is one.
    marker: Option<u32>,
    rest: Rest,
    truncated_stacks: u64,
}

impl Writer<'_> {
    fn sample(&mut self, raw: &[u8]) -> Result<(), Error> {
        let samples = &self.profile.samples;
        let at = samples.len();
        let stack_start = self.tables.stacks.locations.len();
        let values_start = samples.values.len();
        let attrs_start = samples.attrs.len();
        let mut labels = 0;
        let mut link = Link::default();
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => self.stack(value)?,
                2 => self.values(value)?,
                3 => {
                    labels += 1;
                    if labels > self.limits.sample_labels_max {
                        let what = format!("labels of sample {at}");
                        let max = self.limits.sample_labels_max;
                        return Err(Error::over(what, "sample_labels_max", max));
                    }
                    self.label(value, &mut link)?;
                }
                _ => {}
            }
        }
        self.check_values(values_start)?;
        self.limit_depth(stack_start)?;
        let stack = self.tables.stacks.end();
        self.profile.samples.stacks.push(stack);
        self.end_attrs(attrs_start);
        self.end_link(link);
        Ok(())
    }

    /// Nearly all the time goes here, hence its own loop.
    fn stack(&mut self, value: Value<'_>) -> Result<(), Error> {
        let ids = &self.locations.ids;
        let at = self.profile.samples.len();
        let stacked = &mut self.tables.stacks.locations;
        if let Value::Bytes(packed) = value {
            stacked.reserve(packed.len());
        }
        each_number(value, |id| {
            stacked.push(ids.find(id, || format!("sample {at}"))?);
            Ok(())
        })
    }

    /// Reads only the values of a sample, for the sums.
    fn leave_out(&mut self, raw: &[u8]) -> Result<(), Error> {
        let start = self.profile.samples.values.len();
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            if field == 2 {
                self.values(value)?;
            }
        }
        self.check_values(start)?;
        let values = &mut self.profile.samples.values;
        self.rest.add(&values[start..]);
        values.truncate(start);
        Ok(())
    }

    #[inline]
    fn values(&mut self, value: Value<'_>) -> Result<(), Error> {
        let values = &mut self.profile.samples.values;
        each_number(value, |number| {
            values.push(number.cast_signed());
            Ok(())
        })
    }

    fn check_values(&self, start: usize) -> Result<(), Error> {
        let (have, want) = (
            self.profile.samples.values.len() - start,
            self.profile.types.len(),
        );
        if have == want {
            return Ok(());
        }
        let at = self.profile.samples.len() as u64 + self.rest.count();
        Err(Error::contradiction(format!(
            "sample {at} has {have} values, but there are {want} sample types"
        )))
    }

    /// Keeps the leaf side of a stack that is too deep, or refuses it.
    fn limit_depth(&mut self, start: usize) -> Result<(), Error> {
        let max = self.limits.depth_max;
        let stack = &self.tables.stacks.locations[start..];
        if stack.len().saturating_mul(self.locations.frames_max) <= max {
            return Ok(());
        }
        let (mut frames, mut kept, mut is_cut) = (0, 0, false);
        for location in stack {
            is_cut |= self.locations.cut.binary_search(location).is_ok();
            frames += self.frames(*location);
            // Room for the marker is needed only if something is left out.
            kept += usize::from(frames < max);
        }
        if frames <= max && !is_cut {
            return Ok(());
        }
        if self.limits.excess == Excess::Refuse {
            let what = format!("frames of sample {}", self.profile.samples.len());
            return Err(Error::over(what, "depth_max", max));
        }
        let stacked = &mut self.tables.stacks.locations;
        stacked.truncate(start + kept.max(1));
        let marker = self.marker();
        self.tables.stacks.locations.push(marker);
        self.truncated_stacks += 1;
        Ok(())
    }

    fn marker(&mut self) -> u32 {
        let tables = &mut *self.tables;
        *self
            .marker
            .get_or_insert_with(|| tables.push_frame(TRUNCATED_FRAME))
    }

    /// Appends the sample that stands for those that were left out.
    fn end(&mut self) {
        if self.rest.count() > 0 {
            let marker = self.marker();
            let stack = self.tables.stacks.push(&[marker]);
            self.profile.samples.push_rest(&self.rest, stack);
        }
    }

    fn frames(&self, location: u32) -> usize {
        self.tables.lines(location).len().max(1)
    }

    fn label(&mut self, value: Value<'_>, link: &mut Link) -> Result<(), Error> {
        let at = self.profile.samples.len();
        let strings = &self.tables.strings;
        let asker = || format!("a label of sample {at}");
        let (mut key, mut text, mut number, mut unit) = (0, 0, 0, 0);
        let mut reader = Reader::new(value.bytes()?);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => key = string(strings, value, asker)?,
                2 => text = string(strings, value, asker)?,
                3 => number = value.int()?,
                4 => unit = string(strings, value, asker)?,
                _ => {}
            }
        }
        self.check_label(key, text)?;
        let value = if text == 0 {
            AttrValue::Num {
                value: number,
                unit,
            }
        } else if take_link(strings.get(key), strings.get(text), link) {
            return Ok(());
        } else {
            AttrValue::Str(text)
        };
        self.profile.samples.attrs.push(Attr { key, value });
        Ok(())
    }

    fn check_label(&self, key: StrId, text: StrId) -> Result<(), Error> {
        let at = self.profile.samples.len();
        let key = self.tables.str(key);
        if key.is_empty() {
            return Err(Error::contradiction(format!(
                "a label of sample {at} has no key"
            )));
        }
        for (what, len, name, max) in [
            (
                "name",
                key.len(),
                "label_name_bytes_max",
                self.limits.label_name_bytes_max,
            ),
            (
                "value",
                self.tables.str(text).len(),
                "label_value_bytes_max",
                self.limits.label_value_bytes_max,
            ),
        ] {
            if len > max {
                let what = format!("a label {what} of sample {at} has {len} bytes");
                return Err(Error::over(what, name, max));
            }
        }
        Ok(())
    }

    /// Columns that no sample uses stay empty, so the first user fills them up.
    fn end_attrs(&mut self, start: usize) {
        let samples = &mut self.profile.samples;
        if samples.attr_ends.is_empty() {
            if samples.attrs.len() == start {
                return;
            }
            samples.attr_ends.reserve_exact(self.count);
            samples.attr_ends.resize(samples.stacks.len() - 1, 0);
        }
        samples.attr_ends.push(samples.attrs.len() as u32);
    }

    fn end_link(&mut self, link: Link) {
        let samples = &mut self.profile.samples;
        let is_absent = link == Link::default();
        if samples.links.is_empty() {
            if is_absent {
                return;
            }
            samples.links.reserve_exact(self.count);
            samples.links.resize(samples.stacks.len() - 1, NONE);
        }
        if is_absent {
            samples.links.push(NONE);
            return;
        }
        let links = &mut self.tables.links;
        let at = *self.links.entry(link).or_insert_with(|| {
            links.push(link);
            links.len() as u32 - 1
        });
        samples.links.push(at);
    }
}

/// Moves a well-formed trace or span id into the link, unless that has one already.
fn take_link(key: &str, text: &str, link: &mut Link) -> bool {
    match key {
        "trace_id" => take_id(text, &mut link.trace_id),
        "span_id" => take_id(text, &mut link.span_id),
        _ => false,
    }
}

fn take_id<const N: usize>(text: &str, id: &mut [u8; N]) -> bool {
    match parse_id(text) {
        Some(parsed) if *id == [0; N] && parsed != [0; N] => {
            *id = parsed;
            true
        }
        _ => false,
    }
}

fn parse_id<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut id = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(id)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_ids_become_links() {
        let mut link = Link::default();
        for bad in [
            "",
            "00f067aa0ba902b",
            "00F067AA0BA902B7",
            "0000000000000000",
            "é0f067aa0ba902b",
        ] {
            assert!(!take_link("span_id", bad, &mut link), "{bad}");
        }
        assert!(!take_link("SPAN_ID", "00f067aa0ba902b7", &mut link));
        assert!(take_link("span_id", "00f067aa0ba902b7", &mut link));
        assert_eq!(
            link.span_id,
            [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]
        );
        assert!(
            !take_link("span_id", "10f067aa0ba902b7", &mut link),
            "the first one counts"
        );
    }
}
