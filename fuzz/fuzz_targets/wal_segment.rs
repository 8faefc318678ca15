//! No bytes make a reader of logs panic, and what it accepts is written as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/wal_segment.rs"]
mod check;

fuzz_target!(|raw: &[u8]| {
    check::check(raw);
});
