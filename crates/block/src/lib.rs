//! The block: one immutable object of Parquet sections, and its form in memory before it is one.
//!
//! A [`Head`] takes profiles in and can be read at any moment; written out it becomes a block, whose
//! [`Index`] and [`Stacks`] read back into the same types, so that one scan serves both.
//! Owns formats and their limits; what a query does with rows is the engine's business.

mod head;
mod tables;

pub use head::{Head, Origin, Refused};
pub use tables::{AttrSet, Index, Lsn, ProfileRow, RowRange, SampleColumns, Stacks};
