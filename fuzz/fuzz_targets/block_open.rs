//! No bytes make a block panic, and what it accepts can be read and merged.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/block_open.rs"]
mod check;

fuzz_target!(
    // The fuzzer's hook ends the process on every panic, but those of the Parquet library are
    // caught and become errors. One that nobody catches still ends the process.
    init: std::panic::set_hook(Box::new(|_| {})),
    |raw: &[u8]| {
        check::check(raw);
    }
);
