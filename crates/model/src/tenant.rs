//! Who a stored byte belongs to.

use std::fmt;

/// An isolated customer. First argument of every operation on stored data.
///
/// The name becomes part of object keys, so only letters, digits and `-_.` are allowed, it does
/// not start with a dot, and it is at most 150 bytes long.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(std::sync::Arc<str>);

/// Why a tenant name was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "invalid tenant id {0:?}: use 1 to 150 letters, digits, '-', '_' or '.', not starting with a dot"
)]
pub struct InvalidTenant(String);

const LEN_MAX: usize = 150;

impl TenantId {
    /// The tenant of everyone while no tokens are configured.
    pub fn anonymous() -> Self {
        Self("anonymous".into())
    }

    pub fn parse(name: &str) -> Result<Self, InvalidTenant> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let valid = (1..=LEN_MAX).contains(&name.len())
            && !name.starts_with('.')
            && name.bytes().all(allowed);
        if valid {
            Ok(Self(name.into()))
        } else {
            Err(InvalidTenant(name.chars().take(LEN_MAX).collect()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl serde::Serialize for TenantId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for TenantId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        Self::parse(&name).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            "a b",
            "é",
            "a\0",
            &"x".repeat(151),
        ] {
            assert!(TenantId::parse(bad).is_err(), "{bad:?} was accepted");
        }
        for good in ["anonymous", "team-a", "a.b_c-9", &"x".repeat(150)] {
            assert_eq!(TenantId::parse(good).expect("valid").as_str(), good);
        }
    }
}
