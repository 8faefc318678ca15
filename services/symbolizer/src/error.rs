//! Why a request has no answer. An address without a name is an answer.

use std::time::Duration;

use cairn_model::Code;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Tenant(#[from] cairn_model::InvalidTenant),
    #[error(transparent)]
    BuildId(#[from] cairn_model::InvalidBuildId),
    /// The file is at fault; the reason is kept.
    #[error("the file was refused: {0}")]
    Refused(String),
    #[error("build id {0} has another file already, and a build id keeps its file")]
    Taken(String),
    #[error("too many files are being uploaded: try again later")]
    Busy,
    #[error("the upload did not finish within {0:?}")]
    Slow(Duration),
    #[error("the upload ended early: {0}")]
    Broken(String),
    #[error(transparent)]
    Store(#[from] cairn_store::Error),
    #[error("convert a file")]
    Convert(#[source] anyhow::Error),
    #[error("ask a debuginfod server: {0}")]
    Upstream(crate::upstream::Trouble),
    #[error("use the scratch folder")]
    Scratch(#[from] std::io::Error),
}

impl Error {
    /// With everything behind it, for the log.
    pub(crate) fn chain(&self) -> String {
        let mut chain = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            source = cause.source();
        }
        chain
    }

    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Invalid(_) | Self::Tenant(_) | Self::BuildId(_) | Self::Refused(_) => {
                Code::Invalid
            }
            Self::Taken(_) => Code::Conflict,
            Self::Busy | Self::Broken(_) | Self::Upstream(_) => Code::Unavailable,
            Self::Slow(_) => Code::Timeout,
            Self::Store(error) => error.code(),
            Self::Convert(_) | Self::Scratch(_) => Code::Internal,
        }
    }
}
