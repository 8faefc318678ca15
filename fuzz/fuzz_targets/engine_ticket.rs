//! No ticket makes its decoder panic, and what it accepts survives a round trip.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/engine_ticket.rs"]
mod check;

fuzz_target!(|raw: &[u8]| {
    check::check(raw);
});
