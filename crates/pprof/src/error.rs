//! Why a profile was refused. Owns the texts that senders see, not how they travel.

use std::borrow::Cow;

use cairn_model::Code;
use cairn_protobuf::Malformed;

/// The sender's fault in every case: the same bytes are refused again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not gzip or not protobuf.
    #[error("failed to parse profile: {0}")]
    Undecodable(Cow<'static, str>),
    /// The message contradicts itself.
    #[error("invalid profile: {0}")]
    Contradiction(Cow<'static, str>),
    /// A limit of the tenant is exceeded.
    #[error("invalid profile: {what}: more than {name}={max}")]
    OverLimit {
        what: Cow<'static, str>,
        name: &'static str,
        max: usize,
    },
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Self::Undecodable(_) | Self::Contradiction(_) | Self::OverLimit { .. } => Code::Invalid,
        }
    }

    pub(crate) fn undecodable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Undecodable(reason.into())
    }

    pub(crate) fn contradiction(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Contradiction(reason.into())
    }

    pub(crate) fn over(what: impl Into<Cow<'static, str>>, name: &'static str, max: usize) -> Self {
        Self::OverLimit {
            what: what.into(),
            name,
            max,
        }
    }
}

impl From<Malformed> for Error {
    #[cold]
    fn from(Malformed(reason): Malformed) -> Self {
        Self::Undecodable(reason.into())
    }
}
