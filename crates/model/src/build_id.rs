//! Names of binaries.

use std::fmt;

/// What identifies one build of a binary, in one spelling.
///
/// Agents spell GNU build ids as lower or upper hex, some with a `gnu-` prefix; Go build ids are
/// base64 with slashes. Hex is lowered, the prefix dropped, everything else is kept.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BuildId(String);

/// Why a build id was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid build id {0:?}: use 1 to 256 printable ASCII characters without spaces")]
pub struct InvalidBuildId(String);

const LEN_MAX: usize = 256;

/// What an uploaded file of a binary is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// The file as it runs.
    Executable,
    /// A file that carries the debug information of another.
    Debuginfo,
}

impl FileKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Executable => "executable",
            Self::Debuginfo => "debuginfo",
        }
    }
}

impl BuildId {
    pub fn parse(text: &str) -> Result<Self, InvalidBuildId> {
        let bare = text.strip_prefix("gnu-").unwrap_or(text);
        if bare.is_empty() || bare.len() > LEN_MAX || !bare.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidBuildId(text.chars().take(LEN_MAX).collect()));
        }
        if bare.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(Self(bare.to_ascii_lowercase()));
        }
        Ok(Self(bare.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A spelling that is safe as one segment of an object key: every byte that is not a letter or
    /// digit becomes `_` and two hex digits.
    pub fn key_segment(&self) -> String {
        use fmt::Write;
        let mut out = String::with_capacity(self.0.len());
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() {
                out.push(byte as char);
            } else {
                write!(out, "_{byte:02x}").expect("writing to a string succeeds");
            }
        }
        out
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_build_agree() {
        let plain = BuildId::parse("2d6912fd3d").expect("valid");
        assert_eq!(BuildId::parse("gnu-2D6912FD3D").expect("valid"), plain);
        assert_eq!(
            BuildId::parse("Xy_1/abC-").expect("valid").as_str(),
            "Xy_1/abC-"
        );
    }

    #[test]
    fn key_segments_hold_no_path() {
        for text in ["../../etc", "a/b", "a_b", "..", "gnu-.."] {
            let segment = BuildId::parse(text).expect("valid").key_segment();
            assert!(
                segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_'),
                "{segment}"
            );
        }
        assert_ne!(
            BuildId::parse("a_2f").expect("valid").key_segment(),
            BuildId::parse("a/").expect("valid").key_segment()
        );
    }

    #[test]
    fn empty_and_unprintable_are_refused() {
        for bad in ["", "gnu-", "a b", "a\n", "é", &"f".repeat(257)] {
            assert!(BuildId::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
