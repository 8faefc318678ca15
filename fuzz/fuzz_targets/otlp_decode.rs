//! No bytes make the decoder panic, and what it gives refers to nothing that is missing.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/otlp_decode.rs"]
mod check;

fuzz_target!(|raw: &[u8]| {
    check::check(raw);
});
