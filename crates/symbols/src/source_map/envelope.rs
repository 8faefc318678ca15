//! What a source map comes in: alone, or in one file with the code that was generated.

/// What servers put in front of JSON so that nobody runs it as a script; the line that begins so
/// is no part of the map.
const GUARD: &[u8] = b")]}";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Bytes of the lengths of both parts.
const HEAD_BYTES: usize = 16;

/// Whether the bytes may be a source map; what they hold is not looked at.
pub fn is_source_map(bytes: &[u8]) -> bool {
    opened(bytes).json.starts_with(b"{")
}

pub(super) struct Opened<'a> {
    pub(super) json: &'a [u8],
    /// The code that was generated, if it came along.
    pub(super) code: Option<&'a [u8]>,
}

pub(super) fn opened(bytes: &[u8]) -> Opened<'_> {
    let (code, json) = match in_bundle(bytes) {
        Some((code, json)) => (Some(code), json),
        None => (None, bytes),
    };
    let json = json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(json);
    let json = json.trim_ascii_start();
    let guard = json.starts_with(GUARD);
    let end = json.iter().position(|&byte| guard && byte == b'\n');
    let json = match (guard, end) {
        (false, _) => json,
        (true, Some(end)) => json[end..].trim_ascii_start(),
        (true, None) => &[],
    };
    Opened { json, code }
}

/// Code and map of a bundle: the lengths of both, eight bytes each, lowest first, then both.
fn in_bundle(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let word = |at: usize| {
        let bytes = head[at..at + 8].try_into().expect("eight bytes");
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    let (code, map) = (word(0)?, word(8)?);
    // Text is no bundle by chance: read as a length it is longer than any file.
    (code.checked_add(map)? == rest.len()).then(|| rest.split_at(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(code: &[u8], map: &[u8]) -> Vec<u8> {
        let lengths = [code.len() as u64, map.len() as u64].map(u64::to_le_bytes);
        [&lengths.concat(), code, map].concat()
    }

    #[test]
    fn maps_are_found_in_what_they_come_in() {
        let map = br#"{"version":3}"#;
        let guarded = [b")]}'\n".as_slice(), map].concat();
        for (bytes, want) in [
            (map.to_vec(), &map[..]),
            (guarded.clone(), map),
            ([BYTE_ORDER_MARK, b" \n", map].concat(), map),
            (bundle(b"code()", map), map),
            (bundle(b"", map), map),
            // Its length begins as a map does.
            (bundle(&[b'x'; 0x7b], &guarded), map),
        ] {
            assert_eq!(opened(&bytes).json, want);
            assert!(is_source_map(&bytes));
        }
    }

    #[test]
    fn what_holds_no_map_is_none() {
        let whole = bundle(b"code()", b"{}");
        for bytes in [
            &b""[..],
            b"[]",
            b")]}' {}",
            b"\x7fELF",
            &whole[..whole.len() - 1],
            &bundle(b"code()", b"code()"),
            &[0xff; 40],
        ] {
            assert!(!is_source_map(bytes), "{bytes:?}");
        }
    }
}
