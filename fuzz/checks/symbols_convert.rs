//! What must hold of any bytes that are uploaded as an executable.

use cairn_model::Addressing;
use cairn_symbols::{Companions, Identity, Limits, SymbolFile, Wanted, convert};

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
    let wanted = Wanted::read(raw, LIMITS.section_bytes_max);
    // A file that refers to itself is as hostile as any other.
    let itself = Companions {
        alt: Some(raw),
        package: Some(raw),
    };
    let _ = convert(raw, &itself, &LIMITS);
    let Ok(bytes) = convert(raw, &Companions::default(), &LIMITS) else {
        return false;
    };
    assert!(identity.is_ok(), "what can be converted has an identity");
    assert!(wanted.is_ok(), "what can be converted says what it wants");
    let file = SymbolFile::open(bytes).expect("what conversion writes opens");
    assert!(file.verify().is_ok(), "what conversion writes is whole");
    let low = (0..0x4000).step_by(7);
    let addresses: Vec<u64> = low.chain([u64::MAX]).collect();
    for addressing in [Addressing::FileOffset, Addressing::Virtual] {
        file.lookup_all(addressing, &addresses, |_, frames| {
            assert!(frames.into_iter().flatten().count() <= FRAMES_MAX);
        });
    }
    true
}
