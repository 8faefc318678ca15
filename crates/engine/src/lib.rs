//! The query engine: scan, merge, roll up, symbolize, trim.
