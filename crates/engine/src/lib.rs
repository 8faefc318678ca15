//! The query engine: scan, merge, roll up, symbolize, trim.
//!
//! A [`Query`] is answered per source (a block, or a head of the tail) into an [`Answer`]; answers
//! merge in any order; what a person sees is made from the merged answer, last.
//! Owns no planning: which sources there are is the querier's business.

mod callgraph;
pub mod codec;
pub mod exchange;
mod flame;
mod folded;
mod generated;
mod merge;
mod pprof;
mod query;
pub mod repeats;
mod sandwich;
mod scan;
mod select;
mod size;
mod source;
mod speedscope;
mod svg;
mod symbolize;
mod top;
mod weights;

pub use callgraph::{Call, Callgraph, Edge, callgraph, dot};
pub use flame::{CHART_SAMPLES_MAX, Flame, KeyBy, Kind, NoChart, Node, Pace, Trim};
pub use folded::folded;
pub use generated::{GENERATED, shown_binary};
pub use merge::{FOLDED, Merge, WrongAnswer};
pub use pprof::{Meta, profile};
pub use query::{
    Answer, GroupBy, Point, Query, Question, SERIES_LABEL, Scanned, Series, Stats, TIME_LABEL,
    VALUES_MAX, step_start,
};
pub use sandwich::{Half, sandwich};
pub use scan::{Alone, Budget, Source, Work, first_read, scan_block, scan_head};
pub use select::{below, for_go, innermost, largest};
pub use size::partial_bytes;
pub use source::{SourceLine, source_lines};
pub use speedscope::speedscope;
pub use svg::{NoSvg, svg};
pub use symbolize::{Frame, Names, Wanted, name, rename, unnamed};
pub use top::{TopRow, top};
pub use weights::{Growth, Weights, growth, growth_of};
