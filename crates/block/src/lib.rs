//! The block: one immutable object of Parquet sections, and its form in memory before it is one.
//!
//! A [`Head`] takes profiles in and can be read at any moment; [`write()`] makes a block of it, whose
//! [`Index`] and [`Stacks`] read back into the same types, so that one scan serves both.
//! Owns formats and their limits; what a query does with rows is the engine's business.

mod build;
mod cursor;
mod describe;
mod error;
mod head;
mod index;
mod labels;
mod merge;
mod origins;
mod pages;
mod read;
mod reads;
mod repeats;
mod rows;
mod samples;
mod symbols;
mod table;
mod tables;
mod toc;
mod traces;
mod unify;
mod write;

pub use cairn_model::Stretch;
pub use describe::{Sizes, describe, sizes};
pub use error::Error;
pub use head::{Head, Intake, Origin, Refused};
pub use merge::{MergeError, merge};
pub use origins::{LogName, Origins};
pub use read::{Block, Loaded};
pub use reads::Reads;
pub use repeats::{Batches, Held, Shared, shared};
pub use rows::{Decoder, Part, Rows};
pub use samples::Columns;
pub use symbols::PackedStacks;
pub use tables::{
    AttrSet, Index, Links, Lsn, Postings, ProfileRow, RowRange, SampleColumns, Stacks,
};
pub use toc::First;
pub use write::{Built, Info, Options, write};
