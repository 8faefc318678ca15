//! A process with its real ports, driven from outside.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests drive a process from outside it"
)]

mod client;
mod server;
mod stopping;
