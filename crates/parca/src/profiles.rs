//! Rows and stacks to profiles. Owns how rows are grouped, and what equal stacks of a profile
//! become.

mod header;

use std::sync::Arc;

use cairn_model::{Described, Excess, NONE, Point, Profile, Rest};

pub use header::DEFAULT_NAME;
use header::Header;

use crate::Error;
use crate::meter::Meter;
use crate::parts::Parts;
use crate::remap::Remap;
use crate::rows::{NO_TIME, Rows};
use crate::table::Marks;

/// What a profile takes besides its tables.
const PROFILE_BYTES: usize = 512;

/// Writes the profiles of a buffer, one after another.
pub(crate) struct Writer<'a> {
    rows: &'a Rows,
    header: Header<'a>,
    /// One per row.
    stacks: &'a [u32],
    parts: Parts,
    marks: Marks,
    /// Samples by their stack.
    samples: Remap,
    /// Sums of the samples of the profile being written.
    values: Vec<i64>,
    /// Sample of each of its rows, or [`NONE`] if it is left out.
    sample_of: Vec<u32>,
    /// Rows that were left out.
    truncated: u64,
    /// Times of rows that were left out.
    truncated_points: u64,
}

/// What the rows became.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) profiles: Vec<Described>,
    pub(crate) truncated_samples: u64,
    pub(crate) truncated_points: u64,
}

impl<'a> Writer<'a> {
    /// `stacks` has one stack of the parts per row.
    pub(crate) fn new(rows: &'a Rows, stacks: &'a [u32], (parts, marks): (Parts, Marks)) -> Self {
        Self {
            rows,
            header: Header::new(rows),
            stacks,
            marks,
            samples: Remap::new(parts.tables().stacks.len()),
            parts,
            values: Vec::new(),
            sample_of: Vec::new(),
            truncated: 0,
            truncated_points: 0,
        }
    }

    /// One profile per group of rows, in the order in which the groups begin, and how many rows
    /// were left out of them.
    pub(crate) fn profiles(mut self, meter: &mut Meter<'_>) -> Result<Made, Error> {
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
        let profiles = ends.iter().map(one).collect::<Result<_, _>>();
        let mut profiles: Vec<Described> = profiles?;
        let tables = Arc::new(self.parts.finish());
        for described in &mut profiles {
            described.profile.tables = Arc::clone(&tables);
        }
        Ok(Made {
            profiles,
            truncated_samples: self.truncated,
            truncated_points: self.truncated_points,
        })
    }

    fn described(&mut self, group: &[u32], meter: &mut Meter<'_>) -> Result<Described, Error> {
        meter.profiles.take(PROFILE_BYTES)?;
        let name = match self.header.producer.text(group[0]) {
            "" => DEFAULT_NAME,
            name => name,
        };
        Ok(Described {
            name: Some(name.to_owned()),
            labels: self.header.labels(group[0], meter)?,
            profile: self.profile(group, meter)?,
        })
    }

    fn profile(&mut self, group: &[u32], meter: &mut Meter<'_>) -> Result<Profile, Error> {
        self.samples.clear();
        let mut profile = Profile::default();
        self.header
            .put_into(&mut profile, group[0], &mut self.parts);
        let rest = self.samples(group, &mut profile, meter)?;
        profile.samples.stacks = self.samples.named().to_vec();
        if rest.count() > 0 {
            profile.samples.push_rest(&rest, self.marks.truncated);
            self.truncated += rest.count();
        }
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
        self.sample_of.clear();
        let (mut earliest, mut latest) = (i64::MAX, i64::MIN);
        let values = &mut self.values;
        values.clear();
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
                    values.push(value);
                    self.samples.rename(stack)
                }
            };
            self.sample_of.push(sample);
        }
        profile.samples.values = values.clone();
        if earliest <= latest {
            profile.time = earliest;
        }
        if earliest < latest {
            let kept = self.sample_of.iter().filter(|sample| **sample != NONE);
            let kept = kept.count();
            if kept <= max {
                self.points(group, profile);
            } else if meter.limits.excess == Excess::Refuse {
                return Err(Error::over("points of a profile", "samples_max", max));
            } else {
                self.truncated_points += kept as u64;
            }
        }
        Ok(rest)
    }

    fn points(&self, group: &[u32], profile: &mut Profile) {
        let samples = &mut profile.samples;
        let kept = group.iter().zip(&self.sample_of);
        let kept = kept.filter(|(_, sample)| **sample != NONE);
        let mut ends = vec![0_u32; self.samples.named().len()];
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
}
