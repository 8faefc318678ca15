//! The query engine: scan, merge, roll up, symbolize, trim.
//!
//! A [`Query`] is answered per source (a block, or a head of the tail) into an [`Answer`]; answers
//! merge in any order; what a person sees is made from the merged answer, last.
//! Owns no transport and no planning: which sources there are is the querier's business.

mod query;

pub use query::{Answer, GroupBy, Point, Query, Question, Scanned, Series, Stats};
