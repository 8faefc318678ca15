//! The engine against a model that keeps every row and loops over all of them.

mod block;
mod callgraph;
mod codec;
mod cores;
mod model;
mod parts;
mod reads;
mod reports;
mod scan;
mod scripts;
mod seeds;
