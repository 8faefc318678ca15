//! The one address that the symbolizer of the tests knows.

use crate::model::LOCATIONS;

/// Build id and address, of one of [`LOCATIONS`].
pub(crate) const NAMED: (&str, u64) = ("lib", 0x40);
/// Name and line of its calls, innermost first.
pub(crate) const FRAMES: [(&str, i64); 2] = [("read", 9), ("syscall", 4)];

#[test]
fn the_named_address_is_one_of_the_models() {
    let is_named =
        |(file, address, calls): &(&str, u64, &[_])| (*file, *address) == NAMED && calls.is_empty();
    assert!(LOCATIONS.iter().any(is_named));
}
