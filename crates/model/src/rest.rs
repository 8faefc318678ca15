//! Samples that a profile has no room for: they go, their values stay.

use crate::limits::TRUNCATED_FRAME;
use crate::profile::{Function, Line, Location, NONE, Profile};

/// What the samples add up to that are left out of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    count: u64,
    /// One per column.
    sums: Vec<i64>,
}

impl Rest {
    /// Leaves a sample with these values out, one per column.
    pub fn add(&mut self, values: &[i64]) {
        self.sums.resize(values.len(), 0);
        for (sum, value) in self.sums.iter_mut().zip(values) {
            *sum = sum.saturating_add(*value);
        }
        self.count += 1;
    }

    /// How many samples are left out.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl Profile {
    /// Appends the location of a frame of which only the name is known; does not look for an equal
    /// one.
    pub fn push_frame(&mut self, name: &str) -> u32 {
        let name = self.strings.push(name);
        self.functions.push(Function {
            name,
            ..Function::default()
        });
        self.lines.push(Line {
            function: self.functions.len() as u32 - 1,
            ..Line::default()
        });
        let line = self.lines.len() as u32;
        self.locations.push(Location {
            mapping: NONE,
            address: 0,
            lines: (line - 1, line),
        });
        self.locations.len() as u32 - 1
    }

    /// Appends one sample that stands for those that were left out, if there are any. `marker` is
    /// the location of [`TRUNCATED_FRAME`], if the profile has one.
    pub fn push_rest(&mut self, rest: &Rest, marker: Option<u32>) {
        if rest.count == 0 {
            return;
        }
        let marker = marker.unwrap_or_else(|| self.push_frame(TRUNCATED_FRAME));
        let samples = &mut self.samples;
        samples.stacks.push(marker);
        samples.stack_ends.push(samples.stacks.len() as u32);
        samples.values.extend_from_slice(&rest.sums);
        if !samples.attr_ends.is_empty() {
            samples.attr_ends.push(samples.attrs.len() as u32);
        }
        if !samples.links.is_empty() {
            samples.links.push(NONE);
        }
        if !samples.point_ends.is_empty() {
            samples.point_ends.push(samples.points.len() as u32);
        }
    }
}
