//! Messages as JSON and as query strings, the way grpc-gateway and Connect spell them.
//!
//! Which path means which call is the business of the service that answers it.

use std::sync::LazyLock;

use cairn_model::Code;
use prost::{Message, Name};
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor,
    ReflectMessage, SerializeOptions, Value,
};
use serde_json::value::Value as Json;

mod query;

/// Why JSON or a query string was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not the JSON of a {message}: {reason}")]
    Json {
        message: String,
        reason: serde_json::Error,
    },
    #[error("query parameter {name:?}: {reason}")]
    Parameter { name: String, reason: String },
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Self::Json { .. } | Self::Parameter { .. } => Code::Invalid,
        }
    }
}

/// What becomes of fields that hold their default value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defaults {
    /// Written out, as grpc-gateway does.
    Shown,
    /// Left out, as Connect does.
    Omitted,
}

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(crate::DESCRIPTORS).expect("the build writes a valid descriptor set")
});

fn descriptor<M: Name>() -> MessageDescriptor {
    POOL.get_message_by_name(&M::full_name())
        .expect("the descriptor set holds every generated message")
}

/// The canonical JSON of a message: 64-bit integers as strings, bytes as base64, enums by name.
pub fn to_json<M: Message + Name>(message: &M, defaults: Defaults) -> String {
    let mut dynamic = DynamicMessage::new(descriptor::<M>());
    dynamic
        .transcode_from(message)
        .expect("a generated message decodes by its own descriptor");
    let options =
        SerializeOptions::new().skip_default_fields(matches!(defaults, Defaults::Omitted));
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut out);
    match dynamic.serialize_with_options(&mut serializer, &options) {
        Ok(()) => String::from_utf8(out).expect("serde_json writes UTF-8"),
        // Only a timestamp or duration that no calendar has gets here.
        Err(_) => "{}".to_owned(),
    }
}

/// Reads canonical JSON, or JSON with the names of the proto file. Unknown fields are skipped.
pub fn from_json<M: Message + Name + Default>(text: &[u8]) -> Result<M, Error> {
    let refused = |reason| Error::Json {
        message: M::full_name(),
        reason,
    };
    let mut json = serde_json::Deserializer::from_slice(text);
    let dynamic = DynamicMessage::deserialize_with_options(descriptor::<M>(), &mut json, &LENIENT)
        .map_err(refused)?;
    json.end().map_err(refused)?;
    Ok(typed(&dynamic))
}

/// Reads query parameters as grpc-gateway maps them: a name is the path of a field, a repeated
/// field takes several, parameters that name no field are skipped.
pub fn from_query<M, K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<M, Error>
where
    M: Message + Name + Default,
    K: AsRef<str>,
    V: AsRef<str>,
{
    let mut dynamic = DynamicMessage::new(descriptor::<M>());
    for (name, value) in pairs {
        let (name, value) = (name.as_ref(), value.as_ref());
        query::set(&mut dynamic, name, value).map_err(|reason| Error::Parameter {
            name: name.chars().take(query::NAME_SHOWN_MAX).collect(),
            reason,
        })?;
    }
    Ok(typed(&dynamic))
}

const LENIENT: DeserializeOptions = DeserializeOptions::new().deny_unknown_fields(false);

fn typed<M: Message + Default>(dynamic: &DynamicMessage) -> M {
    dynamic
        .transcode_to()
        .expect("a message decodes by the descriptor it was generated from")
}

#[cfg(test)]
mod tests;
