//! Why a recording was refused. Owns the texts that senders see, not how they travel.

use std::borrow::Cow;

use cairn_model::Code;

/// The sender's fault in every case: the same bytes are refused again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no recording, or end too early.
    #[error("failed to parse recording: {0}")]
    Undecodable(Cow<'static, str>),
    /// A limit of the tenant is exceeded.
    #[error("invalid recording: {what}: more than {name}={max}")]
    OverLimit {
        what: &'static str,
        name: &'static str,
        max: usize,
    },
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Self::Undecodable(_) | Self::OverLimit { .. } => Code::Invalid,
        }
    }

    pub(crate) fn undecodable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Undecodable(reason.into())
    }

    pub(crate) fn over(what: &'static str, name: &'static str, max: usize) -> Self {
        Self::OverLimit { what, name, max }
    }

    /// Says where the bytes are at fault.
    #[cold]
    pub(crate) fn within(self, place: impl FnOnce() -> String) -> Self {
        match self {
            Self::Undecodable(reason) => Self::Undecodable(format!("{}: {reason}", place()).into()),
            Self::OverLimit { .. } => self,
        }
    }
}
