//! Why a log could not do what was asked, or could not be opened.

use std::path::PathBuf;

use cairn_model::Code;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{action} {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    /// Another ingester uses the folder.
    #[error(transparent)]
    Locked(#[from] cairn_catalog::Error),
    /// Nothing was written; it may be possible later.
    #[error("the disk of the log is full or failing: {0}")]
    NoSpace(std::io::Error),
    /// A sync failed. What the operating system then keeps or drops is unknown, so nothing is
    /// written any more until a restart has read the log anew.
    #[error("the log failed to reach the disk; the ingester must be restarted: {0}")]
    Poisoned(String),
    /// Somebody has recovered the log, and whoever wrote it must end.
    #[error("the log was fenced: another has recovered it")]
    Fenced,
    #[error("the lease of the log is over")]
    LeaseLost,
    /// Nothing was written. Fewer or smaller payloads may be.
    #[error("a group of pushes is larger than a segment may be")]
    TooLarge,
    #[error("reach the log in the object store")]
    Store(#[source] cairn_store::Error),
    #[error("the log is damaged: {key}: {reason}")]
    Corrupt { key: String, reason: String },
    #[error(
        "the log is damaged: {path} at byte {offset}: {reason}. Acknowledged profiles may be lost \
         from there on. Restore the file, or move it and all later ones away to go on without them"
    )]
    Damaged {
        path: PathBuf,
        offset: u64,
        reason: String,
    },
}

impl Error {
    /// Nothing can be appended until the writer has started anew.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Poisoned(_) | Self::Fenced | Self::LeaseLost => true,
            Self::Io { .. }
            | Self::Locked(_)
            | Self::NoSpace(_)
            | Self::TooLarge
            | Self::Store(_)
            | Self::Corrupt { .. }
            | Self::Damaged { .. } => false,
        }
    }

    /// Another may write in this writer's place: it must end.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fenced | Self::LeaseLost)
    }

    pub fn code(&self) -> Code {
        match self {
            Self::Io { .. } | Self::Locked(_) => Code::Internal,
            Self::NoSpace(_) | Self::Poisoned(_) | Self::Fenced | Self::LeaseLost => {
                Code::Unavailable
            }
            Self::TooLarge => Code::Invalid,
            Self::Store(error) => error.code(),
            Self::Corrupt { .. } | Self::Damaged { .. } => Code::Corrupt,
        }
    }
}
