//! How the catalog's values become bytes: a version byte, then JSON. Nothing else knows either.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Grows when older builds could not read what newer ones write.
const VERSION: u8 = 1;

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecodable {
    #[error("there are no bytes")]
    Empty,
    #[error("it has encoding {0}, and this build knows 1")]
    Version(u8),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value).expect("plain data becomes JSON");
    bytes
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Undecodable> {
    match bytes.split_first() {
        None => Err(Undecodable::Empty),
        Some((&VERSION, json)) => Ok(serde_json::from_slice(json)?),
        Some((version, _)) => Err(Undecodable::Version(*version)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Command;
    use crate::state::tests::any_command;

    proptest! {
        #[test]
        fn commands_survive_and_anything_else_is_an_error(
            command in any_command(),
            junk in prop::collection::vec(any::<u8>(), 0..64)
        ) {
            let bytes = encode(&command);
            prop_assert_eq!(decode::<Command>(&bytes).expect("own bytes"), command);
            prop_assert!(decode::<Command>(&bytes[..bytes.len() - 1]).is_err());
            let _ = decode::<Command>(&junk);
        }
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let error = decode::<u64>(b"\x021").expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "it has encoding 2, and this build knows 1"
        );
    }
}
