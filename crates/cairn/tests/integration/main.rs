//! Cairn as its users meet it: programs on loopback, real files, real clients.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests run on the real clock and fail by panicking"
)]

mod bucket;
mod cairn;
mod clients;
mod commands;
mod crash;
mod damage;
mod doors;
mod http;
mod rebuild;
mod roundtrip;
mod serve;
mod services;
mod stopping;
mod telemetry;
