//! The symbolizer: debuginfo uploads, symbol files, addresses to frames.
