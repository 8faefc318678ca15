//! The fuzz target's inputs, run as an ordinary test.

use std::sync::Arc;

use cairn_parca::write;
use cairn_testkit::seeds::{self, STALE};

use crate::{named, native, sample};

#[path = "../../../../fuzz/checks/parca_decode.rs"]
mod check;

const TARGET: &str = "parca_decode";

#[test]
fn seeds_do_not_panic() {
    let accepted = seeds::accepted(TARGET, check::check);
    assert!(accepted >= 3, "only {accepted} seeds are records");
}

#[test]
fn generated_seeds_are_as_committed() {
    let stack = [native("app", 7), named("python", "f", 3)];
    let samples = [sample("a", &stack, 3, 7), sample("b", &stack[1..], 4, 8)];
    let stacks = [(samples[0].stack_id, Arc::from(stack))];
    for (name, bytes) in [
        ("v2.arrow", write::v2(&samples)),
        ("v1-samples.arrow", write::v1_samples(&samples)),
        ("v1-stacks.arrow", write::v1_stacks(&stacks)),
    ] {
        let committed = seeds::committed(TARGET, name, &bytes);
        assert!(committed == bytes, "{name} {STALE}");
    }
}
