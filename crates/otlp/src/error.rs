//! Why a request or one of its profiles was refused. Owns the texts that senders see, not how they
//! travel.

use std::borrow::Cow;

use cairn_model::Code;
use cairn_protobuf::Malformed;

/// The sender's fault in every case: the same bytes are refused again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are neither protobuf nor JSON.
    #[error("failed to parse profiles: {0}")]
    Undecodable(Cow<'static, str>),
    /// A release of the protocol that is too old.
    #[error("unsupported release of the profiles protocol: {0}")]
    Unsupported(Cow<'static, str>),
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

/// One profile of a request that could not be read; its neighbours are not touched by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Position of its resource in the request.
    pub resource: usize,
    /// Position of its scope in the resource.
    pub scope: usize,
    /// Position in the scope.
    pub profile: usize,
    pub reason: String,
    /// As [`Error::kind`].
    pub kind: &'static str,
    /// Of the profile, as protobuf; those of its dictionary are not counted.
    pub bytes: usize,
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Self::Undecodable(_)
            | Self::Unsupported(_)
            | Self::Contradiction(_)
            | Self::OverLimit { .. } => Code::Invalid,
        }
    }

    /// One word for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Undecodable(_) => "undecodable",
            Self::Unsupported(_) => "unsupported",
            Self::Contradiction(_) => "contradiction",
            Self::OverLimit { .. } => "over_limit",
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
