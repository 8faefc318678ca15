//! ELF, DWARF and source maps to symbol files, and addresses to frames.
//!
//! [`convert`] turns an executable or its debug file into one flat table, [`convert_source_map`] a
//! source map; [`SymbolFile`] answers from that table where it lies. Both are pure over bytes. Where files come from, and the process
//! that keeps a hostile one from taking the service down, belong to the caller.

mod convert;
mod demangle;
mod dwarf;
mod elf;
mod error;
mod file;
mod format;
mod inflate;
mod layers;
mod names;
mod paths;
mod pclntab;
mod source_map;
mod tables;

pub use convert::{Companions, Limits, convert};
pub use demangle::{Mode, demangle};
pub use elf::{Identity, Link, Wanted};
pub use error::Error;
pub use file::{Frame, Frames, Miss, SymbolFile};
pub use format::VERSION;
pub use source_map::{convert_source_map, debug_id, is_source_map, source_map_texts};
