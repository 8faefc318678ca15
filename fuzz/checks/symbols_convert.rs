//! What must hold of any bytes that are uploaded as an executable.

use cairn_model::Addressing;
use cairn_symbols::{Identity, Limits, SymbolFile, convert};

const LIMITS: Limits = Limits {
    file_bytes_max: 1 << 20,
    section_bytes_max: 1 << 20,
    locations_max: 1 << 16,
    string_bytes_max: 1 << 20,
};

/// Calls at one address: the deepest inlining that is kept, and the function itself.
const FRAMES_MAX: usize = 513;

/// Whether the bytes are an executable that can be converted.
pub(crate) fn check(raw: &[u8]) -> bool {
    let identity = Identity::read(raw);
    let Ok(bytes) = convert(raw, &LIMITS) else {
        return false;
    };
    assert!(identity.is_ok(), "what can be converted has an identity");
    let file = SymbolFile::open(&bytes).expect("what conversion writes opens");
    let low = (0..0x4000).step_by(7);
    let addresses: Vec<u64> = low.chain([u64::MAX]).collect();
    for addressing in [Addressing::FileOffset, Addressing::Virtual] {
        file.lookup_all(addressing, &addresses, |_, frames| {
            assert!(frames.into_iter().flatten().count() <= FRAMES_MAX);
        });
    }
    true
}
