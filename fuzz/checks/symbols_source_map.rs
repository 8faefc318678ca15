//! What must hold of any bytes that are uploaded as a source map.

use cairn_symbols::{
    Error, Limits, SymbolFile, convert_source_map, debug_id, is_source_map, source_map_texts,
};

const LIMITS: Limits = Limits {
    file_bytes_max: 1 << 20,
    section_bytes_max: 1 << 20,
    locations_max: 1 << 16,
    string_bytes_max: 1 << 20,
};

/// Whether the bytes are a source map that can be converted.
pub(crate) fn check(raw: &[u8]) -> bool {
    let id = debug_id(raw);
    let mut bytes = 0;
    let texts = source_map_texts(raw, &LIMITS, |_, text| {
        bytes += text.len();
        Ok::<_, Error>(())
    });
    // A byte that is no Unicode is told as three.
    assert!(bytes <= 3 * raw.len(), "there is more text than map");
    let Ok(symbols) = convert_source_map(raw, &LIMITS) else {
        return false;
    };
    assert!(is_source_map(raw), "what can be converted looks like a map");
    let file = SymbolFile::open(symbols).expect("what conversion writes opens");
    assert!(file.verify().is_ok(), "what conversion writes is whole");
    for line in (0..64).chain([u32::MAX]) {
        for column in (0..512).step_by(3).chain([u32::MAX]) {
            let frames = file.at_position(line, column);
            let frames: Vec<_> = frames.into_iter().flatten().collect();
            assert!(frames.len() <= 1, "nothing is inlined");
            let is_placed = frames.iter().all(|frame| frame.line > 0);
            assert!(is_placed, "what has a source has a line in it");
        }
    }
    id.is_ok() && texts.is_ok()
}
