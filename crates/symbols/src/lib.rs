//! ELF and DWARF to symbol files, and addresses to frames.
//!
//! [`convert`] turns an executable or its debug file into one flat table; [`SymbolFile`] answers
//! from that table where it lies. Both are pure over bytes. Where files come from, and the process
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
mod pclntab;
mod tables;

pub use convert::{Companions, Limits, convert};
pub use demangle::{Mode, demangle};
pub use elf::{Identity, Link, Wanted};
pub use error::Error;
pub use file::{Frame, Frames, Miss, SymbolFile};
pub use format::VERSION;
