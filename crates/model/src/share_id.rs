//! The name of a shared profile.

use std::fmt;
use std::str::FromStr;

/// When a shared profile expires, and a number that nobody guesses. Written
/// `6a2f1c00-0123456789abcdef0123456789abcdef`: the time in hexadecimal seconds, then the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareId {
    /// Seconds since the epoch.
    pub expires_unix_s: u32,
    pub nonce: u128,
}

/// A text that names no shared profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the id of a shared profile")]
pub struct InvalidShareId;

impl fmt::Display for ShareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            expires_unix_s,
            nonce,
        } = self;
        write!(f, "{expires_unix_s:08x}-{nonce:032x}")
    }
}

impl FromStr for ShareId {
    type Err = InvalidShareId;

    fn from_str(text: &str) -> Result<Self, InvalidShareId> {
        let (expires, nonce) = text.split_once('-').ok_or(InvalidShareId)?;
        let id = Self {
            expires_unix_s: u32::from_str_radix(expires, 16).map_err(|_| InvalidShareId)?,
            nonce: u128::from_str_radix(nonce, 16).map_err(|_| InvalidShareId)?,
        };
        // There is one spelling only.
        match id.to_string() == text {
            true => Ok(id),
            false => Err(InvalidShareId),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        let id = ShareId {
            expires_unix_s: 0x6a2f_1c00,
            nonce: 0xabc,
        };
        let text = "6a2f1c00-00000000000000000000000000000abc";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
        for bad in [
            "",
            "-",
            "6a2f1c00",
            "6A2F1C00-00000000000000000000000000000abc",
            "+a2f1c00-00000000000000000000000000000abc",
            "6a2f1c00-abc",
            "16a2f1c00-00000000000000000000000000000abc",
            "6a2f1c00-0000000000000000000000000000../x",
        ] {
            assert_eq!(bad.parse::<ShareId>(), Err(InvalidShareId), "{bad}");
        }
    }
}
