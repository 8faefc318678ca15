//! No symbol file makes a look-up panic or run away.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/symbols_open.rs"]
mod check;

fuzz_target!(|raw: &[u8]| {
    check::check(raw);
});
