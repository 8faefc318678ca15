//! Rows next to each other, and those of them that pass.

use cairn_block::{ProfileRow, SampleColumns};

use super::matching::RowFilter;

/// Columns of the rows of one profile, or of a part of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub(super) stacks: &'a [u32],
    pub(super) values: &'a [i64],
    /// Empty if all are 0.
    pub(super) attrs: &'a [u32],
    /// Empty if all are 0.
    pub(super) links: &'a [u32],
    /// Empty if all are 0.
    pub(super) times: &'a [u32],
}

/// One row that passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed {
    pub(super) stack: u32,
    pub(super) value: i64,
    pub(super) attr: u32,
    pub(super) link: u32,
    /// As columns keep it.
    pub(super) time: u32,
}

impl Passed {
    /// Nanoseconds since the epoch.
    pub(super) fn time(self, profile: &ProfileRow) -> i64 {
        let millis = i64::from(self.time.saturating_sub(1));
        profile.time.saturating_add(millis * NANOS_PER_MILLI)
    }
}

const NANOS_PER_MILLI: i64 = 1_000_000;

impl<'a> Run<'a> {
    pub(super) fn of(columns: &'a SampleColumns, range: std::ops::Range<usize>) -> Self {
        let part = |column: &'a [u32]| {
            if column.is_empty() {
                column
            } else {
                &column[range.clone()]
            }
        };
        Self {
            stacks: &columns.stacks[range.clone()],
            values: &columns.values[range.clone()],
            attrs: part(&columns.attrs),
            links: part(&columns.links),
            times: part(&columns.times),
        }
    }

    /// Calls `row` with every row that passes; says whether any did.
    #[inline]
    pub(super) fn each(&self, filter: Option<&RowFilter>, mut row: impl FnMut(Passed)) -> bool {
        let mut any = false;
        let of = |column: &[u32], at: usize| column.get(at).copied().unwrap_or(0);
        for (at, (stack, value)) in self.stacks.iter().zip(self.values).enumerate() {
            let (attr, link) = (of(self.attrs, at), of(self.links, at));
            if filter.is_none_or(|filter| filter.matches(attr, link)) {
                any = true;
                row(Passed {
                    stack: *stack,
                    value: *value,
                    attr,
                    link,
                    time: of(self.times, at),
                });
            }
        }
        any
    }
}
