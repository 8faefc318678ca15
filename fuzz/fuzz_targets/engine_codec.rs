//! No messages make the decoder of answers panic, and what it accepts keeps its values when merged.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/engine_codec.rs"]
mod check;

fuzz_target!(|raw: &[u8]| {
    check::check(raw);
});
