//! Why a block can't be written or read.

use cairn_model::Code;

/// Parts of a block by the names that its table of contents uses, and that table itself.
pub(crate) type SectionName = &'static str;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the block is not there")]
    NotFound(#[source] cairn_store::Error),
    #[error("the block's {section} is corrupt: {reason}")]
    Corrupt {
        section: &'static str,
        reason: String,
    },
    #[error("the block has format version {0}, which this build can't read")]
    UnsupportedVersion(u32),
    #[error("read the block")]
    Store(#[source] cairn_store::Error),
    #[error("there are no profiles to write a block of")]
    Empty,
    /// What should become one block must become several.
    #[error("too much for one block: {0}")]
    TooLarge(&'static str),
    #[error("encode the block's {section}")]
    Encode {
        section: &'static str,
        source: parquet::errors::ParquetError,
    },
}

impl Error {
    pub fn code(&self) -> Code {
        match self {
            Self::NotFound(_) => Code::NotFound,
            Self::Corrupt { .. } | Self::UnsupportedVersion(_) => Code::Corrupt,
            Self::Store(source) => source.code(),
            Self::Empty => Code::Invalid,
            Self::TooLarge(_) => Code::Exhausted,
            Self::Encode { .. } => Code::Internal,
        }
    }

    pub(crate) fn corrupt(section: &'static str, reason: impl ToString) -> Self {
        Self::Corrupt {
            section,
            reason: reason.to_string(),
        }
    }

    /// An object that is shorter than the block says is a cut one.
    pub fn store(source: cairn_store::Error) -> Self {
        match source {
            cairn_store::Error::NotFound { .. } => Self::NotFound(source),
            cairn_store::Error::OutOfRange { .. } => Self::corrupt("object", source),
            source => Self::Store(source),
        }
    }
}
