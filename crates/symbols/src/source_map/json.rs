//! The JSON of a source map, as far as it is of use, borrowed from the bytes where it can be.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

use crate::Error;

/// Of versions 1 and 2 nothing is left.
const VERSION: u32 = 3;

/// No id is nearly as long.
const ID_BYTES_MAX: usize = 256;

/// A map, or an index of maps. `C` is what is read of the contents of sources.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(bound(deserialize = "C: Deserialize<'de>"))]
pub(super) struct Map<'a, C> {
    version: Option<u32>,
    #[serde(borrow)]
    pub(super) mappings: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) source_root: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) sources: Option<Vec<Option<Text<'a>>>>,
    pub(super) sources_content: Option<C>,
    #[serde(borrow)]
    pub(super) names: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    sections: Option<Vec<Section<'a, C>>>,
}

/// A map of the text from a place on.
#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "C: Deserialize<'de>"))]
struct Section<'a, C> {
    offset: Offset,
    #[serde(borrow)]
    map: Option<Map<'a, C>>,
}

/// From 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
pub(super) struct Offset {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// What a map says that it is of.
#[derive(serde::Deserialize)]
struct Identified<'a> {
    #[serde(borrow, rename = "debugId")]
    debug_id: Option<Text<'a>>,
    #[serde(borrow, rename = "debug_id")]
    older: Option<Text<'a>>,
}

/// Text that need not be Unicode: JavaScript has halves of characters in strings, and sources have
/// other encodings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text<'a>(Cow<'a, [u8]>);

impl Text<'_> {
    pub(super) fn get(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(bytes)))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(bytes.to_vec())))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// The maps, each with where in the generated text it begins, in order.
pub(super) fn read<'a, C: Deserialize<'a>>(
    json: &'a [u8],
) -> Result<Vec<(Offset, Map<'a, C>)>, Error> {
    let map: Map<'a, C> = serde_json::from_slice(json).map_err(unreadable)?;
    is_known(&map)?;
    let Some(sections) = map.sections else {
        return Ok(vec![(Offset::default(), map)]);
    };
    let mut maps = Vec::with_capacity(sections.len());
    for Section { offset, map } in sections {
        let map = map.ok_or(Error::SourceMap("a section of it is in another file"))?;
        is_known(&map)?;
        if map.sections.is_some() {
            return Err(Error::SourceMap("a section of it has sections"));
        }
        if maps.last().is_some_and(|(before, _)| *before > offset) {
            return Err(Error::SourceMap("its sections are not in order"));
        }
        maps.push((offset, map));
    }
    Ok(maps)
}

fn is_known<C>(map: &Map<'_, C>) -> Result<(), Error> {
    match map.version {
        Some(VERSION) => Ok(()),
        _ => Err(Error::SourceMap("its version is not 3")),
    }
}

/// What the map says that it is of, in any spelling.
pub(super) fn debug_id(json: &[u8]) -> Result<Option<String>, Error> {
    let Identified { debug_id, older } = serde_json::from_slice(json).map_err(unreadable)?;
    let id = debug_id.or(older);
    if id
        .as_ref()
        .is_some_and(|id| id.bytes().len() > ID_BYTES_MAX)
    {
        return Err(Error::SourceMap("its debug id is too long for one"));
    }
    Ok(id.map(|id| id.get().into_owned()))
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::NotSourceMap(error.to_string())
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    fn fault(json: &str) -> String {
        match read::<IgnoredAny>(json.as_bytes()) {
            Ok(maps) => panic!("{} maps of {json}", maps.len()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn text_need_not_be_unicode() {
        let json = b"{\"version\":3,\"names\":[\"a\\ud83db\",\"caf\xe9\",\"\\u00e9\"]}";
        let maps = read::<IgnoredAny>(json).expect("a map");
        let names = maps[0].1.names.as_ref().expect("three");
        let names: Vec<_> = names.iter().map(Text::get).collect();
        assert_eq!(
            names,
            ["a\u{fffd}\u{fffd}\u{fffd}b", "caf\u{fffd}", "\u{e9}"]
        );
    }

    #[test]
    fn what_is_no_map_is_refused_with_the_reason() {
        for (json, why) in [
            ("", "EOF while parsing"),
            ("[1]", "invalid length"),
            ("{}", "version is not 3"),
            (r#"{"version":2,"mappings":""}"#, "version is not 3"),
            (r#"{"version":3,"mappings":7}"#, "expected text"),
            (
                r#"{"version":3,"sections":[{"offset":{"line":-1}}]}"#,
                "expected u32",
            ),
            (
                r#"{"version":3,"sections":[{"offset":{"line":0,"column":0},"url":"x"}]}"#,
                "in another file",
            ),
            (
                r#"{"version":3,"sections":[{"offset":{"line":0,"column":0},"map":{"version":3,"sections":[]}}]}"#,
                "has sections",
            ),
            (
                r#"{"version":3,"sections":[{"offset":{"line":1,"column":0},"map":{"version":3}},
                {"offset":{"line":0,"column":9},"map":{"version":3}}]}"#,
                "not in order",
            ),
        ] {
            let fault = fault(json);
            assert!(fault.contains(why), "{json}: {fault}");
        }
        // As deep as it likes to be.
        let deep =
            r#"{"version":3,"sections":[{"offset":{"line":0,"column":0},"map":"#.repeat(10_000);
        assert!(fault(&deep).contains("recursion limit"));
    }

    #[test]
    fn either_spelling_of_the_debug_id_is_read() {
        for (json, want) in [
            (r#"{"debugId":"A"}"#, Some("A")),
            (r#"{"debug_id":"b","sources":[[[]]]}"#, Some("b")),
            (r#"{"debugId":null,"debug_id":"b"}"#, Some("b")),
            (r#"{"version":3}"#, None),
        ] {
            assert_eq!(debug_id(json.as_bytes()).expect("JSON").as_deref(), want);
        }
        debug_id(b"{\"debugId\":").expect_err("cut");
    }
}
