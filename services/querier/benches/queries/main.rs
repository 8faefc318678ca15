//! How long people wait for answers: a querier with its real port, blocks of a generated fleet in a
//! store in memory that takes its time before the first byte, a catalog.
//!
//! `cargo bench -p cairn-querier --bench queries`, or with some of these behind `--`:
//! `latency`, `curve`, `tenants` or `given-up` for one of the tables; `rows=1000000,10000000`,
//! `blocks=1,100,10000` and `first-byte=0,30` (milliseconds) for the table of latencies. 100 million
//! and 1,000 million rows take minutes to generate, once.
//!
//! "Cold" is the first question that a process is asked, "warm" another one about the same blocks,
//! "repeated" the same once more. Medians.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures real time, prints, and stops when it fails"
)]

mod data;
mod given_up;
mod latency;
mod stand;
mod tenants;

use std::time::Duration;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let tables = ["latency", "curve", "tenants", "given-up"];
    let any = std::env::args().any(|arg| tables.contains(&arg.as_str()));
    let wants = |table: &str| !any || std::env::args().any(|arg| arg == table);
    if wants("latency") {
        runtime.block_on(latency::print());
    }
    if wants("curve") {
        runtime.block_on(latency::print_curve());
    }
    if wants("tenants") {
        runtime.block_on(tenants::print());
    }
    if wants("given-up") {
        runtime.block_on(given_up::print());
    }
}

/// The numbers behind `name=`.
fn numbers(name: &str, default: &[u64]) -> Vec<u64> {
    let given = std::env::args()
        .find_map(|arg| arg.strip_prefix(name)?.strip_prefix('=').map(str::to_owned));
    match given {
        None => default.to_vec(),
        Some(list) => list
            .split(',')
            .map(|number| number.parse().unwrap())
            .collect(),
    }
}

/// The one below which so many of a hundred lie.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}
