//! The fuzz target's inputs, run as an ordinary test.

use cairn_pprof::{canonical, encode};
use cairn_testkit::generator::{Generator, Spec};
use cairn_testkit::seeds::{self, STALE};

use crate::decode;

const TARGET: &str = "pprof_decode";

#[test]
fn seeds_do_not_panic_and_survive_a_round_trip() {
    let accepted = seeds::accepted(TARGET, |raw| {
        let Ok(once) = decode(raw) else { return false };
        let twice = decode(&encode(&once.profile)).expect("we encode valid profiles");
        assert!(canonical(&once.profile) == canonical(&twice.profile));
        true
    });
    assert!(accepted >= 3, "only {accepted} seeds are valid profiles");
}

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
        let committed = seeds::committed(TARGET, name, &bytes);
        let is_same = match name {
            // Compressors may change; what they mean may not.
            "named.pb.gz" => decode(&committed) == decode(&bytes),
            _ => committed == bytes,
        };
        assert!(is_same, "{name} {STALE}");
    }
}
