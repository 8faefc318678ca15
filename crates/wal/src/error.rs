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
            Self::Poisoned(_) => true,
            Self::Io { .. } | Self::Locked(_) | Self::NoSpace(_) | Self::Damaged { .. } => false,
        }
    }

    /// Another may write in this writer's place: it must end.
    pub fn is_fatal(&self) -> bool {
        false
    }

    pub fn code(&self) -> Code {
        match self {
            Self::Io { .. } | Self::Locked(_) => Code::Internal,
            Self::NoSpace(_) | Self::Poisoned(_) => Code::Unavailable,
            Self::Damaged { .. } => Code::Corrupt,
        }
    }
}
