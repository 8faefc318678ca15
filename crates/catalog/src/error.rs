//! What can go wrong with a catalog.

use std::io;
use std::path::PathBuf;

use cairn_model::{Code, InvalidWriter};

use crate::{InvalidMessage, Refused};

/// Why the catalog did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Message(#[from] InvalidMessage),
    #[error(transparent)]
    Writer(#[from] InvalidWriter),
    #[error("{what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    #[error("{} is damaged: {reason}", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error(
        "{} was written by an earlier development build, whose catalogs this build does not read: \
         start with an empty data folder, or go on with that build",
        .0.display()
    )]
    Legacy(PathBuf),
    #[error("{0}")]
    Config(String),
    /// It did not happen and never will: ask again later or elsewhere.
    #[error("the catalog is not available: {0}")]
    Unavailable(String),
    /// A command may have happened, or may yet. Repeating it does no harm.
    #[error("whether the catalog did it is unknown: {reason}")]
    Unknown {
        reason: String,
        /// What a later try was told; an earlier one may have happened all the same.
        refused: Option<Refused>,
    },
    /// A catalog in another process answered a question.
    #[error("{message}")]
    Remote { code: Code, message: String },
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(refused) => refused.code(),
            Self::Message(_) | Self::Writer(_) | Self::Config(_) | Self::Legacy(_) => Code::Invalid,
            Self::Io { .. } => Code::Internal,
            Self::Locked(_) => Code::Conflict,
            Self::Corrupt { .. } => Code::Corrupt,
            Self::Unavailable(_) => Code::Unavailable,
            Self::Unknown { .. } => Code::Timeout,
            Self::Remote { code, .. } => *code,
        }
    }

    /// Why the newest try was refused, if it was.
    pub fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::Unknown { refused, .. } => refused.as_ref(),
            _ => None,
        }
    }

    /// Whether another process has taken a writer's place, or has sealed it: it may not go on.
    pub fn is_fenced(&self) -> bool {
        matches!(
            self.refused(),
            Some(Refused::Fenced { .. } | Refused::Sealed(_) | Refused::UnknownWriter(_))
        )
    }
}
