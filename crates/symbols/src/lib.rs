//! ELF and DWARF to symbol files, and addresses to frames.
//!
//! [`convert`] turns an executable or its debug file into one flat table; [`SymbolFile`] answers
//! from that table. Both are pure over bytes. Where files come from, and the process that keeps a
//! hostile one from taking the service down, belong to the caller: the libraries beneath
//! [`convert`] may overflow the stack on crafted input, which no thread survives.

mod convert;
mod dwarf;
mod elf;
mod error;
mod file;
mod format;
mod names;
mod paint;

pub use convert::{Limits, convert};
pub use elf::Identity;
pub use error::Error;
pub use file::{Frame, Frames, Miss, SymbolFile};
pub use format::VERSION;
