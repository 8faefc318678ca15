//! Connect's unary calls: how messages and errors are spelled. Bodies are read and sent by whoever
//! serves a call.

use bytes::Bytes;
use cairn_model::Code;
use prost::{Message, Name};

use crate::json::{self, Defaults};

/// The two encodings of Connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Proto,
    Json,
}

/// Why the body of a call was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not a {message}: {reason}")]
    Proto {
        message: &'static str,
        reason: prost::DecodeError,
    },
    #[error(transparent)]
    Json(#[from] json::Error),
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Self::Proto { .. } => Code::Invalid,
            Self::Json(error) => error.code(),
        }
    }
}

impl Codec {
    /// What `accept-post` says beside the refusal of any other content type.
    pub const ACCEPTED: &str = "application/proto, application/json";

    /// Of a content type, with or without parameters.
    pub fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        [Self::Proto, Self::Json]
            .into_iter()
            .find(|codec| essence.eq_ignore_ascii_case(codec.content_type()))
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Proto => "application/proto",
            Self::Json => "application/json",
        }
    }

    pub fn decode<M: Message + Name + Default>(self, bytes: Bytes) -> Result<M, Error> {
        match self {
            Self::Proto => M::decode(bytes).map_err(|reason| Error::Proto {
                message: M::NAME,
                reason,
            }),
            Self::Json => Ok(json::from_json(&bytes)?),
        }
    }

    pub fn encode<M: Message + Name>(self, message: &M) -> Vec<u8> {
        match self {
            Self::Proto => message.encode_to_vec(),
            Self::Json => json::to_json(message, Defaults::Omitted).into_bytes(),
        }
    }
}

/// The body of an answer that is an error; `code` is a word of Connect's.
pub fn error(code: &str, message: &str) -> String {
    serde_json::json!({ "code": code, "message": message }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::v1::LabelPair;

    #[test]
    fn content_types_name_a_codec_whatever_their_parameters() {
        assert_eq!(
            Codec::of("application/json; charset=utf-8"),
            Some(Codec::Json)
        );
        assert_eq!(Codec::of("Application/Proto"), Some(Codec::Proto));
        for other in ["", "text/plain", "application/grpc", "application/protobuf"] {
            assert_eq!(Codec::of(other), None, "{other}");
        }
    }

    #[test]
    fn messages_are_the_same_in_both_codecs() {
        let pair = LabelPair {
            name: "a".to_owned(),
            value: String::new(),
        };
        assert_eq!(Codec::Json.encode(&pair), br#"{"name":"a"}"#);
        for codec in [Codec::Proto, Codec::Json] {
            let read = codec.decode::<LabelPair>(codec.encode(&pair).into());
            assert_eq!(read.expect("valid"), pair);
            let refused = codec.decode::<LabelPair>(Bytes::from_static(b"\xff"));
            let refused = refused.expect_err("not a message");
            assert_eq!(refused.code(), Code::Invalid);
            assert!(refused.to_string().contains("LabelPair"), "{refused}");
        }
        // An empty body is a message without fields, but no JSON.
        assert!(Codec::Proto.decode::<LabelPair>(Bytes::new()).is_ok());
        assert!(Codec::Json.decode::<LabelPair>(Bytes::new()).is_err());
    }

    #[test]
    fn errors_have_a_word_and_a_text() {
        let body = error("not_found", "no \"x\"");
        assert_eq!(body, r#"{"code":"not_found","message":"no \"x\""}"#);
    }
}
