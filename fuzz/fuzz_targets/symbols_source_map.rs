//! No source map makes the conversion panic, and what it writes opens.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/symbols_source_map.rs"]
mod check;

fuzz_target!(|raw: &[u8]| {
    check::check(raw);
});
