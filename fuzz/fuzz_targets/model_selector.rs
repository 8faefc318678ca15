//! No text makes the selector parser panic, and what it accepts prints as what parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/model_selector.rs"]
mod check;

fuzz_target!(|raw: &[u8]| {
    check::check(raw);
});
