//! A querier with its real port, a catalog beside it, and blocks that the tests write.

#![expect(clippy::unwrap_used, reason = "a test that can't go on should stop")]

mod apis;
mod by_id;
mod cache;
mod captured;
mod chart;
mod demangle;
mod diff;
mod drill;
mod exports;
mod fixture;
mod grafana;
mod growth;
mod grpc_web;
#[path = "../../../../crates/engine/tests/integration/model.rs"]
#[expect(dead_code, reason = "the engine's tests use more of the model")]
mod model;
mod nodes;
mod parca_faults;
mod partial;
mod property;
mod pyroscope;
mod pyroscope_names;
mod pyroscope_status;
mod repeats;
mod reports;
mod share;
mod singles;
mod slow;
mod symbols;
mod traces;
mod work;
