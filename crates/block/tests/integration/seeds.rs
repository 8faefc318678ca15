//! The fuzz target's inputs, run as an ordinary test.

use cairn_block::write;
use cairn_testkit::seeds::{self, STALE};

use crate::model::{Model, head, options, sample_sent};

#[path = "../../../../fuzz/checks/block_open.rs"]
mod check;

const TARGET: &str = "block_open";

#[test]
fn seeds_are_refused_or_add_up() {
    let accepted = seeds::accepted(TARGET, |raw| {
        let totals = check::check(raw);
        for total in totals.iter().flatten() {
            assert_eq!(total.said, total.found);
        }
        totals.is_some()
    });
    assert!(accepted >= 2, "only {accepted} seeds are valid blocks");
}

#[test]
fn generated_seeds_are_as_committed() {
    let sent = sample_sent();
    for (name, sent, level) in [("fresh", &sent[..5], 0), ("merged", &sent[2..9], 1)] {
        let built = write(&head(sent), options(level)).expect("written");
        // Compressors may change; what they mean may not.
        let committed = Model::of_bytes(seeds::committed(TARGET, name, &built.bytes).into());
        let is_same = committed.is_ok_and(|model| model == Model::of_sent(sent));
        assert!(is_same, "{name} {STALE}");
    }
}
