//! All services in one thread, under a network, a store and clocks that fail by seed.
//!
//! `make sim SEED=7` repeats a run and tells what happens in it.

mod children;
mod client;
mod cluster;
mod entropy;
mod load;
mod network;
mod panics;
mod plan;
mod run;
mod trace;

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_store::faulty::Link;

use children::Run;
use plan::{Event, Fault, Plan};
use trace::Loudness;

/// Runs of `cargo test`, and of how many the sameness is tried.
const SEEDS: u64 = 150;
const REPEATED: u64 = 3;
/// Runs that a bug may survive.
const SEEDS_WITH_BUG: u64 = 20;
/// Runs in which ingesters store what is others'.
const SEEDS_WITH_REPEATS: u64 = 20;
/// Names a failpoint of the services to switch on.
const BUG: &str = "CAIRN_SIM_BUG";

#[test]
fn whatever_fails_nothing_acknowledged_is_lost_or_doubled() {
    let first = number("CAIRN_SIM_FIRST").unwrap_or(0);
    let seeds = number("CAIRN_SIM_SEEDS").unwrap_or(SEEDS);
    let failed = children::all(first..first.saturating_add(seeds), &[], tell);
    assert!(
        failed.is_empty(),
        "{} of {seeds} runs failed: {failed:?}",
        failed.len()
    );
}

/// The check of the checks.
#[test]
fn acknowledging_before_the_log_has_it_is_found() {
    let bug = [(BUG, cairn_ingester::ACKNOWLEDGE_EARLY)];
    let mut runs = (0..SEEDS_WITH_BUG).map(|seed| children::one(seed, &bug));
    let found = runs.find(|run| !run.is_well && run.said.contains("is lost"));
    let found = found.expect("the simulation finds the bug");
    println!("found after {} runs", found.seed + 1);
}

/// Without owners many a push is stored by two ingesters: answers count it once all the same, and
/// merges leave one.
#[test]
fn what_two_ingesters_have_stored_counts_once() {
    let without_owners = [(BUG, cairn_ingester::TAKE_ANYTHING)];
    let twice = AtomicU64::new(0);
    let count = |run: &Run| {
        tell(run);
        twice.fetch_add(run.stored_twice(), Ordering::Relaxed);
    };
    let failed = children::all(0..SEEDS_WITH_REPEATS, &without_owners, count);
    assert!(
        failed.is_empty(),
        "failed: {failed:?}, with {without_owners:?}"
    );
    let twice = twice.into_inner();
    assert!(twice > 0, "no run stored anything twice");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..REPEATED {
        let (once, again) = (children::one(seed, &[]), children::one(seed, &[]));
        assert_eq!(
            once.digest(),
            again.digest(),
            "{}\n{}",
            once.said,
            again.said
        );
    }
}

/// One ingester to which the store is silent, while it answers the others, leaves its shards to
/// them.
#[test]
fn a_silent_store_costs_one_ingester_its_shards_and_nobody_else() {
    let second = Duration::from_secs(1);
    let cut_off = Event {
        from: second,
        until: second * 29,
        fault: Fault::CutOff(cluster::INGESTERS[1], Link::Silent),
    };
    let plan = Plan {
        events: vec![cut_off],
        skews: vec![0; cluster::SERVERS.len()],
        begins_well: true,
    };
    let simulation = std::thread::Builder::new().spawn(move || {
        entropy::seed(7);
        let _listening = trace::start(Loudness::Silent);
        run::follow(plan, 7)
    });
    let verdict = simulation.expect("threads can be started").join();
    let verdict = verdict.expect("the simulation itself does not panic");
    assert!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
    println!("{}, {:?}", verdict.figures, verdict.longest_outage);
    assert!(
        verdict.longest_outage < second * 16,
        "no push of one service was acknowledged for {:?}",
        verdict.longest_outage
    );
}

/// What the others start in processes of their own, and `make sim` by itself.
#[test]
fn one_seed() {
    let Some(seed) = number("CAIRN_SIM_SEED") else {
        return;
    };
    if let Some(bug) = variable(BUG) {
        fail::cfg(bug, "return").expect("an action of a failpoint");
    }
    let loudness = match variable("CAIRN_SIM_SHOW").as_deref() {
        Some("nothing") => Loudness::Silent,
        Some("everything") => Loudness::Everything,
        Some(_) | None => Loudness::Normal,
    };
    let panics = panics::listen();
    // A thread of its own, so that nothing that happened in this one before makes a difference.
    let simulation = std::thread::Builder::new().spawn(move || {
        entropy::seed(seed);
        let _listening = trace::start(loudness);
        run::run(seed)
    });
    let verdict = simulation.expect("threads can be started").join();
    let mut verdict = verdict.expect("the simulation itself does not panic");
    verdict.violations.extend(panics.take());
    // Not captured, and whole even if the test fails.
    let _ = writeln!(
        std::io::stdout(),
        "seed {seed}: digest {:016x}, {}",
        verdict.digest,
        verdict.figures
    );
    assert!(
        verdict.violations.is_empty(),
        "seed {seed}: {:#?}",
        verdict.violations
    );
}

/// What became of a run, and how to repeat it.
#[expect(clippy::print_stdout, reason = "a test's output")]
fn tell(run: &Run) {
    let bug = variable(BUG).map_or_else(String::new, |bug| format!("{BUG}={bug} "));
    match run.is_well {
        true => println!("{}", run.figures()),
        false => println!("\n{}\n=> {bug}make sim SEED={}", run.said, run.seed),
    }
}

fn number(name: &str) -> Option<u64> {
    variable(name).map(|text| text.parse().expect("a number"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "which runs to make is no setting of a service"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
