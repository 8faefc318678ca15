//! Last walk: samples. Owns stacks, values, labels and links; does not merge equal samples.

use cairn_model::{Attr, AttrValue, Function, Limits, Line, Link, Location, NONE, Profile, StrId};
use hashbrown::HashMap;

use crate::Error;
use crate::wire::{Reader, Value, each_number};

use super::locations::Locations;
use super::strings::{SAMPLE, string};
use super::{Input, TRUNCATED_FRAME};

/// Reads all samples and returns how many stacks had to be cut.
pub(super) fn read(
    input: &Input<'_>,
    locations: &Locations,
    profile: &mut Profile,
) -> Result<u64, Error> {
    let count = input.rows.of(SAMPLE);
    let samples = &mut profile.samples;
    samples
        .stack_ends
        .reserve_exact(input.rows.to_reserve(SAMPLE));
    samples.values.reserve(input.rows.to_reserve(SAMPLE));
    let mut writer = Writer {
        locations,
        limits: input.limits,
        count,
        profile,
        links: HashMap::default(),
        marker: NONE,
        truncated: 0,
    };
    let mut reader = Reader::new(input.plain);
    while let Some((field, value)) = reader.field()? {
        if field == SAMPLE {
            writer.sample(value.bytes()?)?;
        }
    }
    Ok(writer.truncated)
}

struct Writer<'a> {
    locations: &'a Locations,
    limits: &'a Limits,
    count: usize,
    profile: &'a mut Profile,
    links: HashMap<Link, u32, foldhash::fast::RandomState>,
    /// The location named [`TRUNCATED_FRAME`], once there is one.
    marker: u32,
    truncated: u64,
}

impl Writer<'_> {
    fn sample(&mut self, raw: &[u8]) -> Result<(), Error> {
        let samples = &self.profile.samples;
        let at = samples.stack_ends.len();
        let (stack_start, values_start) = (samples.stacks.len(), samples.values.len());
        let attrs_start = samples.attrs.len();
        let mut labels = 0;
        let mut link = Link::default();
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => self.stack(value)?,
                2 => each_number(value, |number| {
                    self.profile.samples.values.push(number.cast_signed());
                    Ok(())
                })?,
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
        self.limit_depth(stack_start);
        let samples = &mut self.profile.samples;
        samples.stack_ends.push(samples.stacks.len() as u32);
        self.end_attrs(attrs_start);
        self.end_link(link);
        Ok(())
    }

    /// Nearly all the time goes here, hence its own loop.
    fn stack(&mut self, value: Value<'_>) -> Result<(), Error> {
        let samples = &mut self.profile.samples;
        let ids = &self.locations.ids;
        let at = samples.stack_ends.len();
        if let Value::Bytes(packed) = value {
            samples.stacks.reserve(packed.len());
        }
        let stacks = &mut samples.stacks;
        each_number(value, |id| {
            stacks.push(ids.find(id, || format!("sample {at}"))?);
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
        let at = self.profile.samples.len();
        Err(Error::contradiction(format!(
            "sample {at} has {have} values, but there are {want} sample types"
        )))
    }

    /// Keeps the leaf side of a stack that is too deep.
    fn limit_depth(&mut self, start: usize) {
        let max = self.limits.depth_max;
        let stack = &self.profile.samples.stacks[start..];
        if stack.len().saturating_mul(self.locations.frames_max) <= max {
            return;
        }
        let (mut frames, mut kept, mut is_cut) = (0, 0, false);
        for location in stack {
            is_cut |= self.locations.cut.binary_search(location).is_ok();
            frames += self.frames(*location);
            // Room for the marker is needed only if something is left out.
            kept += usize::from(frames < max);
        }
        if frames <= max && !is_cut {
            return;
        }
        self.profile.samples.stacks.truncate(start + kept.max(1));
        let marker = self.marker();
        self.profile.samples.stacks.push(marker);
        self.truncated += 1;
    }

    fn frames(&self, location: u32) -> usize {
        self.profile.lines(location).len().max(1)
    }

    fn marker(&mut self) -> u32 {
        if self.marker != NONE {
            return self.marker;
        }
        let profile = &mut *self.profile;
        let name = profile.strings.push(TRUNCATED_FRAME);
        profile.functions.push(Function {
            name,
            ..Function::default()
        });
        profile.lines.push(Line {
            function: profile.functions.len() as u32 - 1,
            ..Line::default()
        });
        let line = profile.lines.len() as u32;
        profile.locations.push(Location {
            mapping: NONE,
            address: 0,
            lines: (line - 1, line),
        });
        self.marker = profile.locations.len() as u32 - 1;
        self.marker
    }

    fn label(&mut self, value: Value<'_>, link: &mut Link) -> Result<(), Error> {
        let at = self.profile.samples.len();
        let strings = &self.profile.strings;
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
        let key = self.profile.str(key);
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
                self.profile.str(text).len(),
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
            samples.attr_ends.resize(samples.stack_ends.len() - 1, 0);
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
            samples.links.resize(samples.stack_ends.len() - 1, NONE);
        }
        if is_absent {
            samples.links.push(NONE);
            return;
        }
        let links = &mut self.profile.links;
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
