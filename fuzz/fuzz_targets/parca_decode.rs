//! No bytes make the decoder panic, and what it gives refers to nothing that is missing.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/parca_decode.rs"]
mod check;

fuzz_target!(
    // The fuzzer's hook ends the process on every panic, but those of the Arrow library are caught
    // and become errors. One that nobody catches still ends the process.
    init: std::panic::set_hook(Box::new(|_| {})),
    |raw: &[u8]| {
        check::check(raw);
    }
);
