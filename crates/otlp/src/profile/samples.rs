//! Samples: stacks, values, points and links, and what becomes of too many of them. Does not merge
//! equal samples.

use cairn_model::{Excess, Link, NONE, Point, Rest};
use cairn_protobuf::{Reader, each_number};

use crate::dictionary::Kind;
use crate::layout::Layout;
use crate::layout::read::{Head, Sample};
use crate::{Counts, Error};

use super::{NOTHING, TRUNCATED_FRAME, Workbench, nanoseconds};

/// Rows reserved at most before they are read, so that a count alone allocates little.
const RESERVE_MAX: usize = 1 << 18;

/// What a sample costs, and a location of a stack.
const SAMPLE_COST: usize = 16;
const FRAME_COST: usize = 2;

impl<'a> Workbench<'_, 'a> {
    /// Reads as many samples of a profile's message as the limits allow, and what the others add
    /// up to.
    pub(super) fn samples(
        &mut self,
        raw: &'a [u8],
        head: &Head<'a>,
        factor: i64,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let samples_max = self.source.limits.samples_max;
        let count = head.sample_count.min(samples_max.saturating_add(1));
        let reserved = count.min(RESERVE_MAX);
        self.profile.samples.stacks.reserve_exact(reserved);
        self.profile.samples.values.reserve(reserved);
        let mut rows = Rows {
            head,
            factor,
            rest: Rest::default(),
            earliest: i64::MAX,
        };
        let mut sample = Sample::default();
        let mut reader = Reader::new(raw);
        while let Some((field, value)) = reader.field()? {
            if field != 2 {
                continue;
            }
            sample.read(value.bytes()?, self.layout)?;
            if self.profile.samples.len() == samples_max {
                self.leave_out(&sample, &mut rows, counts)?;
                continue;
            }
            let numbers = sample.attributes.len() + sample.values.len() + sample.times.len();
            self.costs.add(SAMPLE_COST + 8 * numbers)?;
            let stack = self.stack(&sample, &rows, counts)?;
            let before = self.profile.samples.attrs.len();
            self.sample_attributes(&sample.attributes, counts)?;
            self.end_attributes(before, count);
            let before = self.profile.samples.points.len();
            self.values(&sample, samples_max - before, &mut rows, counts)?;
            self.end_points(before, count);
            let link = self.link(sample.link)?;
            self.end_link(link, count);
            self.profile.samples.stacks.push(stack);
        }
        counts.truncated_samples += rows.rest.count();
        if rows.rest.count() > 0 {
            self.costs.add(SAMPLE_COST + 8 * self.profile.types.len())?;
            let stack = self.rest()?;
            self.profile.samples.push_rest(&rows.rest, stack);
        }
        let time = &mut self.profile.time;
        if rows.earliest != i64::MAX && (*time == 0 || rows.earliest < *time) {
            *time = rows.earliest;
        }
        Ok(())
    }

    /// Adds up a sample that there is no room for. It costs nothing: it brings in no shared rows.
    #[cold]
    fn leave_out(
        &mut self,
        sample: &Sample,
        rows: &mut Rows<'_, '_>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let start = self.profile.samples.values.len();
        self.values(sample, 0, rows, counts)?;
        let values = &mut self.profile.samples.values;
        rows.rest.add(&values[start..]);
        values.truncate(start);
        Ok(())
    }

    #[inline]
    fn stack(
        &mut self,
        sample: &Sample,
        rows: &Rows<'_, '_>,
        counts: &mut Counts,
    ) -> Result<u32, Error> {
        let stack = if self.layout == Layout::V1_7 {
            self.make_stack_1_7(sample, rows, counts)?
        } else {
            let found = self.source.dictionary.find(Kind::Stack, sample.stack)?;
            let Some(index) = found else {
                return self.no_stack();
            };
            match self.stacks.get(index) {
                Some(stack) => stack,
                None => self.make_stack(index, counts)?,
            }
        };
        counts.truncated_stacks += u64::from(self.cut_stacks[stack as usize]);
        Ok(stack)
    }

    fn no_stack(&mut self) -> Result<u32, Error> {
        if let Some(stack) = self.empty {
            return Ok(stack);
        }
        let growing = self.begin_stack();
        let stack = self.end_stack(&growing)?;
        self.empty = Some(stack);
        Ok(stack)
    }

    fn make_stack(&mut self, index: u32, counts: &mut Counts) -> Result<u32, Error> {
        let dictionary = self.source.dictionary;
        let row = dictionary.row(Kind::Stack, index);
        self.costs.add(row.len())?;
        let mut growing = self.begin_stack();
        let mut reader = Reader::new(row);
        while let Some((field, value)) = reader.field()? {
            if field == 1 {
                each_number(value, |location| {
                    self.push_location(location, &mut growing, counts)
                })?;
            }
        }
        let stack = self.end_stack(&growing)?;
        let len = dictionary.len(Kind::Stack);
        self.stacks.set(index, stack, len);
        Ok(stack)
    }

    fn make_stack_1_7(
        &mut self,
        sample: &Sample,
        rows: &Rows<'_, '_>,
        counts: &mut Counts,
    ) -> Result<u32, Error> {
        let all = &rows.head.locations;
        let (start, len) = (sample.stack, sample.stack_len);
        let slice = usize::try_from(start)
            .ok()
            .zip(usize::try_from(len).ok())
            .and_then(|(start, len)| all.get(start..start.checked_add(len)?));
        let Some(slice) = slice else {
            // A sample without stack may start anywhere.
            if len == 0 {
                return self.no_stack();
            }
            return Err(Error::contradiction(format!(
                "a stack of {len} from {start} of location_indices, which has {} rows",
                all.len()
            )));
        };
        let mut growing = self.begin_stack();
        for location in slice {
            if growing.is_full {
                break;
            }
            self.push_location(*location, &mut growing, counts)?;
        }
        self.end_stack(&growing)
    }

    fn begin_stack(&mut self) -> Growing {
        let stacks = &mut self.tables.stacks;
        let start = stacks.ends.last().map_or(0, |end| *end as usize);
        // Of a stack that could not be read.
        stacks.locations.truncate(start);
        Growing {
            start,
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
        let id = match self.locations.get(index) {
            Some(id) => id,
            None => self.make_location(index, counts)?,
        };
        self.tables.stacks.locations.push(id);
        growing.frames += self.tables.lines(id).len().max(1);
        growing.is_full = growing.frames > self.source.limits.depth_max;
        Ok(())
    }

    /// Keeps the leaf side of a stack that is too deep, or refuses it.
    fn end_stack(&mut self, growing: &Growing) -> Result<u32, Error> {
        let max = self.source.limits.depth_max;
        let stack = &self.tables.stacks.locations[growing.start..];
        let is_cut = !self.cut.is_empty()
            && stack
                .iter()
                .any(|location| self.cut.binary_search(location).is_ok());
        let is_truncated = growing.is_full || is_cut;
        if is_truncated {
            if self.source.limits.excess == Excess::Refuse {
                let what = format!("frames of sample {}", self.profile.samples.len());
                return Err(Error::over(what, "depth_max", max));
            }
            let (mut frames, mut kept) = (0, 0);
            for location in stack {
                frames += self.tables.lines(*location).len().max(1);
                // Room for the marker is needed too.
                kept += usize::from(frames < max);
            }
            let locations = &mut self.tables.stacks.locations;
            locations.truncate(growing.start + kept.max(1));
            let marker = self.marker()?;
            self.tables.stacks.locations.push(marker);
        }
        self.cut_stacks.push(is_truncated);
        Ok(self.tables.stacks.end())
    }

    fn marker(&mut self) -> Result<u32, Error> {
        if let Some(marker) = self.marker {
            return Ok(marker);
        }
        self.costs.add(TRUNCATED_FRAME.len())?;
        let marker = self.tables.push_frame(TRUNCATED_FRAME);
        self.marker = Some(marker);
        Ok(marker)
    }

    /// The stack of what a profile has no room for.
    fn rest(&mut self) -> Result<u32, Error> {
        if let Some(stack) = self.rest {
            return Ok(stack);
        }
        let growing = self.begin_stack();
        let marker = self.marker()?;
        self.tables.stacks.locations.push(marker);
        let stack = self.end_stack(&growing)?;
        self.rest = Some(stack);
        Ok(stack)
    }

    /// Appends the values of a sample, and its points if there is room for so many.
    #[inline]
    fn values(
        &mut self,
        sample: &Sample,
        room: usize,
        rows: &mut Rows<'_, '_>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let at = self.profile.samples.len() + rows.rest.count() as usize;
        if self.profile.types.len() > 1 {
            return self.several_columns(sample, at, counts);
        }
        let (values, times) = (&sample.values, &sample.times);
        let keeps_points = times.len() <= room;
        let samples = &mut self.profile.samples;
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
                    let point = rows.point(*time, rows.factor)?;
                    if keeps_points {
                        samples.points.push(point);
                    }
                }
            }
            (have, wanted) if have == wanted => {
                for (value, time) in values.iter().zip(times) {
                    let value = value.cast_signed();
                    sum = add(sum, value, at)?;
                    let value = multiply(value, rows.factor, at)?;
                    let point = rows.point(*time, value)?;
                    if keeps_points {
                        samples.points.push(point);
                    }
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
        let has_points = values.is_empty() || values.len() == times.len();
        if has_points && !keeps_points {
            self.lose_points(times.len(), counts)?;
        }
        Ok(())
    }

    #[cold]
    fn lose_points(&self, points: usize, counts: &mut Counts) -> Result<(), Error> {
        let limits = self.source.limits;
        match limits.excess {
            Excess::Truncate => counts.truncated_points += points as u64,
            Excess::Refuse => return Err(Error::over("points", "samples_max", limits.samples_max)),
        }
        Ok(())
    }

    /// Up to 1.7 a profile may have several columns; times then belong to no value.
    fn several_columns(
        &mut self,
        sample: &Sample,
        at: usize,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let columns = self.profile.types.len();
        if sample.values.len() != columns {
            return Err(Error::contradiction(format!(
                "sample {at} has {} values, but there are {columns} sample types",
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
            samples.point_ends.resize(samples.stacks.len(), 0);
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
            samples.attr_ends.resize(samples.stacks.len(), 0);
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
            samples.links.resize(samples.stacks.len(), NONE);
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
        if let Some(id) = self.links.get(index) {
            return Ok(id);
        }
        let row = dictionary.row(Kind::Link, index);
        self.costs.add(row.len())?;
        let link = read_link(row, index)?;
        let id = if link == Link::default() {
            NOTHING
        } else {
            self.tables.links.push(link);
            self.tables.links.len() as u32 - 1
        };
        let len = dictionary.len(Kind::Link);
        self.links.set(index, id, len);
        Ok(id)
    }
}

/// What is the same for all samples of a profile.
struct Rows<'h, 'a> {
    head: &'h Head<'a>,
    factor: i64,
    rest: Rest,
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
