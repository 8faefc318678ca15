//! Where other processes are: a list, or one line of text with commas, which is easier to say in
//! the environment.

use serde::{Deserialize, Deserializer, Serialize};

/// Addresses of processes that can stand in for each other, in order of preference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Addresses(Vec<String>);

impl Addresses {
    pub fn new(addresses: impl IntoIterator<Item = String>) -> Self {
        let trimmed = addresses
            .into_iter()
            .map(|address| address.trim().to_owned());
        Self(trimmed.filter(|address| !address.is_empty()).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These, or `other` where there are none.
    pub fn or(&self, other: String) -> Vec<String> {
        match self.0.as_slice() {
            [] => vec![other],
            some => some.to_vec(),
        }
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelled {
            List(Vec<String>),
            Text(String),
        }
        Ok(match Spelled::deserialize(deserializer)? {
            Spelled::List(addresses) => Self::new(addresses),
            Spelled::Text(text) => Self::new(text.split(',').map(str::to_owned)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_lines_of_text_mean_the_same() {
        let read = |json: serde_json::Value| serde_json::from_value::<Addresses>(json);
        let list = read(serde_json::json!(["http://a", "http://b"])).expect("a list");
        assert_eq!(read("http://a, http://b".into()).expect("a line"), list);
        assert_eq!(list.or(String::new()), ["http://a", "http://b"]);
        let none = read("".into()).expect("nothing");
        assert_eq!(none.or("http://c".to_owned()), ["http://c"]);
        assert!(read(7.into()).is_err());
    }
}
