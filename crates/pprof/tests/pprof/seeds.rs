//! The fuzz target's inputs, run as an ordinary test.

use std::path::Path;

use cairn_pprof::{canonical, encode};
use cairn_testkit::generator::{Generator, Spec};

use crate::decode;

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/pprof_decode");

#[test]
fn seeds_do_not_panic_and_survive_a_round_trip() {
    let mut accepted = 0;
    for entry in Path::new(SEEDS).read_dir().expect("seeds are committed") {
        let path = entry.expect("seeds are readable").path();
        let raw = std::fs::read(&path).expect("seeds are readable");
        let Ok(once) = decode(&raw) else { continue };
        let twice = decode(&encode(&once.profile)).expect("we encode valid profiles");
        assert!(
            canonical(&once.profile) == canonical(&twice.profile),
            "{}",
            path.display()
        );
        accepted += 1;
    }
    assert!(accepted >= 3, "only {accepted} seeds are valid profiles");
}

/// Writes the generated seeds again if `CAIRN_WRITE_SEEDS` is set; otherwise says if they are stale.
#[test]
fn generated_seeds_are_as_committed() {
    let spec = Spec {
        services: 4,
        samples: 6,
        endpoints: 2,
        traced_percent: 50,
        ..Spec::default()
    };
    let generator = Generator::new(spec);
    let named = generator.profile(0, 0, 0);
    for (name, bytes) in [
        ("named.pb", encode(&named)),
        ("native.pb", encode(&generator.profile(3, 0, 0))),
        ("named.pb.gz", cairn_pprof::encode_gzip(&named)),
    ] {
        let path = Path::new(SEEDS).join(name);
        if std::env::var_os("CAIRN_WRITE_SEEDS").is_some() {
            std::fs::write(&path, &bytes).expect("the seeds' folder is writable");
        }
        let committed = std::fs::read(&path).unwrap_or_default();
        let is_same = match name {
            // Compressors may change; what they mean may not.
            "named.pb.gz" => decode(&committed) == decode(&bytes),
            _ => committed == bytes,
        };
        assert!(
            is_same,
            "{name} is stale: run this test with CAIRN_WRITE_SEEDS=1"
        );
    }
}
