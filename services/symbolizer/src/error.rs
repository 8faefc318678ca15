//! Why a request has no answer. An address without a name is an answer.

use std::time::Duration;

use cairn_model::Code;

use crate::record::Reason;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Tenant(#[from] cairn_model::InvalidTenant),
    #[error(transparent)]
    BuildId(#[from] cairn_model::InvalidBuildId),
    /// What came is not what was announced.
    #[error("{0}")]
    Mismatch(String),
    /// The file is at fault; the reason is kept.
    #[error("the file was refused: {0}")]
    Refused(String),
    /// The file or the machine is at fault.
    #[error("reading the file was not done in {0:?}: try again later")]
    Late(Duration),
    /// No upload is wanted of what is there already.
    #[error("{}", .0.text())]
    Unwanted(Reason),
    /// An upload that is not wanted was announced all the same.
    #[error(
        "upload should not have been attempted to be initiated, a previous check should have \
         failed with: {}", .0.text()
    )]
    Unasked(Reason),
    /// The client has a URL to put the file to.
    #[error("signed URL uploads are the only supported upload strategy for this service")]
    OnlySigned,
    /// Something has to come before, or is over.
    #[error("{0}")]
    NotNow(&'static str),
    #[error(
        "the file is to replace another, and whether it is of use is not known yet: say again \
         that it is complete"
    )]
    Unproven,
    #[error("{0}")]
    Missing(String),
    #[error("the quota of debuginfo is used up: {0}")]
    Quota(String),
    #[error("others change what is known of build id {0} without end: try again later")]
    Contended(String),
    #[error("read the record {0}")]
    Record(String, #[source] Option<serde_json::Error>),
    #[error("read which builds block {0} refers to")]
    Block(String, #[source] Box<cairn_block::Error>),
    #[error("read {0}")]
    Texts(String, #[source] Box<crate::sources::Error>),
    #[error("what was fetched takes all the room that there is for it")]
    NoRoom,
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

impl From<cairn_store::FileError> for Error {
    fn from(error: cairn_store::FileError) -> Self {
        match error {
            cairn_store::FileError::File(error) => Self::Scratch(error),
            cairn_store::FileError::Store(error) => Self::Store(error),
        }
    }
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
            Self::Invalid(_)
            | Self::Tenant(_)
            | Self::BuildId(_)
            | Self::Mismatch(_)
            | Self::OnlySigned
            | Self::Refused(_) => Code::Invalid,
            Self::Unwanted(_) | Self::Unasked(_) | Self::NotNow(_) => Code::Conflict,
            Self::Missing(_) => Code::NotFound,
            Self::Quota(_) => Code::Exhausted,
            Self::Record(..) | Self::Texts(..) => Code::Corrupt,
            Self::Block(_, error) => error.code(),
            Self::NoRoom
            | Self::Busy
            | Self::Broken(_)
            | Self::Contended(_)
            | Self::Late(_)
            | Self::Unproven
            | Self::Upstream(_) => Code::Unavailable,
            Self::Slow(_) => Code::Timeout,
            Self::Store(error) => error.code(),
            Self::Convert(_) | Self::Scratch(_) => Code::Internal,
        }
    }
}
