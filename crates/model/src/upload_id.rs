//! The name of an upload.

use std::fmt;
use std::str::FromStr;

/// Names one upload, and the bytes that came with it: a number that nobody guesses. Written as 32
/// hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(pub u128);

/// A text that names no upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the id of an upload")]
pub struct InvalidUploadId;

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for UploadId {
    type Err = InvalidUploadId;

    fn from_str(text: &str) -> Result<Self, InvalidUploadId> {
        let id = Self(u128::from_str_radix(text, 16).map_err(|_| InvalidUploadId)?);
        // There is one spelling only.
        match id.to_string() == text {
            true => Ok(id),
            false => Err(InvalidUploadId),
        }
    }
}

serde_as_text!(UploadId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        let id = UploadId(0xabc);
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "abc",
            "../00000000000000000000000000000",
            "+0000000000000000000000000000abc",
            "00000000000000000000000000000ABC",
            "000000000000000000000000000000abc",
        ] {
            assert_eq!(bad.parse::<UploadId>(), Err(InvalidUploadId), "{bad}");
        }
    }
}
