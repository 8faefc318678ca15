//! Samples that a profile has no room for: they go, their values stay.

use crate::profile::{NONE, Samples};

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

impl Samples {
    /// Appends one sample that stands for those that were left out. Its stack is the single frame
    /// [`TRUNCATED_FRAME`](crate::TRUNCATED_FRAME).
    pub fn push_rest(&mut self, rest: &Rest, stack: u32) {
        self.stacks.push(stack);
        self.values.extend_from_slice(&rest.sums);
        if !self.attr_ends.is_empty() {
            self.attr_ends.push(self.attrs.len() as u32);
        }
        if !self.links.is_empty() {
            self.links.push(NONE);
        }
        if !self.point_ends.is_empty() {
            self.point_ends.push(self.points.len() as u32);
        }
    }
}
