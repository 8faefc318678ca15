//! Cairn as its users meet it: programs on loopback, real files, real clients.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests run on the real clock and fail by panicking"
)]

mod addresses;
mod bucket;
mod cairn;
mod captures;
mod clients;
mod commands;
mod crash;
mod damage;
mod doors;
mod grpc;
mod http;
mod meaning;
#[expect(
    dead_code,
    reason = "the messages of all releases, and what writes them"
)]
#[path = "../../../otlp/tests/otlp/messages.rs"]
mod messages;
#[path = "../../../pprof/tests/pprof/oracle.rs"]
mod oracle;
mod readers;
mod rebuild;
mod roundtrip;
mod scripts;
mod serve;
mod services;
mod stopping;
mod telemetry;
