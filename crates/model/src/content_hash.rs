//! What the bytes of a file are.

use std::fmt;
use std::str::FromStr;

/// The SHA-256 of a file, written as 64 small hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash(pub [u8; 32]);

/// A text that is no such hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the hash of a file")]
pub struct InvalidContentHash;

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ContentHash {
    type Err = InvalidContentHash;

    fn from_str(text: &str) -> Result<Self, InvalidContentHash> {
        let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let mut hash = [0; 32];
        if text.len() != 2 * hash.len() || !text.bytes().all(is_hex) {
            return Err(InvalidContentHash);
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            let digits = &text[2 * at..2 * at + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| InvalidContentHash)?;
        }
        Ok(Self(hash))
    }
}

serde_as_text!(ContentHash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_have_one_spelling() {
        let mut hash = ContentHash([0; 32]);
        hash.0[0] = 0xab;
        let text = hash.to_string();
        assert!(text.starts_with("ab00") && text.len() == 64, "{text}");
        assert_eq!(text.parse(), Ok(hash));
        for bad in [
            "",
            "ab",
            &text.to_uppercase(),
            &text[1..],
            &format!("+{}", &text[1..]),
            &"\u{e9}".repeat(32),
        ] {
            assert_eq!(bad.parse::<ContentHash>(), Err(InvalidContentHash), "{bad}");
        }
    }
}
