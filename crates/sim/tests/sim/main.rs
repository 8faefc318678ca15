//! All services in one thread, under a network, a store and clocks that fail by seed.
//!
//! `make sim SEED=7` repeats a run and tells what happens in it.

mod client;
mod cluster;
mod load;
mod network;
mod plan;
mod run;
mod trace;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "which runs to make is no setting of a service"
)]
fn one_seed() {
    let Ok(seed) = std::env::var("CAIRN_SIM_SEED") else {
        return;
    };
    let seed = seed.parse().expect("a number");
    let _trace = trace::start(std::env::var("CAIRN_SIM_QUIET").is_err());
    let verdict = run::run(seed);
    println!(
        "seed {seed}: digest {:016x}, {}",
        verdict.digest, verdict.figures
    );
    assert!(
        verdict.violations.is_empty(),
        "seed {seed}: {:#?}",
        verdict.violations
    );
}
