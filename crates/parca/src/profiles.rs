//! Rows and stacks to profiles. Owns how rows are grouped, what equal stacks of a profile become,
//! and the tables of each profile, which hold only what its samples need.

mod parts;

use cairn_model::{Described, Excess, NONE, Point, Profile, Rest, ValueType};

use parts::Parts;

use crate::Error;
use crate::meter::Meter;
use crate::remap::Remap;
use crate::rows::{Key, NO_TIME, Rows};
use crate::table::{Marks, View};

/// What profiles are called whose producer does not say.
pub const DEFAULT_NAME: &str = "parca_agent";

/// The temporality whose values were counted over a duration.
const DELTA: &str = "delta";

/// What a profile takes besides its tables.
const PROFILE_BYTES: usize = 512;

/// Copies out of the tables of a buffer what each profile needs.
pub(crate) struct Writer<'a> {
    rows: &'a Rows,
    stacks: &'a [u32],
    table: View<'a>,
    marks: Marks,
    /// The number of a sample by its stack, and of parts by their numbers in the table.
    samples: Remap,
    locations: Remap,
    functions: Remap,
    mappings: Remap,
    strings: Remap,
    parts: Parts,
    /// Stack of each sample.
    order: Vec<u32>,
    /// Sample of each row, or [`NONE`] if it is left out.
    sample_of: Vec<u32>,
    /// Rows that were left out.
    truncated: u64,
}

impl<'a> Writer<'a> {
    /// `stacks` has one stack of the table per row.
    pub(crate) fn new(
        rows: &'a Rows,
        stacks: &'a [u32],
        (table, marks): (View<'a>, Marks),
    ) -> Self {
        Self {
            rows,
            stacks,
            table,
            marks,
            samples: Remap::new(table.len()),
            locations: Remap::new(table.parts.locations.len()),
            functions: Remap::new(table.parts.functions.len()),
            mappings: Remap::new(table.parts.mappings.len()),
            strings: Remap::new(table.parts.strings.len()),
            parts: Parts::default(),
            order: Vec::new(),
            sample_of: Vec::new(),
            truncated: 0,
        }
    }

    /// One profile per group of rows, in the order in which the groups begin, and how many rows
    /// were left out of them.
    pub(crate) fn profiles(
        mut self,
        meter: &mut Meter<'_>,
    ) -> Result<(Vec<Described>, u64), Error> {
        let (groups, firsts) = self.rows.groups(meter)?;
        // Rows in the order of their groups.
        let mut ends = vec![0_u32; firsts.len()];
        for group in &groups {
            ends[*group as usize] += 1;
        }
        let mut end = 0;
        for start in &mut ends {
            let count = *start;
            *start = end;
            end += count;
        }
        let mut members = vec![0_u32; groups.len()];
        for (row, group) in groups.iter().enumerate() {
            let slot = &mut ends[*group as usize];
            members[*slot as usize] = row as u32;
            *slot += 1;
        }
        let mut start = 0;
        let one = |end: &u32| {
            let group = &members[start..*end as usize];
            start = *end as usize;
            self.described(group, meter)
        };
        let profiles = ends.iter().map(one).collect::<Result<_, _>>()?;
        Ok((profiles, self.truncated))
    }

    fn described(&mut self, group: &[u32], meter: &mut Meter<'_>) -> Result<Described, Error> {
        meter.profiles.take(PROFILE_BYTES)?;
        let first = group[0];
        let name = match self.rows.text("producer", first) {
            "" => DEFAULT_NAME,
            name => name,
        };
        Ok(Described {
            name: Some(name.to_owned()),
            labels: self.labels(first, meter)?,
            profile: self.profile(group, meter)?,
        })
    }

    fn labels(&self, row: u32, meter: &mut Meter<'_>) -> Result<Vec<(String, String)>, Error> {
        let mut labels = Vec::new();
        for column in &self.rows.columns {
            let Key::Label(name) = column.key else {
                continue;
            };
            let value = column.ids[row as usize];
            if value == NONE {
                continue;
            }
            let max = meter.limits.labels_max;
            if labels.len() == max {
                return Err(Error::over("labels of a profile", "labels_max", max));
            }
            let (name, value) = (self.rows.texts.get(name), self.rows.texts.get(value));
            meter.profiles.take(48 + name.len() + value.len())?;
            labels.push((name.to_owned(), value.to_owned()));
        }
        Ok(labels)
    }

    fn profile(&mut self, group: &[u32], meter: &mut Meter<'_>) -> Result<Profile, Error> {
        for remap in [
            &mut self.samples,
            &mut self.locations,
            &mut self.functions,
            &mut self.mappings,
            &mut self.strings,
        ] {
            remap.clear();
        }
        let first = group[0];
        let mut profile = Profile::default();
        self.parts.clear();
        let rows = self.rows;
        let mut text = |name| self.parts.own(rows.text(name, first), meter);
        let (kind, unit) = (text("sample_type")?, text("sample_unit")?);
        let (period_kind, period_unit) = (text("period_type")?, text("period_unit")?);
        profile.types = vec![ValueType { kind, unit }];
        profile.period_type = ValueType {
            kind: period_kind,
            unit: period_unit,
        };
        profile.period = self.rows.number_of("period", first);
        if self.rows.text("temporality", first) == DELTA {
            profile.duration = self.rows.number_of("duration", first);
        }
        let rest = self.samples(group, &mut profile, meter)?;
        self.stacks(&mut profile, meter)?;
        if rest.count() > 0 {
            let marker = self.location(self.marks.truncated, meter)?;
            profile.push_rest(&rest, Some(marker));
            self.truncated += rest.count();
        }
        self.parts.put_into(&mut profile, self.table);
        Ok(profile)
    }

    /// Equal stacks become one sample. If the rows were taken at different times, it has a point
    /// for each of them. Gives what is left out.
    fn samples(
        &mut self,
        group: &[u32],
        profile: &mut Profile,
        meter: &mut Meter<'_>,
    ) -> Result<Rest, Error> {
        let max = meter.limits.samples_max;
        let mut rest = Rest::default();
        meter.profiles.take(group.len().saturating_mul(32))?;
        self.order.clear();
        self.sample_of.clear();
        let (mut earliest, mut latest) = (i64::MAX, i64::MIN);
        let values = &mut profile.samples.values;
        for row in group {
            let row = *row as usize;
            let (time, value, stack) = (
                self.rows.times[row],
                self.rows.values[row],
                self.stacks[row],
            );
            if time != NO_TIME {
                (earliest, latest) = (earliest.min(time), latest.max(time));
            }
            let same = self.samples.get(stack);
            let sum = same.and_then(|at| values[at as usize].checked_add(value));
            let sample = match (same, sum) {
                (Some(at), Some(sum)) => {
                    values[at as usize] = sum;
                    at
                }
                _ if values.len() >= max => {
                    if meter.limits.excess == Excess::Refuse {
                        return Err(Error::over("samples of a profile", "samples_max", max));
                    }
                    rest.add(&[value]);
                    NONE
                }
                // What does not fit one sample goes into another.
                _ => {
                    let at = values.len() as u32;
                    values.push(value);
                    self.order.push(stack);
                    self.samples.set(stack, at);
                    at
                }
            };
            self.sample_of.push(sample);
        }
        if earliest <= latest {
            profile.time = earliest;
        }
        if earliest < latest {
            self.points(group, profile);
        }
        Ok(rest)
    }

    fn points(&self, group: &[u32], profile: &mut Profile) {
        let samples = &mut profile.samples;
        let kept = group.iter().zip(&self.sample_of);
        let kept = kept.filter(|(_, sample)| **sample != NONE);
        let mut ends = vec![0_u32; self.order.len()];
        for (_, sample) in kept.clone() {
            ends[*sample as usize] += 1;
        }
        let mut end = 0;
        for start in &mut ends {
            let count = *start;
            *start = end;
            end += count;
        }
        samples.points = vec![Point::default(); end as usize];
        for (row, sample) in kept {
            let time = self.rows.times[*row as usize];
            let slot = &mut ends[*sample as usize];
            samples.points[*slot as usize] = Point {
                time: if time == NO_TIME { profile.time } else { time },
                value: self.rows.values[*row as usize],
            };
            *slot += 1;
        }
        samples.point_ends = ends;
    }

    fn stacks(&mut self, profile: &mut Profile, meter: &mut Meter<'_>) -> Result<(), Error> {
        let order = std::mem::take(&mut self.order);
        let table = self.table;
        let total: usize = order.iter().map(|stack| table.stack(*stack).len()).sum();
        meter.profiles.take(total.saturating_mul(4))?;
        profile.samples.stacks.reserve_exact(total);
        profile.samples.stack_ends.reserve_exact(order.len());
        for stack in &order {
            for location in table.stack(*stack) {
                let location = self.location(*location, meter)?;
                profile.samples.stacks.push(location);
            }
            let end = profile.samples.stacks.len() as u32;
            profile.samples.stack_ends.push(end);
        }
        self.order = order;
        Ok(())
    }
}
