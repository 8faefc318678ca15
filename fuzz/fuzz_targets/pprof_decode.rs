//! No bytes make the pprof decoder panic, and what it accepts survives a round trip.
#![no_main]

use cairn_model::Limits;
use cairn_pprof::{Options, canonical, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    // Small enough that a bomb shows as a refusal and not as a slow input.
    let limits = Limits {
        profile_bytes_max: 1 << 20,
        depth_max: 256,
        ..Limits::default()
    };
    let Ok(once) = decode(raw, &limits, &Options::default()) else {
        return;
    };
    // The marker of a cut stack is a frame more, so the second time everything is let through.
    let open = Limits {
        profile_bytes_max: usize::MAX,
        depth_max: usize::MAX,
        string_bytes_max: usize::MAX,
        label_name_bytes_max: usize::MAX,
        label_value_bytes_max: usize::MAX,
        ..limits
    };
    let twice = decode(&encode(&once.profile), &open, &Options::default());
    let twice = twice.expect("we encode valid profiles");
    assert_eq!(canonical(&once.profile), canonical(&twice.profile));
});
