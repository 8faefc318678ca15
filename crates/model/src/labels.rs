//! Names and values that a profile carries.

use std::fmt;
use std::sync::Arc;

/// The labels of one profile, sorted by name, each name once, no empty value.
///
/// An absent label and an empty one mean the same to every query, so empty ones are not kept.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

/// Why a set of labels was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidLabels {
    #[error("duplicate label name {0:?}")]
    Duplicate(String),
    #[error("empty label name")]
    EmptyName,
    #[error("invalid label name {0:?}: contains a control character")]
    ControlCharacter(String),
}

impl Labels {
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, InvalidLabels>
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let pairs = pairs.into_iter();
        let shared = |(name, value): (N, V)| (name.as_ref().into(), value.as_ref().into());
        Self::from_shared(pairs.map(shared).collect())
    }

    /// As [`Labels::from_pairs`], for names and values that many sets share.
    pub fn from_shared(mut pairs: Vec<(Arc<str>, Arc<str>)>) -> Result<Self, InvalidLabels> {
        for (name, _) in &pairs {
            if name.is_empty() {
                return Err(InvalidLabels::EmptyName);
            }
            if name.chars().any(char::is_control) {
                return Err(InvalidLabels::ControlCharacter(
                    name.escape_debug().to_string(),
                ));
            }
        }
        pairs.sort();
        if let Some(pair) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(InvalidLabels::Duplicate(pair[0].0.to_string()));
        }
        pairs.retain(|(_, value)| !value.is_empty());
        Ok(Self(pairs.into()))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(n, _)| (**n).cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, (name, value)) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_found() {
        let labels =
            Labels::from_pairs([("pod", "cart-7"), ("node", "n1"), ("zone", "")]).expect("valid");
        assert_eq!(labels.to_string(), r#"{node="n1", pod="cart-7"}"#);
        assert_eq!(labels.get("pod"), Some("cart-7"));
        assert_eq!(labels.get("zone"), None);
    }

    #[test]
    fn bad_names_are_refused() {
        assert_eq!(
            Labels::from_pairs([("a", "1"), ("a", "2")]),
            Err(InvalidLabels::Duplicate("a".into()))
        );
        assert_eq!(
            Labels::from_pairs([("", "1")]),
            Err(InvalidLabels::EmptyName)
        );
        assert!(Labels::from_pairs([("a\n", "1")]).is_err());
        assert!(Labels::from_pairs([("otel.scope.name", "x/y (z)")]).is_ok());
    }
}
