//! What must hold of any bytes that are sent as texts or trees: the first says which format.

use cairn_formats::{Format, Unit, decode, guess};

#[path = "sound.rs"]
mod sound;

const FORMATS: [Format; 9] = [
    Format::Folded,
    Format::Lines,
    Format::Tree,
    Format::Trie,
    Format::Speedscope,
    Format::CpuProfile,
    Format::HeapProfile,
    Format::PerfScript,
    Format::Heaptrack,
];

/// Whether the bytes are of their format.
pub(crate) fn check(raw: &[u8]) -> bool {
    let Some((format, raw)) = raw.split_first() else {
        return false;
    };
    guess(raw, "file");
    let format = FORMATS[usize::from(*format) % FORMATS.len()];
    let decoded = decode(format, raw, &Unit::default(), &sound::LIMITS());
    let Ok(decoded) = decoded else {
        return false;
    };
    for described in &decoded.profiles {
        sound::check(&described.profile);
    }
    true
}
