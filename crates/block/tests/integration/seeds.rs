//! The fuzz target's inputs, run as an ordinary test.

use std::path::Path;

use cairn_block::{Options, write};

use crate::model::{Model, head, sample_sent};

#[path = "../../../../fuzz/checks/block_open.rs"]
mod check;

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/block_open");

#[test]
fn seeds_are_refused_or_add_up() {
    let mut accepted = 0;
    for entry in Path::new(SEEDS).read_dir().expect("seeds are committed") {
        let path = entry.expect("seeds are readable").path();
        println!("{}", path.display());
        let raw = std::fs::read(&path).expect("seeds are readable");
        let Some(totals) = check::check(&raw) else {
            continue;
        };
        for total in totals {
            assert_eq!(total.said, total.found, "{}", path.display());
        }
        accepted += 1;
    }
    assert!(accepted >= 2, "only {accepted} seeds are valid blocks");
}

/// Writes the generated seeds again if `CAIRN_WRITE_SEEDS` is set; otherwise says if they are stale.
#[test]
fn generated_seeds_are_as_committed() {
    let sent = sample_sent();
    for (name, sent, level) in [("fresh", &sent[..5], 0), ("merged", &sent[2..9], 1)] {
        let built = write(&head(sent), Options { level }).expect("written");
        let path = Path::new(SEEDS).join(name);
        if std::env::var_os("CAIRN_WRITE_SEEDS").is_some() {
            std::fs::write(&path, &built.bytes).expect("the seeds' folder is writable");
        }
        // Compressors may change; what they mean may not.
        let committed = Model::of_bytes(std::fs::read(&path).unwrap_or_default().into());
        assert!(
            committed.is_ok_and(|model| model == Model::of_sent(sent)),
            "{name} is stale: run this test with CAIRN_WRITE_SEEDS=1"
        );
    }
}
