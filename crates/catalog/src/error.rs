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
    #[error("the journal {} is damaged at byte {at}: {reason}", path.display())]
    Corrupt {
        path: PathBuf,
        at: u64,
        reason: String,
    },
    /// Nothing was changed; the next command may succeed.
    #[error("the journal could not be written: {0}")]
    Unwritten(String),
    /// Whether the command is durable is unknown until the catalog is opened again.
    #[error("the journal failed and takes no more commands: {0}")]
    Broken(String),
    #[error("the catalog is closing")]
    Closed,
    /// A catalog in another process answered.
    #[error("{message}")]
    Remote { code: Code, message: String },
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(refused) => refused.code(),
            Self::Message(_) | Self::Writer(_) => Code::Invalid,
            Self::Io { .. } => Code::Internal,
            Self::Locked(_) => Code::Conflict,
            Self::Corrupt { .. } => Code::Corrupt,
            Self::Unwritten(_) | Self::Closed => Code::Unavailable,
            Self::Broken(_) => Code::Timeout,
            Self::Remote { code, .. } => *code,
        }
    }
}
