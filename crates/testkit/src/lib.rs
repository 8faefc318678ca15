//! What tests share: the corpus, a seeded generator of profiles, a disk that loses
//! power, our programs and object stores of others as child processes.
//!
//! Owns nothing that ships. Everything here panics with a sentence on what to do: the callers are
//! tests and the load generator.

pub mod addresses;
pub mod corpus;
pub mod disk;
pub mod generator;
pub mod ledger;
pub mod process;
pub mod seeds;
pub mod servers;
