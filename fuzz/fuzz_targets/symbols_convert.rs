//! No executable makes the conversion panic, and what it writes opens.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/symbols_convert.rs"]
mod check;

fuzz_target!(
    // The fuzzer's hook ends the process on every panic, but those of the DWARF library are caught
    // and become errors. One that nobody catches still ends the process.
    init: std::panic::set_hook(Box::new(|_| {})),
    |raw: &[u8]| {
        check::check(raw);
    }
);
