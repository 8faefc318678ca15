//! Blocks against a naive model: written, read, merged, damaged, opened by other readers.

mod damage;
mod golden;
mod model;
mod other_readers;
mod round_trip;
mod seeds;
