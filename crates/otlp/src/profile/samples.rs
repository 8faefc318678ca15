//! Samples: stacks, values, points and links. Does not merge equal samples.

use cairn_model::{Function, Line, Link, Location, NONE, Point};

use crate::dictionary::Kind;
use crate::layout::Layout;
use crate::layout::read::{Head, Sample};
use crate::wire::{Reader, each_number};
use crate::{Counts, Error};

use super::{NOTHING, TRUNCATED_FRAME, Workbench, nanoseconds};

/// Rows reserved at most before they are read, so that a count alone allocates little.
const RESERVE_MAX: usize = 1 << 18;

/// What a sample costs besides its stack, and a location of a stack.
const SAMPLE_COST: usize = 16;
const FRAME_COST: usize = 2;

/// A stack of the dictionary where it stands in the profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    start: u32,
    end: u32,
    is_truncated: bool,
}

impl<'a> Workbench<'_, 'a> {
    /// Reads all samples of a profile's message.
    pub(super) fn samples(
        &mut self,
        raw: &'a [u8],
        head: &Head<'a>,
        factor: i64,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let reserved = head.sample_count.min(RESERVE_MAX);
        self.profile.samples.stack_ends.reserve_exact(reserved);
        self.profile.samples.values.reserve(reserved);
        let mut rows = Rows {
            head,
            factor,
            marker: NONE,
            earliest: i64::MAX,
        };
        let mut sample = Sample::default();
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            if field != 2 {
                continue;
            }
            sample.read(value.bytes()?, self.layout)?;
            let numbers = sample.attributes.len() + sample.values.len() + sample.times.len();
            self.costs.add(SAMPLE_COST + 8 * numbers)?;
            self.stack(&sample, &mut rows, counts)?;
            let before = self.profile.samples.attrs.len();
            self.sample_attributes(&sample.attributes, counts)?;
            self.end_attributes(before, head.sample_count);
            self.values(&sample, &mut rows, counts)?;
            let link = self.link(sample.link)?;
            self.end_link(link, head.sample_count);
            let samples = &mut self.profile.samples;
            samples.stack_ends.push(samples.stacks.len() as u32);
        }
        let time = &mut self.profile.time;
        if rows.earliest != i64::MAX && (*time == 0 || rows.earliest < *time) {
            *time = rows.earliest;
        }
        Ok(())
    }

    #[inline]
    fn stack(
        &mut self,
        sample: &Sample,
        rows: &mut Rows<'_, '_>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let range = if self.layout == Layout::V1_7 {
            self.make_stack_1_7(sample, rows, counts)?
        } else {
            let found = self.source.dictionary.find(Kind::Stack, sample.stack)?;
            let Some(index) = found else {
                return Ok(());
            };
            match self.stacks.get(self.generation, index) {
                Some(at) => {
                    let range = self.ranges[at as usize];
                    let (start, end) = (range.start as usize, range.end as usize);
                    self.costs.add(FRAME_COST * (end - start))?;
                    self.profile.samples.stacks.extend_from_within(start..end);
                    range
                }
                None => self.make_stack(index, rows, counts)?,
            }
        };
        counts.truncated_stacks += u64::from(range.is_truncated);
        Ok(())
    }

    fn make_stack(
        &mut self,
        index: u32,
        rows: &mut Rows<'_, '_>,
        counts: &mut Counts,
    ) -> Result<Range, Error> {
        let dictionary = self.source.dictionary;
        let row = dictionary.row(Kind::Stack, index);
        self.costs.add(row.len())?;
        let mut growing = self.growing();
        let mut reader = Reader::new(row);
        while let Some((field, value)) = reader.field()? {
            if field == 1 {
                each_number(value, |location| {
                    self.push_location(location, &mut growing, counts)
                })?;
            }
        }
        let range = self.end_stack(&growing, rows)?;
        self.ranges.push(range);
        let at = self.ranges.len() as u32 - 1;
        let len = dictionary.len(Kind::Stack);
        self.stacks.set(self.generation, index, at, len);
        Ok(range)
    }

    fn make_stack_1_7(
        &mut self,
        sample: &Sample,
        rows: &mut Rows<'_, '_>,
        counts: &mut Counts,
    ) -> Result<Range, Error> {
        let all = &rows.head.locations;
        let (start, len) = (sample.stack, sample.stack_len);
        let slice = usize::try_from(start)
            .ok()
            .zip(usize::try_from(len).ok())
            .and_then(|(start, len)| all.get(start..start.checked_add(len)?));
        let Some(slice) = slice else {
            // A sample without stack may start anywhere.
            if len == 0 {
                return self.end_stack(&self.growing(), rows);
            }
            return Err(Error::contradiction(format!(
                "a stack of {len} from {start} of location_indices, which has {} rows",
                all.len()
            )));
        };
        let mut growing = self.growing();
        for location in slice {
            if growing.is_full {
                break;
            }
            self.push_location(*location, &mut growing, counts)?;
        }
        self.end_stack(&growing, rows)
    }

    fn growing(&self) -> Growing {
        Growing {
            start: self.profile.samples.stacks.len(),
            frames: 0,
            is_full: false,
        }
    }

    /// Appends a location to the stack in the making, unless that is too deep already.
    fn push_location(
        &mut self,
        index: u64,
        growing: &mut Growing,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        self.costs.add(FRAME_COST)?;
        let found = self.source.dictionary.find(Kind::Location, index)?;
        if growing.is_full {
            return Ok(());
        }
        let Some(index) = found else {
            counts.frames_left_out += 1;
            return Ok(());
        };
        let id = match self.locations.get(self.generation, index) {
            Some(id) => id,
            None => self.make_location(index, counts)?,
        };
        self.profile.samples.stacks.push(id);
        growing.frames += self.profile.lines(id).len().max(1);
        growing.is_full = growing.frames > self.source.limits.depth_max;
        Ok(())
    }

    /// Keeps the leaf side of a stack that is too deep.
    fn end_stack(&mut self, growing: &Growing, rows: &mut Rows<'_, '_>) -> Result<Range, Error> {
        let max = self.source.limits.depth_max;
        let stack = &self.profile.samples.stacks[growing.start..];
        let is_cut = !self.cut.is_empty()
            && stack
                .iter()
                .any(|location| self.cut.binary_search(location).is_ok());
        let is_truncated = growing.is_full || is_cut;
        if is_truncated {
            let (mut frames, mut kept) = (0, 0);
            for location in stack {
                frames += self.profile.lines(*location).len().max(1);
                // Room for the marker is needed too.
                kept += usize::from(frames < max);
            }
            let stacks = &mut self.profile.samples.stacks;
            stacks.truncate(growing.start + kept.max(1));
            let marker = self.marker(rows)?;
            self.profile.samples.stacks.push(marker);
        }
        Ok(Range {
            start: growing.start as u32,
            end: self.profile.samples.stacks.len() as u32,
            is_truncated,
        })
    }

    fn marker(&mut self, rows: &mut Rows<'_, '_>) -> Result<u32, Error> {
        if rows.marker != NONE {
            return Ok(rows.marker);
        }
        self.costs.add(TRUNCATED_FRAME.len())?;
        let profile = &mut self.profile;
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
        rows.marker = profile.locations.len() as u32 - 1;
        Ok(rows.marker)
    }

    #[inline]
    fn values(
        &mut self,
        sample: &Sample,
        rows: &mut Rows<'_, '_>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let columns = self.profile.types.len();
        if columns > 1 {
            return self.several_columns(sample, counts);
        }
        let (values, times) = (&sample.values, &sample.times);
        let at = self.profile.samples.len();
        let samples = &mut self.profile.samples;
        let points_start = samples.points.len();
        let mut sum = 0i64;
        match (values.len(), times.len()) {
            (0, 0) => {
                return Err(Error::contradiction(format!(
                    "sample {at} has neither values nor times"
                )));
            }
            (0, _) => {
                for time in times {
                    sum += 1;
                    let value = rows.factor;
                    samples.points.push(rows.point(*time, value)?);
                }
            }
            (have, wanted) if have == wanted => {
                for (value, time) in values.iter().zip(times) {
                    let value = value.cast_signed();
                    sum = add(sum, value, at)?;
                    let value = multiply(value, rows.factor, at)?;
                    samples.points.push(rows.point(*time, value)?);
                }
            }
            (_, 0) => {
                for value in values {
                    sum = add(sum, value.cast_signed(), at)?;
                }
            }
            (1, _) => {
                sum = values[0].cast_signed();
                counts.odd_samples += 1;
            }
            (have, wanted) => {
                return Err(Error::contradiction(format!(
                    "sample {at} has {have} values but {wanted} times"
                )));
            }
        }
        samples.values.push(multiply(sum, rows.factor, at)?);
        self.end_points(points_start, rows.head.sample_count);
        Ok(())
    }

    /// Up to 1.7 a profile may have several columns; times then belong to no value.
    fn several_columns(&mut self, sample: &Sample, counts: &mut Counts) -> Result<(), Error> {
        let columns = self.profile.types.len();
        if sample.values.len() != columns {
            return Err(Error::contradiction(format!(
                "sample {} has {} values, but there are {columns} sample types",
                self.profile.samples.len(),
                sample.values.len()
            )));
        }
        counts.times_left_out += sample.times.len() as u64;
        let values = sample.values.iter().map(|value| value.cast_signed());
        self.profile.samples.values.extend(values);
        Ok(())
    }

    /// Columns that no sample uses stay empty, so the first user fills them up.
    #[inline]
    fn end_points(&mut self, start: usize, count: usize) {
        let samples = &mut self.profile.samples;
        if samples.point_ends.is_empty() {
            if samples.points.len() == start {
                return;
            }
            samples.point_ends.reserve_exact(count.min(RESERVE_MAX));
            samples.point_ends.resize(samples.stack_ends.len(), 0);
        }
        samples.point_ends.push(samples.points.len() as u32);
    }

    #[inline]
    fn end_attributes(&mut self, start: usize, count: usize) {
        let samples = &mut self.profile.samples;
        if samples.attr_ends.is_empty() {
            if samples.attrs.len() == start {
                return;
            }
            samples.attr_ends.reserve_exact(count.min(RESERVE_MAX));
            samples.attr_ends.resize(samples.stack_ends.len(), 0);
        }
        samples.attr_ends.push(samples.attrs.len() as u32);
    }

    #[inline]
    fn end_link(&mut self, link: u32, count: usize) {
        let samples = &mut self.profile.samples;
        if samples.links.is_empty() {
            if link == NONE {
                return;
            }
            samples.links.reserve_exact(count.min(RESERVE_MAX));
            samples.links.resize(samples.stack_ends.len(), NONE);
        }
        samples.links.push(link);
    }

    #[inline]
    fn link(&mut self, index: Option<u64>) -> Result<u32, Error> {
        let Some(index) = index else {
            return Ok(NONE);
        };
        let dictionary = self.source.dictionary;
        let Some(index) = dictionary.find(Kind::Link, index)? else {
            return Ok(NONE);
        };
        if let Some(id) = self.links.get(self.generation, index) {
            return Ok(id);
        }
        let row = dictionary.row(Kind::Link, index);
        self.costs.add(row.len())?;
        let link = read_link(row, index)?;
        let id = if link == Link::default() {
            NOTHING
        } else {
            self.profile.links.push(link);
            self.profile.links.len() as u32 - 1
        };
        let len = dictionary.len(Kind::Link);
        self.links.set(self.generation, index, id, len);
        Ok(id)
    }
}

/// What is the same for all samples of a profile.
struct Rows<'h, 'a> {
    head: &'h Head<'a>,
    factor: i64,
    /// The location named [`TRUNCATED_FRAME`], once there is one.
    marker: u32,
    earliest: i64,
}

impl Rows<'_, '_> {
    #[inline]
    fn point(&mut self, time: u64, value: i64) -> Result<Point, Error> {
        let time = nanoseconds(time, "a sample's time")?;
        self.earliest = self.earliest.min(time);
        Ok(Point { time, value })
    }
}

/// A stack in the making.
struct Growing {
    start: usize,
    frames: usize,
    is_full: bool,
}

fn read_link(row: &[u8], index: u32) -> Result<Link, Error> {
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    let mut reader = Reader::new(row);
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => trace_id = value.bytes()?,
            2 => span_id = value.bytes()?,
            _ => {}
        }
    }
    Ok(Link {
        trace_id: id(trace_id, "trace", index)?,
        span_id: id(span_id, "span", index)?,
    })
}

fn id<const N: usize>(raw: &[u8], what: &str, index: u32) -> Result<[u8; N], Error> {
    raw.try_into().map_err(|_| {
        Error::contradiction(format!(
            "the {what} id of link {index} has {} bytes instead of {N}",
            raw.len()
        ))
    })
}

#[inline]
fn add(sum: i64, value: i64, sample: usize) -> Result<i64, Error> {
    sum.checked_add(value).ok_or_else(|| too_large(sample))
}

#[inline]
fn multiply(value: i64, factor: i64, sample: usize) -> Result<i64, Error> {
    value.checked_mul(factor).ok_or_else(|| too_large(sample))
}

#[cold]
fn too_large(sample: usize) -> Error {
    Error::contradiction(format!("the value of sample {sample} is out of range"))
}
