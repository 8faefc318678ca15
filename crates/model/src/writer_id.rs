//! Who writes blocks. Where a writer keeps its log is its own business.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a writer, the same after every restart: it names one log.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct WriterId(String);

/// Why a writer's name was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid writer name {0:?}: use 1 to 150 letters, digits, '-', '_' or '.', not only dots")]
pub struct InvalidWriter(String);

const LEN_MAX: usize = 150;

impl WriterId {
    pub fn parse(name: &str) -> Result<Self, InvalidWriter> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let has_more_than_dots = name.bytes().any(|b| b != b'.');
        if name.len() <= LEN_MAX && name.bytes().all(allowed) && has_more_than_dots {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidWriter(name.chars().take(LEN_MAX).collect()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<'de> Deserialize<'de> for WriterId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        Self::parse(&name).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_refused() {
        for bad in ["", ".", "..", "a/b", "a b", "é", &"x".repeat(151)] {
            assert!(WriterId::parse(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(
            WriterId::parse("ingester-0").expect("valid").as_str(),
            "ingester-0"
        );
    }
}
