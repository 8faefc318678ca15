//! A querier with its real port, a catalog beside it, and blocks that the tests write.

#![expect(clippy::unwrap_used, reason = "a test that can't go on should stop")]

mod apis;
mod captured;
mod diff;
mod fixture;
mod growth;
mod nodes;
mod parca_faults;
mod partial;
mod pyroscope;
mod pyroscope_names;
mod pyroscope_status;
mod repeats;
mod reports;
mod share;
mod symbols;
mod work;
