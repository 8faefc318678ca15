//! No messages make the decoder of answers panic, and what it accepts keeps its values when merged.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/engine_codec.rs"]
mod check;

fuzz_target!(
    // The fuzzer's hook ends the process on every panic, but those of the Arrow library are caught
    // and become errors. One that nobody catches still ends the process.
    init: std::panic::set_hook(Box::new(|_| {})),
    |raw: &[u8]| {
        check::check(raw);
    }
);
