//! Names of binaries.

use std::fmt;

/// What identifies one build of a binary, in one spelling.
///
/// Agents spell GNU build ids as lower or upper hex, some with a `gnu-` prefix; Go build ids are
/// base64 with slashes; source maps have UUIDs, with dashes or without. Hex is lowered, the prefix
/// and the dashes are dropped, everything else is kept.
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
    /// An archive of source files.
    Sources,
    /// What leads from minified JavaScript to its source.
    SourceMap,
    /// The units of debug information that were split off a program: `.dwp`.
    Package,
}

impl FileKind {
    pub const ALL: [Self; 5] = [
        Self::Executable,
        Self::Debuginfo,
        Self::Sources,
        Self::SourceMap,
        Self::Package,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Executable => "executable",
            Self::Debuginfo => "debuginfo",
            Self::Sources => "sources",
            Self::SourceMap => "sourcemap",
            Self::Package => "package",
        }
    }

    /// Undoes [`FileKind::as_str`].
    pub fn of_str(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether it is an ELF file of code, which says itself what it is of.
    pub fn is_elf(self) -> bool {
        matches!(self, Self::Executable | Self::Debuginfo)
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
        if is_uuid(bare) {
            return Ok(Self(bare.replace('-', "").to_ascii_lowercase()));
        }
        Ok(Self(bare.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it can tell builds apart. Build systems that make the same bytes of the same source put
    /// one word, or nothing but zeros, into all of their binaries.
    pub fn is_distinct(&self) -> bool {
        self.0 != "redacted" && self.0.bytes().any(|byte| byte != b'0')
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

/// Eight, four, four, four and twelve hex digits with dashes between.
fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for BuildId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for BuildId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
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
        let uuid = BuildId::parse("85314830-023F-4cf1-a267-535f4e37bb17").expect("valid");
        assert_eq!(uuid.as_str(), "85314830023f4cf1a267535f4e37bb17");
        let odd = BuildId::parse("8531483-0023f-4cf1-a267-535f4e37bb17").expect("valid");
        assert_eq!(odd.as_str(), "8531483-0023f-4cf1-a267-535f4e37bb17");
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
    fn what_many_builds_have_tells_none_apart() {
        let zeros = "0".repeat(40);
        for (text, is_distinct) in [
            ("redacted", false),
            (&zeros, false),
            ("gnu-0000", false),
            ("aa", true),
            ("00000001", true),
            ("redacted/x", true),
        ] {
            let build_id = BuildId::parse(text).expect("valid");
            assert_eq!(build_id.is_distinct(), is_distinct, "{text}");
        }
    }

    #[test]
    fn empty_and_unprintable_are_refused() {
        for bad in ["", "gnu-", "a b", "a\n", "é", &"f".repeat(257)] {
            assert!(BuildId::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
