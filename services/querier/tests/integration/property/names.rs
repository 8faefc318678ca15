//! The one address that the symbolizer of the tests knows.

use crate::model::{LOCATIONS, Row};

/// Build id and address, of one of [`LOCATIONS`].
pub(crate) const NAMED: (&str, u64) = ("lib", 0x40);
/// Name and line of its calls, innermost first.
pub(crate) const FRAMES: [(&str, i64); 2] = [("read", 9), ("syscall", 4)];

/// The calls of a row's stack as reports name them, outermost first.
pub(crate) fn calls(row: &Row) -> Vec<String> {
    let unnamed = format!("{}+{:#x}", NAMED.0, NAMED.1);
    let named = |call: String| match call == unnamed {
        true => FRAMES
            .iter()
            .rev()
            .map(|(name, _)| (*name).to_owned())
            .collect(),
        false => vec![call],
    };
    row.calls().into_iter().flat_map(named).collect()
}

/// What the model says of a location, with the names that the symbolizer gives.
pub(crate) fn location(text: String) -> String {
    let unnamed = format!("{} {:x} ", NAMED.0, NAMED.1);
    if text != unnamed {
        return text;
    }
    let calls = FRAMES
        .iter()
        .map(|(name, line)| format!("{name}/_{name}:{line}"));
    format!("{unnamed}{}", calls.collect::<Vec<_>>().join(","))
}

#[test]
fn the_named_address_is_one_of_the_models() {
    let is_named =
        |(file, address, calls): &(&str, u64, &[_])| (*file, *address) == NAMED && calls.is_empty();
    assert!(LOCATIONS.iter().any(is_named));
}
